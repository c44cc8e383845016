"""What goes into a call and what comes out: arguments, values, and `failed_result`."""

import weakref
from typing import Any

import pytest

from breaker import Policy, State
from breaker.events import CallFailed
from breaker.testing import ManualClock
from support.drive import NAME, Boom, HangUp, Make, drive_to, identity, raiser, rejected, succeed
from support.reading import counts, of_type


class Awkward:
    """A value that is neither equal to itself nor true nor false."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("nobody may compare the value of a call")

    def __bool__(self) -> bool:
        raise AssertionError("nobody may ask the value of a call for its truth")

    __hash__ = object.__hash__


VALUES: list[Any] = [
    None,
    False,
    True,
    0,
    "",
    (),
    [],
    {},
    ValueError("as a value"),
    KeyboardInterrupt(),
    NotImplemented,
    ...,
]


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("value", [*VALUES, Awkward()], ids=lambda value: type(value).__name__)
def test_the_value_comes_back_unchanged(make_breaker: Make, clock: ManualClock, value: Any, state: State) -> None:
    # S36
    breaker = drive_to(make_breaker(Policy(1, 5, 60)), clock, state)
    clock.advance(breaker.retry_after)
    assert breaker.do(lambda: value) is value
    assert counts(breaker)["successes"] == 1


def test_arguments_go_through_as_they_are(make_breaker: Make) -> None:
    # S36
    breaker = make_breaker()

    def echo(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert breaker.do(echo) == ((), {})
    assert breaker.do(echo, 1, None, [2]) == ((1, None, [2]), {})
    assert breaker.do(echo, 1, a=2) == ((1,), {"a": 2})
    names = {"fn": 1, "self": 2, "args": 3, "kwargs": 4, "timeout": 5, "failed_result": 6}
    assert breaker.do(echo, **names) == ((), names)
    marker = object()
    args, kwargs = breaker.do(echo, marker, key=marker)
    assert args[0] is kwargs["key"] is marker


def test_do_takes_any_callable(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(100))

    class Client:
        def method(self, x: int) -> int:
            return x + 1

        @classmethod
        def build(cls) -> type:
            return cls

        def __call__(self) -> str:
            return "called"

    assert breaker.do(Client().method, 1) == 2
    assert breaker.do(Client.build) is Client
    assert breaker.do(Client()) == "called"
    assert breaker.do(len, "four") == 4
    assert breaker.do(int, "12", base=8) == 10
    assert counts(breaker) == {"successes": 5}


def test_do_without_a_function_is_a_type_error_and_no_call(make_breaker: Make) -> None:
    breaker = make_breaker()
    with pytest.raises(TypeError):
        breaker.do()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        breaker.do(fn=len)  # type: ignore[call-arg]
    assert counts(breaker) == {}


def test_wrong_arguments_are_the_callers_type_error(make_breaker: Make) -> None:
    # S30
    breaker = make_breaker()
    with pytest.raises(TypeError, match="takes 0 positional"):
        breaker.do(lambda: None, 1)  # type: ignore[misc, arg-type]
    assert counts(breaker) == {"failures": 1}


# failed_result


def test_a_failed_result_counts_as_failure_and_is_returned(make_breaker: Make, events: list[Any]) -> None:
    # S43
    breaker = make_breaker(Policy(2), failed_result=lambda response: response["status"] >= 500)
    response = {"status": 503}
    assert breaker.do(lambda: response) is response
    assert breaker.do(lambda: {"status": 200}) == {"status": 200}
    for _ in range(2):
        assert breaker.do(lambda: response) is response
    assert breaker.state is State.OPEN
    assert counts(breaker) == {"successes": 1, "failures": 3}
    assert of_type(events, CallFailed) == [CallFailed(NAME, "failed result")] * 3
    assert rejected(breaker).last_error == "failed result"


@pytest.mark.parametrize(("verdict", "state"), [(True, State.OPEN), (False, State.CLOSED)])
def test_the_predicate_judges_a_probe(make_breaker: Make, clock: ManualClock, verdict: bool, state: State) -> None:
    # S43
    breaker = drive_to(make_breaker(Policy(1, 1, 60), failed_result=lambda _: verdict), clock, State.HALF_OPEN)
    assert breaker.do(lambda: "value") == "value"
    assert breaker.state is state


def test_the_predicate_sees_each_value_once_and_no_exception(make_breaker: Make) -> None:
    # S43
    seen: list[Any] = []
    breaker = make_breaker(Policy(9), failed_result=seen.append)
    for value in VALUES:
        assert breaker.do(identity, value) is value
    with pytest.raises(Boom):
        breaker.do(raiser(Boom()))
    with breaker.acquire() as permit:
        permit.success()
    assert [id(value) for value in seen] == [id(value) for value in VALUES]
    assert counts(breaker) == {"successes": len(VALUES) + 1, "failures": 1}


@pytest.mark.parametrize("state", [State.CLOSED, State.HALF_OPEN])
def test_a_raising_predicate_is_a_failure_and_its_error_is_raised(
    make_breaker: Make, clock: ManualClock, events: list[Any], state: State
) -> None:
    # S43
    error = ZeroDivisionError("in the predicate")
    broken: list[bool] = []

    def predicate(value: Any) -> bool:
        if broken:
            raise error
        return False

    # even an error that the lists call healthy: the predicate's error is no answer of the dependency
    breaker = make_breaker(Policy(1, 1, 60), failed_result=predicate, success_on=ZeroDivisionError)
    drive_to(breaker, clock, state)
    broken.append(True)
    with pytest.raises(ZeroDivisionError) as caught:
        breaker.do(lambda: "value")
    assert caught.value is error
    assert (breaker.state, breaker.snapshot().half_open_in_flight) == (State.OPEN, 0)
    assert of_type(events, CallFailed)[-1] == CallFailed(NAME, "ZeroDivisionError: in the predicate")


def test_an_answer_of_the_predicate_without_a_truth_is_a_raising_predicate(make_breaker: Make) -> None:
    # S43
    breaker = make_breaker(Policy(1), failed_result=lambda value: Awkward())
    with pytest.raises(AssertionError, match="for its truth"):
        breaker.do(lambda: "value")
    assert breaker.state is State.OPEN


def test_any_true_answer_means_failed(make_breaker: Make) -> None:
    # S43
    breaker = make_breaker(Policy(9), failed_result=lambda value: value)
    values: list[Any] = [1, "text", [0], 0, "", None]
    for value in values:
        breaker.do(identity, value)
    assert counts(breaker) == {"successes": 3, "failures": 3}


def test_an_exception_whose_text_raises_still_fails_the_call(make_breaker: Make, events: list[Any]) -> None:
    # S47, S48: telling about a failure must never replace it
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    breaker = make_breaker(Policy(1))
    error = Unprintable()
    with pytest.raises(Unprintable) as caught:
        breaker.do(raiser(error))
    assert caught.value is error
    assert breaker.state is State.OPEN
    last_error = rejected(breaker).last_error
    assert last_error is not None
    assert last_error.startswith("Unprintable")


def test_values_and_errors_are_not_kept_alive(make_breaker: Make) -> None:
    # "pins no frames": after the call the breaker holds neither the value nor the exception
    class Value:
        pass

    class Failing(Exception):
        pass

    def failing() -> None:
        raise Failing("kept?")

    breaker = make_breaker(Policy(1), failed_result=lambda value: False)
    value = breaker.do(Value)
    gone: list[weakref.ref[Any]] = [weakref.ref(value)]
    del value
    try:
        breaker.do(failing)
    except Failing as error:
        gone.append(weakref.ref(error))
    assert [ref() for ref in gone] == [None, None]
    assert rejected(breaker).last_error == "Failing: kept?"


def test_a_caller_that_hangs_up_is_not_asked_for_a_value(make_breaker: Make) -> None:
    # S43
    seen: list[Any] = []
    breaker = make_breaker(Policy(1), failed_result=seen.append)
    with pytest.raises(HangUp):
        breaker.do(raiser(HangUp()))
    assert (seen, counts(breaker)) == ([], {"ignored": 1})
    succeed(breaker)
    assert len(seen) == 1


def test_a_call_that_recurses_for_ever_is_the_interpreters_recursion_error(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))

    def recurse() -> None:
        breaker.do(recurse)

    with pytest.raises(RecursionError):
        breaker.do(recurse)
    assert counts(breaker)["failures"] == 1
    assert breaker.state is State.OPEN


def test_the_callers_own_tuple_of_arguments_is_never_written_to(make_breaker: Make) -> None:
    # A bound method may borrow the slot before its first argument; in ``do(*arguments)`` that is an item of the tuple.
    breaker = make_breaker(Policy())
    seen: list[object] = []

    class Caller:
        def method(self) -> None:
            seen.append(arguments[0])
            if len(seen) == 1:
                breaker.do(*arguments)

    arguments = (Caller().method,)
    breaker.do(*arguments)
    assert seen == [arguments[0]] * 2
