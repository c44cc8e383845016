"""What exceptions and groups of them count as, by random options, against the oracle."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breaker import Breaker, BreakerError, BreakerOpenError, Policy, Provider, State
from support.drive import CONFIG, raiser
from support.meanings import LISTS, meaning
from support.reading import counts


class Refused(BreakerOpenError, ConnectionError):
    """A rejection in the class of a library."""


class Status(Exception):
    """An error whose class says nothing."""

    def __init__(self, failed: bool | None) -> None:
        self.failed = failed


KINDS: list[type[BaseException]] = [
    *(BaseException, Exception, OSError, ConnectionError, TimeoutError, LookupError, KeyError, KeyboardInterrupt),
    *(BreakerError, BreakerOpenError, Refused, Status, GeneratorExit),
]
LEAVES = st.one_of(
    st.sampled_from([OSError, ConnectionError, KeyError, ValueError, KeyboardInterrupt, GeneratorExit]).map(
        lambda kind: kind("x")
    ),
    st.sampled_from([True, False, None]).map(Status),
    st.sampled_from([BreakerOpenError, Refused]).map(lambda kind: kind("another", State.OPEN)),
    st.just("x").map(BreakerError),
)
ERRORS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda some: BaseExceptionGroup("g", some))
)
PREDICATES = st.sampled_from(
    [lambda error: getattr(error, "failed", None), lambda error: isinstance(error, KeyError), lambda error: None]
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        **{option: st.lists(st.sampled_from(KINDS), max_size=3).map(tuple) for option in LISTS},
        "failed_error": PREDICATES,
    },
)


def by_do(breaker: Breaker, error: BaseException) -> None:
    breaker.do(raiser(error))


def by_permit(breaker: Breaker, error: BaseException) -> None:
    with breaker.acquire():
        raise error


@settings(deadline=None, database=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(options=OPTIONS, errors=st.lists(ERRORS, min_size=1, max_size=5))
def test_every_exception_means_what_the_oracle_says(options: dict[str, Any], errors: list[BaseException]) -> None:
    # S40, S41, S42, S49, S100
    breaker = Provider(CONFIG, default_policy=Policy(1000)).get_breaker("a", **options)
    expected: dict[str, int] = {}
    for error in errors:
        outcome = meaning(error, options)
        for form in (by_do, by_permit):
            with pytest.raises(BaseException) as caught:  # noqa: PT011 - any
                form(breaker, error)
            assert caught.value is error
            expected[outcome] = expected.get(outcome, 0) + 1
            assert counts(breaker) == expected, (form, error)
