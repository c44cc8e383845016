"""A predicate `failed_error` that raises, or answers what is none: who sees it, and what the call counts as."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from breaker import Policy, Provider, State
from breaker.testing import ManualClock
from support.drive import Boom, HangUp, Make, drive_to, raiser, rejected
from support.judges import FAILURE, IGNORED, LENIENT, Judge, judge_later, outcome_of
from support.raising_forms import FUTURES, Form, by_async_generator, by_coroutine, by_generator, every_raising_form
from support.reading import counts


def test_a_predicate_that_raises_for_a_leaf_is_raised_from_the_call(make_breaker: Make) -> None:
    # S49
    def judge(error: BaseException) -> bool | None:
        if isinstance(error, KeyError):
            raise LookupError("of the predicate")
        return False

    breaker = make_breaker(LENIENT, failed_error=judge)
    group = ExceptionGroup("g", [Boom(), KeyError()])
    with pytest.raises(LookupError, match="of the predicate") as caught:
        breaker.do(raiser(group))
    assert caught.value.__context__ is group
    assert counts(breaker) == {FAILURE: 1}


@every_raising_form
def test_an_exception_of_the_predicate_is_raised_and_counts_as_a_failure(make_breaker: Make, form: Form) -> None:
    # S49
    trouble, error = LookupError("of the predicate"), Boom("of the call")
    breaker = make_breaker(Policy(1), failed_error=Judge(trouble))
    with pytest.raises(LookupError) as caught:
        form(breaker, error)
    assert caught.value is trouble
    assert trouble.__context__ is error
    assert counts(breaker) == {FAILURE: 1}
    assert rejected(breaker).last_error == "LookupError: of the predicate"


@every_raising_form
def test_anything_else_that_the_predicate_raises_is_raised_and_ignored(make_breaker: Make, form: Form) -> None:
    # S49
    breaker = make_breaker(Policy(1), failed_error=Judge(HangUp("of the predicate")))
    with pytest.raises(HangUp, match="of the predicate") as caught:
        form(breaker, Boom("of the call"))
    assert isinstance(caught.value.__context__, Boom)
    assert counts(breaker) == {IGNORED: 1}


@every_raising_form
@pytest.mark.parametrize("answer", [0, 1, "yes", "", NotImplemented, [], State.OPEN], ids=repr)
def test_any_other_answer_is_a_type_error_and_a_failure(make_breaker: Make, form: Form, answer: object) -> None:
    # S49
    breaker = make_breaker(LENIENT, failed_error=Judge(answer))
    with pytest.raises(
        TypeError, match=r"failed_error must return True .* False .* or None .*, got an object of type "
    ) as caught:
        form(breaker, Boom("of the call"))
    assert isinstance(caught.value.__context__, Boom)
    assert counts(breaker) == {FAILURE: 1}


@every_raising_form
def test_an_answer_that_is_a_coroutine_is_a_type_error_and_closed(make_breaker: Make, form: Form) -> None:
    # S49, S181
    judge: Any = lambda error: judge_later(error)  # noqa: E731 - nothing tells what it will answer
    breaker = make_breaker(LENIENT, failed_error=judge)
    with pytest.raises(TypeError, match="it returned a coroutine"):
        form(breaker, Boom("of the call"))
    assert counts(breaker) == {FAILURE: 1}


@pytest.mark.parametrize("form", FUTURES, ids=lambda form: form.__name__)
def test_the_error_of_a_predicate_for_a_future_is_reported_and_counts_as_a_failure(
    provider_of: Callable[..., Provider], caplog: pytest.LogCaptureFixture, form: Form
) -> None:
    # S33, S49
    breaker = provider_of(LENIENT).get_breaker("a", failed_error=Judge(LookupError("of the predicate")))
    with pytest.raises(Boom, match="of the call"):
        form(breaker, Boom("of the call"))
    assert counts(breaker) == {FAILURE: 1}
    assert "of the predicate" in caplog.text


@every_raising_form
def test_it_runs_as_in_an_except_clause_and_leaves_nothing_behind(make_breaker: Make, form: Form) -> None:
    # S49
    judge, error = Judge(True), Boom()
    breaker = make_breaker(LENIENT, failed_error=judge)
    assert outcome_of(breaker, error, form) == FAILURE
    assert judge.handled == [error]
    assert sys.exception() is None
    try:
        raise ValueError("outside")
    except ValueError as outside:
        assert outcome_of(breaker, Boom(), form) == FAILURE
        still_handled = sys.exception() is outside
    assert still_handled


def test_a_predicate_that_raises_what_it_was_given_raises_that(make_breaker: Make) -> None:
    # S49
    def judge(error: BaseException) -> bool:
        raise error

    breaker = make_breaker(LENIENT, failed_error=judge)
    assert outcome_of(breaker, error := Boom()) == FAILURE
    assert error.__context__ is None


def test_the_chain_of_a_predicates_error_is_whole(make_breaker: Make) -> None:
    # S49
    def judge(error: BaseException) -> bool:
        try:
            raise KeyError("inside")
        except KeyError:
            raise LookupError("of the predicate") from None

    breaker = make_breaker(LENIENT, failed_error=judge)
    error = Boom()
    with pytest.raises(LookupError) as caught:
        breaker.do(raiser(error))
    assert isinstance(caught.value.__context__, KeyError)
    assert caught.value.__context__.__context__ is error


@pytest.mark.parametrize("form", [by_coroutine, by_generator, by_async_generator], ids=lambda form: form.__name__)
def test_a_stop_of_the_predicate_is_no_end(make_breaker: Make, form: Form) -> None:
    # S49
    stop = StopAsyncIteration("stop") if form is by_async_generator else StopIteration("stop")
    breaker = make_breaker(LENIENT, failed_error=Judge(stop))
    with pytest.raises(RuntimeError, match="raised Stop") as caught:
        form(breaker, Boom())
    assert caught.value.__cause__ is stop
    assert counts(breaker) == {FAILURE: 1}


@pytest.mark.parametrize("trouble", [LookupError("of the predicate"), HangUp()], ids=repr)
def test_a_probe_whose_predicate_raises_holds_no_slot(
    make_breaker: Make, clock: ManualClock, trouble: BaseException
) -> None:
    # S49
    judge = Judge(True)
    breaker = drive_to(make_breaker(Policy(1, 1, 60), failed_error=judge), clock, State.HALF_OPEN)
    judge.answer = trouble
    with pytest.raises(type(trouble)):
        breaker.do(raiser(Boom()))
    assert breaker.snapshot().half_open_in_flight == 0
    assert breaker.state is (State.OPEN if isinstance(trouble, Exception) else State.HALF_OPEN)
