"""What an exception or a value counts as: the defaults, the three lists, groups, rejections."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from breaker import Breaker, BreakerError, BreakerOpenError, Policy, Provider, State
from breaker.testing import ManualClock
from support.drive import Boom, HangUp, Make, drive_to, fail, raiser, rejected, trip
from support.reading import counts

SUCCESS, FAILURE, IGNORED = "successes", "failures", "ignored"


class NotFound(LookupError):
    """A timely answer of a healthy dependency."""


def outcome_of(breaker: Breaker, error: BaseException) -> str:
    """What a call that raises this counts as, the same by ``do`` and by a permit's context manager."""
    found = []
    for form in (by_do, by_permit):
        before = counts(breaker)
        with pytest.raises(type(error)) as caught:
            form(breaker, error)
        assert caught.value is error
        assert caught.value.__cause__ is error.__cause__
        found += [name for name, count in counts(breaker).items() if count != before.get(name, 0)]
    assert len(found) == 2
    assert found[0] == found[1]
    return found[0]


def by_do(breaker: Breaker, error: BaseException) -> None:
    breaker.do(raiser(error))


def by_permit(breaker: Breaker, error: BaseException) -> None:
    with breaker.acquire():
        raise error


LENIENT = Policy(1000)
BASES = [KeyboardInterrupt(), SystemExit(1), GeneratorExit(), asyncio.CancelledError(), HangUp()]


@pytest.mark.parametrize(
    "error", [Exception(), ValueError("x"), TimeoutError(), StopIteration(), BreakerError("x"), MemoryError()]
)
def test_any_exception_is_a_failure_by_default(make_breaker: Make, error: Exception) -> None:
    # S40
    assert outcome_of(make_breaker(LENIENT), error) == FAILURE


@pytest.mark.parametrize("error", BASES, ids=lambda error: type(error).__name__)
def test_a_base_exception_is_ignored_by_default(make_breaker: Make, error: BaseException) -> None:
    # S40
    assert outcome_of(make_breaker(Policy(1)), error) == IGNORED


@pytest.mark.parametrize("error", BASES, ids=lambda error: type(error).__name__)
def test_a_cancelled_probe_frees_its_slot_without_a_verdict(
    make_breaker: Make, clock: ManualClock, error: BaseException
) -> None:
    # S52
    breaker = drive_to(make_breaker(Policy(1, 1, 60)), clock, State.HALF_OPEN)
    assert outcome_of(breaker, error) == IGNORED
    assert (breaker.state, breaker.snapshot().half_open_in_flight) == (State.HALF_OPEN, 0)
    breaker.acquire().success()
    assert breaker.state is State.CLOSED


def test_a_real_error_counts_even_if_the_caller_was_about_to_cancel(make_breaker: Make) -> None:
    # S40: what the function raised first is what is judged
    breaker = make_breaker(LENIENT)
    try:
        raise asyncio.CancelledError
    except asyncio.CancelledError:
        assert outcome_of(breaker, Boom("connection reset")) == FAILURE


# (options, error, outcome): the order of the lists, and what is in none of them.
LISTS: list[tuple[dict[str, Any], BaseException, str]] = [
    ({"ignore_on": ValueError}, ValueError(), IGNORED),
    ({"ignore_on": ValueError}, UnicodeError(), IGNORED),
    ({"ignore_on": ValueError}, Boom(), FAILURE),
    ({"ignore_on": (KeyError, ValueError)}, KeyError(), IGNORED),
    ({"success_on": LookupError}, NotFound(), SUCCESS),
    ({"success_on": LookupError}, Boom(), FAILURE),
    ({"success_on": LookupError}, HangUp(), IGNORED),
    ({"failure_on": OSError}, TimeoutError(), FAILURE),
    ({"failure_on": OSError}, Boom(), SUCCESS),
    ({"failure_on": OSError}, HangUp(), IGNORED),
    ({"failure_on": (OSError, Boom)}, Boom(), FAILURE),
    ({"failure_on": ()}, Boom(), SUCCESS),
    ({"failure_on": KeyboardInterrupt}, KeyboardInterrupt(), FAILURE),
    ({"failure_on": BaseException}, GeneratorExit(), FAILURE),
    ({"failure_on": (Exception, asyncio.CancelledError)}, asyncio.CancelledError(), FAILURE),
    ({"success_on": GeneratorExit}, GeneratorExit(), SUCCESS),
    ({"ignore_on": Boom, "success_on": Boom, "failure_on": Boom}, Boom(), IGNORED),
    ({"success_on": Boom, "failure_on": Boom}, Boom(), SUCCESS),
    ({"success_on": Exception, "failure_on": Boom}, Boom(), SUCCESS),
    ({"ignore_on": NotFound, "success_on": LookupError}, NotFound(), IGNORED),
    ({"ignore_on": NotFound, "success_on": LookupError}, KeyError(), SUCCESS),
    ({"ignore_on": ValueError, "failure_on": OSError}, TypeError(), SUCCESS),
    ({"ignore_on": ValueError, "failure_on": Exception}, TypeError(), FAILURE),
]


@pytest.mark.parametrize(("options", "error", "outcome"), LISTS)
def test_the_lists_are_tried_in_order_and_the_first_match_wins(
    make_breaker: Make, options: dict[str, Any], error: BaseException, outcome: str
) -> None:
    # S41
    assert outcome_of(make_breaker(LENIENT, **options), error) == outcome


@pytest.mark.parametrize("option", ["ignore_on", "success_on", "failure_on"])
@pytest.mark.parametrize("value", [42, "ValueError", int, ValueError(), [ValueError], (ValueError, int)])
def test_a_list_that_is_no_exception_type_is_refused(make_breaker: Make, option: str, value: Any) -> None:
    # S45
    with pytest.raises((TypeError, ValueError), match=option):
        make_breaker(LENIENT, **{option: value})


def test_an_answer_counts_as_success_while_the_caller_sees_the_exception(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S41
    breaker = drive_to(make_breaker(Policy(1, 1, 60), success_on=NotFound), clock, State.HALF_OPEN)
    error = NotFound("no such user")
    with pytest.raises(NotFound) as caught:
        breaker.do(raiser(error))
    assert caught.value is error
    assert breaker.state is State.CLOSED


def test_a_dependency_that_mostly_misses_recovers_after_five_calls(make_breaker: Make, clock: ManualClock) -> None:
    # S41
    breaker = make_breaker(Policy(5, 5, 60), failure_on=OSError)
    fail(breaker, 5, OSError("down"))
    clock.advance(60)
    for done in range(5):
        assert (breaker.state is State.HALF_OPEN) is (done > 0)
        with pytest.raises(NotFound):
            breaker.do(raiser(NotFound()))
    assert breaker.state is State.CLOSED


# (options, group, outcome): the leaves decide, causes do not.
GROUPS: list[tuple[dict[str, Any], BaseException, str]] = [
    ({}, ExceptionGroup("g", [ValueError(), Boom()]), FAILURE),
    ({}, BaseExceptionGroup("g", [KeyboardInterrupt(), asyncio.CancelledError()]), IGNORED),
    ({}, BaseExceptionGroup("g", [KeyboardInterrupt(), Boom()]), FAILURE),
    ({}, BaseExceptionGroup("g", [HangUp(), BaseExceptionGroup("h", [HangUp(), Boom()])]), FAILURE),
    ({"ignore_on": Boom}, ExceptionGroup("g", [Boom(), Boom()]), IGNORED),
    ({"ignore_on": Boom}, ExceptionGroup("g", [Boom(), ValueError()]), FAILURE),
    ({"ignore_on": Boom}, ExceptionGroup("g", [Boom(), ExceptionGroup("h", [Boom()])]), IGNORED),
    ({"ignore_on": Boom, "success_on": NotFound}, ExceptionGroup("g", [Boom(), NotFound()]), SUCCESS),
    ({"success_on": NotFound}, ExceptionGroup("g", [NotFound(), ValueError()]), FAILURE),
    ({"success_on": NotFound}, BaseExceptionGroup("g", [HangUp(), NotFound()]), SUCCESS),
    ({"failure_on": OSError}, ExceptionGroup("g", [ValueError(), ValueError()]), SUCCESS),
    (
        {"failure_on": OSError},
        ExceptionGroup("g", [ValueError(), ExceptionGroup("h", [ExceptionGroup("i", [TimeoutError()])])]),
        FAILURE,
    ),
]


@pytest.mark.parametrize(("options", "group", "outcome"), GROUPS)
def test_a_group_is_classified_by_its_leaves(
    make_breaker: Make, options: dict[str, Any], group: BaseException, outcome: str
) -> None:
    # S42
    assert outcome_of(make_breaker(LENIENT, **options), group) == outcome


def test_a_group_in_a_group_in_a_group_and_so_on_is_looked_through(make_breaker: Make) -> None:
    # S42
    group: Any = HangUp()
    for _ in range(3000):
        group = BaseExceptionGroup("g", [group])
    breaker = make_breaker(LENIENT)
    with pytest.raises(BaseExceptionGroup):
        breaker.do(raiser(group))
    assert counts(breaker) == {IGNORED: 1}


def chained(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (chained(ValueError(), KeyboardInterrupt()), FAILURE),
        (chained(ValueError(), NotFound()), FAILURE),
        (chained(NotFound(), ValueError()), IGNORED),
        (chained(HangUp(), Boom()), IGNORED),
    ],
)
def test_causes_are_not_looked_into(make_breaker: Make, error: BaseException, outcome: str) -> None:
    # S42
    assert outcome_of(make_breaker(LENIENT, ignore_on=NotFound), error) == outcome


# Rejections that pass through


def rejection(provider: Provider) -> BreakerOpenError:
    """The error of another breaker that is open."""
    other = provider.get_breaker("db:main")
    other.force_open()
    return rejected(other)


class Unavailable(BreakerOpenError, ConnectionError):
    """What an integration raises: a rejection in the class of its library."""


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ({}, IGNORED),
        ({"failure_on": OSError}, IGNORED),
        ({"success_on": OSError}, IGNORED),
        ({"failure_on": Exception}, IGNORED),
        ({"success_on": Exception}, IGNORED),
        ({"failure_on": (OSError, BaseException)}, IGNORED),
        ({"failure_on": (Exception, BreakerOpenError)}, FAILURE),
        ({"failure_on": BreakerError}, FAILURE),
        ({"success_on": BreakerOpenError}, SUCCESS),
        ({"ignore_on": BreakerError, "success_on": BreakerOpenError}, IGNORED),
    ],
)
def test_the_rejection_of_another_breaker_is_ignored_unless_a_list_names_it(
    provider_of: Callable[..., Provider], options: dict[str, Any], outcome: str
) -> None:
    # S100
    provider = provider_of(LENIENT)
    error = rejection(provider)
    breaker = provider.get_breaker("http:outer", **options)
    assert outcome_of(breaker, error) == outcome
    assert outcome_of(breaker, Unavailable(*error.args)) == outcome
    assert outcome_of(breaker, BaseExceptionGroup("g", [error])) == outcome


@pytest.mark.parametrize(
    ("options", "outcome", "plain"),
    [
        ({"failure_on": Unavailable}, FAILURE, IGNORED),
        ({"success_on": Unavailable, "failure_on": BreakerOpenError}, SUCCESS, FAILURE),
        ({"ignore_on": ConnectionError, "failure_on": Unavailable}, FAILURE, IGNORED),
    ],
)
def test_a_list_that_names_a_kind_of_rejection_counts_that(
    make_breaker: Make, options: dict[str, Any], outcome: str, plain: str
) -> None:
    # S100
    breaker = make_breaker(LENIENT, **options)
    assert outcome_of(breaker, Unavailable("db:main", State.OPEN)) == outcome
    assert outcome_of(breaker, BreakerOpenError("db:main", State.OPEN)) == plain


def test_groups_of_rejections_are_ignored_and_a_real_failure_among_them_counts(
    provider_of: Callable[..., Provider],
) -> None:
    # S100
    provider = provider_of(LENIENT)
    error = rejection(provider)
    breaker = provider.get_breaker("http:outer")
    assert outcome_of(breaker, ExceptionGroup("g", [error, error])) == IGNORED
    assert outcome_of(breaker, ExceptionGroup("g", [error, Boom()])) == FAILURE


def test_an_outer_breaker_is_not_opened_by_an_inner_one(provider_of: Callable[..., Provider]) -> None:
    # S100
    provider = provider_of(Policy(3))
    outer, inner = provider.get_breaker("http:outer"), provider.get_breaker("http:inner")
    trip(inner)
    for _ in range(10):
        with pytest.raises(BreakerOpenError) as caught:
            outer.do(inner.do, raiser(Boom()))
        assert caught.value.name == "http:inner"
    assert (outer.state, counts(outer)) == (State.CLOSED, {IGNORED: 10})


def test_the_error_of_a_call_inside_a_probe_is_judged_as_the_probes(make_breaker: Make, clock: ManualClock) -> None:
    # S55
    breaker = drive_to(make_breaker(Policy(1, 1, 60)), clock, State.HALF_OPEN)
    with pytest.raises(Boom):
        breaker.do(breaker.do, raiser(Boom()))
    assert breaker.state is State.OPEN
    assert counts(breaker) == {"failures": 3, "ignored": 1}
