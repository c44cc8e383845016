"""`failed_error`: a function that says what an exception means, asked first, in every form of a call."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from breaker import Breaker, BreakerError, BreakerOpenError, Mode, Policy, Provider, State
from breaker.testing import ManualClock
from support.drive import Boom, HangUp, Make, drive_to, fail, raiser, rejected
from support.raising_forms import (
    FUTURES,
    Form,
    by_async_generator,
    by_coroutine,
    by_do,
    by_generator,
    by_permit,
    every_form,
    every_raising_form,
)
from support.reading import counts

SUCCESS, FAILURE, IGNORED = "successes", "failures", "ignored"
LENIENT = Policy(1000)


class Answer(Exception):
    """The one class of errors that a client has; which one it is, is in its status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Cancelled(BaseException):
    """No `Exception`; a status all the same."""

    status = 503


def is_failure(error: BaseException) -> bool | None:
    """A 404 is an answer, a 503 is none; nothing else is known here."""
    status = getattr(error, "status", None)
    return None if status is None else status >= 500


def outcome_of(breaker: Breaker, error: BaseException, form: Form = by_do) -> str:
    """What a call that raises this counts as; its caller gets the very object."""
    before = counts(breaker)
    with pytest.raises(type(error)) as caught:
        form(breaker, error)
    assert caught.value is error
    (found,) = [name for name, count in counts(breaker).items() if count != before.get(name, 0)]
    return found


@pytest.mark.parametrize(("status", "outcome"), [(503, FAILURE), (404, SUCCESS)])
@every_form
def test_it_decides_in_every_form_of_a_call(make_breaker: Make, form: Form, status: int, outcome: str) -> None:
    # S49
    breaker = make_breaker(LENIENT, failed_error=is_failure)
    assert outcome_of(breaker, Answer(status), form) == outcome


@every_form
def test_none_leaves_it_to_the_lists_and_the_defaults(make_breaker: Make, form: Form) -> None:
    # S49
    breaker = make_breaker(LENIENT, failed_error=is_failure, ignore_on=KeyError, success_on=LookupError)
    assert outcome_of(breaker, KeyError(), form) == IGNORED
    assert outcome_of(breaker, LookupError(), form) == SUCCESS
    assert outcome_of(breaker, Boom(), form) == FAILURE


@pytest.mark.parametrize("option", ["ignore_on", "success_on", "failure_on"])
def test_it_is_asked_before_the_lists(make_breaker: Make, option: str) -> None:
    # S49
    breaker = make_breaker(LENIENT, failed_error=is_failure, **{option: Exception})
    assert outcome_of(breaker, Answer(503)) == FAILURE
    assert outcome_of(breaker, Answer(404)) == SUCCESS


def test_an_exception_in_no_list_is_a_success_where_failures_are_listed(make_breaker: Make) -> None:
    # S41, S49
    breaker = make_breaker(LENIENT, failed_error=is_failure, failure_on=OSError)
    assert [outcome_of(breaker, error) for error in (Boom(), OSError(), Answer(500))] == [SUCCESS, FAILURE, FAILURE]


@pytest.mark.parametrize("form", [by_do, by_permit, by_coroutine, by_generator], ids=lambda form: form.__name__)
def test_it_is_asked_for_any_base_exception(make_breaker: Make, form: Form) -> None:
    # S49
    asked: list[BaseException] = []

    def judge(error: BaseException) -> bool | None:
        asked.append(error)
        return is_failure(error)

    breaker = make_breaker(LENIENT, failed_error=judge)
    errors: list[BaseException] = [Cancelled(), HangUp()]
    assert [outcome_of(breaker, error, form) for error in errors] == [FAILURE, IGNORED]
    assert asked == errors


def test_a_cancellation_may_be_a_failure(make_breaker: Make) -> None:
    # S49
    breaker = make_breaker(LENIENT, failed_error=lambda error: isinstance(error, asyncio.CancelledError))

    async def hangs() -> None:
        await asyncio.sleep(60)

    async def call() -> None:
        task = asyncio.ensure_future(breaker.do(hangs))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(call())
    assert counts(breaker) == {FAILURE: 1}


def test_it_sees_the_cause_inside_a_wrapper(make_breaker: Make) -> None:
    # S42, S49
    def wraps_a_timeout(error: BaseException) -> bool:
        return isinstance(error.__cause__, TimeoutError)

    breaker = make_breaker(LENIENT, failed_error=wraps_a_timeout)

    def fails(cause: Exception) -> None:
        raise RuntimeError("the client failed") from cause

    for cause in (TimeoutError(), ValueError()):
        with pytest.raises(RuntimeError):
            breaker.do(fails, cause)
    assert counts(breaker) == {FAILURE: 1, SUCCESS: 1}


# Groups


@pytest.mark.parametrize(
    ("leaves", "outcome", "asked"),
    [
        ([Answer(404), Answer(404)], SUCCESS, 2),
        ([Answer(404), Answer(503)], FAILURE, 2),
        ([Answer(503), Answer(404)], FAILURE, 1),
        ([Answer(404), ExceptionGroup("inside", [Answer(200), Answer(500)])], FAILURE, 3),
        ([Boom(), Answer(404)], FAILURE, 1),
        ([KeyError(), Answer(404)], SUCCESS, 2),
        ([KeyError(), KeyError()], IGNORED, 2),
    ],
)
def test_it_is_asked_for_each_leaf_of_a_group_in_their_order(
    make_breaker: Make, leaves: list[Exception], outcome: str, asked: int
) -> None:
    # S49
    seen: list[BaseException] = []

    def judge(error: BaseException) -> bool | None:
        seen.append(error)
        return is_failure(error)

    breaker = make_breaker(LENIENT, failed_error=judge, ignore_on=KeyError)
    group = ExceptionGroup("g", leaves)
    assert outcome_of(breaker, group) == outcome
    flat = [leaf for part in leaves for leaf in (part.exceptions if isinstance(part, ExceptionGroup) else [part])]
    assert seen == flat[:asked]


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


# Rejections


@every_raising_form
def test_it_is_never_asked_for_a_passing_rejection(provider_of: Callable[..., Provider], form: Form) -> None:
    # S49, S100
    provider = provider_of(LENIENT)
    inner = provider.get_breaker("db:main")
    inner.force_open()

    def judge(error: BaseException) -> bool:
        raise AssertionError("it was asked")

    breaker = provider.get_breaker("http:outer", failed_error=judge)
    assert outcome_of(breaker, rejected(inner), form) == IGNORED
    assert outcome_of(breaker, ExceptionGroup("g", [rejected(inner)]), form) == IGNORED


# A predicate that fails


class Judge:
    """Answers with a value, or raises an exception."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.handled: list[object] = []

    def __call__(self, error: BaseException) -> Any:
        self.handled.append(sys.exception())
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


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


# Where it is not asked


def test_the_verdict_of_a_permit_is_not_classified(make_breaker: Make) -> None:
    # S46
    breaker = make_breaker(LENIENT, failed_error=Judge(AssertionError("it was asked")))
    breaker.acquire().failure(Answer(404))
    breaker.acquire().success()
    breaker.acquire().ignore()
    permit = breaker.acquire()
    permit.success()
    with pytest.raises(Boom), permit:
        raise Boom
    assert counts(breaker) == {FAILURE: 1, SUCCESS: 2, IGNORED: 1}


def test_it_is_not_asked_where_nothing_was_raised(make_breaker: Make) -> None:
    # S49
    breaker = make_breaker(LENIENT, failed_error=Judge(AssertionError("it was asked")), failed_result=bool)
    assert breaker.do(int) == 0
    assert breaker.do(lambda: 1) == 1
    assert list(breaker.do(iter, [1, 2])) == [1, 2]
    assert counts(breaker) == {SUCCESS: 1, FAILURE: 2}  # an iterator is true


# States


def test_a_probe_whose_error_is_an_answer_closes_the_breaker(make_breaker: Make, clock: ManualClock) -> None:
    # S49, S50
    breaker = drive_to(make_breaker(Policy(1, 1, 60), failed_error=is_failure), clock, State.HALF_OPEN)
    assert outcome_of(breaker, Answer(404)) == SUCCESS
    assert breaker.state is State.CLOSED


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


def test_a_predicate_may_use_its_breaker(make_breaker: Make) -> None:
    # S16, S36
    def judge(error: BaseException) -> bool:
        breaker.do(int)
        assert breaker.snapshot().state is State.CLOSED
        breaker.override(Mode.DISABLED)
        breaker.clear_override()
        return True

    breaker = make_breaker(Policy(2), failed_error=judge)
    fail(breaker, 2)
    assert counts(breaker) == {FAILURE: 2, SUCCESS: 2}
    assert breaker.state is State.CLOSED


# The option


async def judge_later(error: BaseException) -> bool:
    return True


class LaterJudge:
    async def __call__(self, error: BaseException) -> bool:
        return True


def judge_in_steps(error: BaseException) -> Iterator[bool]:
    yield True


@pytest.mark.parametrize(
    "predicate", [judge_later, LaterJudge(), LaterJudge().__call__, partial(judge_later), judge_in_steps], ids=repr
)
def test_a_function_that_runs_later_is_refused(provider_of: Callable[..., Provider], predicate: Any) -> None:
    # S181
    provider = provider_of()
    with pytest.raises(TypeError, match=r"failed_error must be a plain function, got the \w+ function"):
        provider.get_breaker("a", failed_error=predicate)
    assert not provider.breakers


@pytest.mark.parametrize("predicate", [True, "is_failure", (is_failure,), Boom()], ids=repr)
def test_what_cannot_be_called_is_refused(provider_of: Callable[..., Provider], predicate: Any) -> None:
    # S45
    provider = provider_of()
    with pytest.raises(TypeError, match="failed_error must be a callable, got "):
        provider.get_breaker("a", failed_error=predicate)
    assert not provider.breakers


def test_the_rejection_of_a_breaker_error_by_hand_is_one(make_breaker: Make) -> None:
    # S49: only rejections are passed over, not every error of the package
    asked: list[BaseException] = []
    breaker = make_breaker(LENIENT, failed_error=lambda error: asked.append(error))
    errors = [BreakerError("x"), BreakerOpenError("a", State.OPEN)]
    assert [outcome_of(breaker, error) for error in errors] == [FAILURE, IGNORED]
    assert asked == errors[:1]
