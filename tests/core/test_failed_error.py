"""`failed_error`: a function that says what an exception means, asked first, in every form of a call."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from breaker import BreakerError, BreakerOpenError, Mode, Policy, Provider, State
from breaker.testing import ManualClock
from support.drive import Boom, HangUp, Make, drive_to, fail, rejected
from support.judges import FAILURE, IGNORED, LENIENT, SUCCESS, Answer, Judge, is_failure, judge_later, outcome_of
from support.raising_forms import Form, by_coroutine, by_do, by_generator, by_permit, every_form, every_raising_form
from support.reading import counts


class Cancelled(BaseException):
    """No `Exception`; a status all the same."""

    status = 503


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
