"""The options of `get_breaker`: they are for the creation, and never dropped silently."""

import logging
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy, Provider
from support.drive import NAME, Boom, fail
from support.threads import together


class Other(Exception):
    """Not a `Boom`."""


def falsy(value: object) -> bool:
    return not value


def is_boom(error: BaseException) -> bool | None:
    return isinstance(error, Boom) or None


def above(limit: int, value: object, *, inclusive: bool = False) -> bool:
    return isinstance(value, int) and (value > limit or (inclusive and value == limit))


class Judge:
    def judge(self, value: object) -> bool:
        return not value


OPTIONS: list[dict[str, Any]] = [
    {"failure_on": Boom},
    {"success_on": (Boom, Other)},
    {"ignore_on": Boom, "failure_on": Other},
    {"failed_result": falsy},
    {"failed_error": is_boom},
    {"failed_result": partial(above, 500, inclusive=True), "failed_error": is_boom},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_existing_breaker_is_named_without_options_or_with_its_own(
    provider_of: Callable[..., Provider], options: dict[str, Any]
) -> None:
    # S45
    provider = provider_of()
    made = provider.get_breaker(NAME, **options)
    assert provider.get_breaker(NAME) is made
    assert provider.get_breaker(NAME, **options) is made
    for name, value in options.items():
        assert provider.get_breaker(NAME, **{name: value}) is made


def test_options_are_equal_by_what_they_say(provider_of: Callable[..., Provider]) -> None:
    # S45
    provider, judge = provider_of(), Judge()
    made = provider.get_breaker(NAME, failure_on=(Boom, Other), success_on=OSError, failed_result=judge.judge)
    assert provider.get_breaker(NAME, failure_on=(Other, Boom)) is made
    assert provider.get_breaker(NAME, success_on=(OSError,)) is made
    assert provider.get_breaker(NAME, failed_result=judge.judge) is made


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_that_the_breaker_was_not_made_with_are_refused(
    provider_of: Callable[..., Provider], options: dict[str, Any]
) -> None:
    # S45
    provider = provider_of()
    made = provider.get_breaker(NAME)
    with pytest.raises(ValueError, match=f"breaker '{NAME}' exists with ([a-z_]+)=None and cannot get \\1="):
        provider.get_breaker(NAME, **options)
    assert provider.get_breaker(NAME) is made


@pytest.mark.parametrize(
    "options",
    [
        {"failure_on": Other},
        {"failure_on": (Boom, Other)},
        {"failure_on": ()},
        {"failure_on": Exception},
        {"success_on": Boom},
        {"failed_result": lambda value: not value},
        {"failure_on": Boom, "failed_result": Judge().judge},
        {"failed_error": lambda error: True},
        {"failed_error": is_boom},
    ],
    ids=str,
)
def test_options_that_differ_are_refused_and_change_nothing(
    provider_of: Callable[..., Provider], options: dict[str, Any]
) -> None:
    # S45
    provider = provider_of(Policy(1))
    made = provider.get_breaker(NAME, failure_on=Boom, failed_result=falsy)
    with pytest.raises(ValueError, match="give options where the breaker is made first, or use another name"):
        provider.get_breaker(NAME, **options)
    fail(made, error=Boom())
    with pytest.raises(BreakerOpenError):
        made.acquire()


def test_of_two_threads_that_differ_in_options_one_is_refused(provider_of: Callable[..., Provider]) -> None:
    # S45
    provider = provider_of()
    for round_number in range(20):
        refused: list[int] = []

        def work(number: int, name: str = f"name {round_number}", refused: list[int] = refused) -> None:
            try:
                provider.get_breaker(name, failure_on=(Boom, Other)[number])
            except ValueError:
                refused.append(number)

        together(2, work)
        assert len(refused) == 1


@pytest.mark.parametrize("option", ["failure_on", "success_on", "ignore_on"])
@pytest.mark.parametrize("value", [5, "Boom", Boom(), [Boom], int, (Boom, 5), (Boom, (Other,)), {Boom}], ids=repr)
def test_an_option_of_the_wrong_kind_makes_no_breaker(
    provider_of: Callable[..., Provider], option: str, value: Any
) -> None:
    # S45
    provider = provider_of()
    with pytest.raises(TypeError, match=f"{option} must be an exception type or a tuple of them"):
        provider.get_breaker(NAME, **{option: value})
    assert len(provider.breakers) == 0
    right: dict[str, Any] = {option: Boom}
    provider.get_breaker(NAME, **right)
    with pytest.raises(TypeError, match=f"{option} must be an exception type or a tuple of them"):
        provider.get_breaker(NAME, **{option: value})


class Incomparable(type):
    """Its classes can be compared with nothing, and kept in no set."""

    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("compared")

    def __hash__(cls) -> int:
        raise RuntimeError("hashed")


class OfIncomparable(Exception, metaclass=Incomparable):
    pass


def test_classes_of_exceptions_are_the_same_by_identity(provider_of: Callable[..., Provider]) -> None:
    # S45
    provider = provider_of(default_policy=Policy(1))
    made = provider.get_breaker(NAME, failure_on=OfIncomparable, ignore_on=(Boom, Boom))
    assert provider.get_breaker(NAME, failure_on=(OfIncomparable,), ignore_on=Boom) is made
    with pytest.raises(ValueError, match="failure_on"):
        provider.get_breaker(NAME, failure_on=(OfIncomparable, Other))
    with pytest.raises(ValueError, match="failure_on"):
        provider.get_breaker(NAME, failure_on=Other)
    error = OfIncomparable()
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - an except clause would compare its class
        made.do(_raise, error)
    assert raised.value is error
    assert made.snapshot().failures == 1


def _raise(error: BaseException) -> None:
    raise error


def test_a_predicate_is_callable(provider_of: Callable[..., Provider]) -> None:
    # S45
    with pytest.raises(TypeError, match="failed_result must be a callable, got bool"):
        provider_of().get_breaker(NAME, failed_result=True)  # type: ignore[arg-type]


def test_an_option_that_does_not_exist_is_a_type_error(provider_of: Callable[..., Provider]) -> None:
    with pytest.raises(TypeError):
        provider_of().get_breaker(NAME, retry_on=Boom)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        provider_of().get_breaker(NAME, Boom)  # type: ignore[call-arg]


def test_partials_and_bound_methods_are_equal_by_what_they_do(provider_of: Callable[..., Provider]) -> None:
    # S45
    provider, judge = provider_of(), Judge()
    made = provider.get_breaker(NAME, failed_result=partial(above, 500, inclusive=True), failed_error=judge.judge)
    assert provider.get_breaker(NAME, failed_result=partial(above, 500, inclusive=True)) is made
    assert provider.get_breaker(NAME, failed_result=partial(partial(above, 500), inclusive=True)) is made
    assert provider.get_breaker(NAME, failed_error=judge.judge) is made
    others: list[Any] = [partial(above, 500), partial(above, 501, inclusive=True), partial(falsy), above, falsy]
    for other in others:
        with pytest.raises(ValueError, match="cannot get failed_result="):
            provider.get_breaker(NAME, failed_result=other)
    with pytest.raises(ValueError, match="cannot get failed_error="):
        provider.get_breaker(NAME, failed_error=Judge().judge)


def request_handler(provider: Provider, kind: str, option: str) -> Any:
    """As a request handler asks for its breaker each time it runs."""
    limit = 500
    judge = Judge()
    made: dict[str, Any] = {
        "lambda": lambda value: value >= limit,
        "partial": partial(lambda limit, value: value >= limit, limit),
        "method": MethodType(lambda self, value: value >= limit, judge),
        "object": judge.judge,
    }
    return provider.get_breaker(NAME, **{option: made[kind]})


@pytest.mark.parametrize("option", ["failed_result", "failed_error"])
@pytest.mark.parametrize("kind", ["lambda", "partial", "method", "object"])
def test_an_option_that_is_made_anew_by_each_request_is_explained(
    provider_of: Callable[..., Provider], kind: str, option: str
) -> None:
    # S45
    provider = provider_of()
    request_handler(provider, kind, option)
    with pytest.raises(
        ValueError, match=rf"made anew by each call .* define it once, at module level, and pass that as {option} each"
    ):
        request_handler(provider, kind, option)


# -- very many breakers --


def test_more_than_a_thousand_breakers_are_warned_of_once(provider_of: Callable[..., Provider]) -> None:
    # S148
    logger = logging.Logger("many")
    written = list[str]()
    logger.addHandler(handler := logging.Handler())
    handler.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
    provider = provider_of(logger=logger)
    for number in range(1000):
        provider.get_breaker(f"http:users/{number}")
    with pytest.warns(RuntimeWarning, match="an identifier in the name") as warned:
        assert [provider.get_breaker(f"http:users/{number}").name for number in range(1000, 1010)]
    (warning,) = warned
    assert warning.filename == __file__
    assert "the provider of 'svc' has 1,001 breakers, the last one is 'http:users/1000'" in str(warning.message)
    told = [message for message in written if "very many" in message]
    assert len(told) == 1
    assert "breakers=1001 last=http:users/1000" in told[0]
    for number in range(1010):
        provider.remove(f"http:users/{number}")
    for number in range(1010):
        provider.get_breaker(f"http:users/{number}")


def test_a_warning_that_is_an_error_leaves_the_breaker(provider_of: Callable[..., Provider]) -> None:
    # S148
    provider = provider_of()
    for number in range(1000):
        provider.get_breaker(str(number))
    with pytest.raises(RuntimeWarning):
        provider.get_breaker("1000")
    assert provider.get_breaker("1000") is provider.breakers["1000"]
