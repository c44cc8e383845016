"""The text of a failure is made where it is read, by code of the exception's class, which reaches no call."""

import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, Provider, State, get_default_config
from breaker.events import CallFailed, StateChanged
from breaker.testing import ManualClock
from support.drive import Boom, HangUp, Make, drive_to, raiser, rejected
from support.processes import in_a_process
from support.reading import counts

asked: list[str] = []


class Loud(Exception):
    """Notes each time that it is asked for its text."""

    def __str__(self) -> str:
        asked.append("text")
        return f"loud {self.args[0]}"


class LoudFamily(Loud):
    """The same with an attribute."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        return f"{super().__str__()} with status {self.status}"


class Holding(Exception):
    """Has an attribute that may hold anything: frames too."""

    def __init__(self, response: object) -> None:
        self.response = response

    def __str__(self) -> str:
        asked.append("text")
        return f"of {self.response!r}"


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    asked.clear()


def failed(breaker: Breaker, error: BaseException) -> None:
    """A call that raises this; its caller gets the very object. Not `pytest.raises`, which asks for its text."""
    try:
        breaker.do(raiser(error))
    except BaseException as raised:
        same = raised is error
    assert same


@pytest.mark.parametrize(
    ("error", "text"), [(Loud(1), "Loud: loud 1"), (LoudFamily(7), "LoudFamily: loud 7 with status 7")]
)
def test_nobody_is_asked_before_somebody_reads(make_breaker: Make, error: Loud, text: str) -> None:
    # S101
    breaker = make_breaker(Policy(2))
    failed(breaker, error)
    failed(breaker, error)
    rejection = rejected(breaker)
    assert (breaker.state, asked) == (State.OPEN, [])
    assert rejection.last_error == text
    assert rejection.args[4] == text
    assert str(rejection).endswith(f"it opened on {text}")
    assert breaker.snapshot().last_error == rejected(breaker).last_error == text
    assert pickle.loads(pickle.dumps(rejection)).last_error == text
    assert asked == ["text"]


def test_nobody_is_asked_by_permits_and_predicates_either(make_breaker: Make) -> None:
    # S101
    breaker = make_breaker(Policy(1000), failed_error=lambda error: True)
    breaker.acquire().failure(Loud(1))
    failed(breaker, Loud(2))
    with pytest.raises(ExceptionGroup):
        breaker.do(raiser(ExceptionGroup("g", [Loud(3)])))
    assert counts(breaker) == {"failures": 3}
    assert asked == []


def test_listeners_get_the_text(make_breaker: Make, events: list[Any]) -> None:
    # S101
    breaker = make_breaker(Policy(1))
    failed(breaker, Loud(1))
    texts = [event.error if isinstance(event, CallFailed) else event.last_error for event in events[1:]]
    assert texts == ["Loud: loud 1", "Loud: loud 1"]
    assert [type(event) for event in events[1:]] == [CallFailed, StateChanged]


def test_the_text_is_of_the_moment_of_the_failure(make_breaker: Make) -> None:
    # S101
    breaker = make_breaker(Policy(1))
    error = LoudFamily(7)
    failed(breaker, error)
    error.status = 8
    error.args = (9,)
    assert rejected(breaker).last_error == "LoudFamily: loud 7 with status 7"


class Big:
    """Something that a frame of the call holds."""


@pytest.mark.parametrize("make", [lambda big: Loud(1), Holding, lambda big: Boom(big)], ids=["loud", "holding", "args"])
def test_what_is_kept_holds_nothing_of_the_call(make_breaker: Make, make: Callable[[object], Exception]) -> None:
    # S24, S101
    breaker = make_breaker(Policy(1))
    seen: list[weakref.ref[Big]] = []

    def call() -> None:
        big = Big()
        seen.append(weakref.ref(big))
        raise make(big)

    with pytest.raises((Loud, Holding, Boom)):
        breaker.do(call)
    rejection = rejected(breaker)
    gc.collect()
    assert seen[0]() is None
    assert rejection.last_error is not None


def type_of_raised(call: Callable[[], object]) -> type[BaseException] | None:
    try:
        call()
    except BaseException as raised:
        return type(raised)
    return None


# Text that misbehaves


class Misbehaving(Exception):
    """What its text does is said by its class."""


def misbehaving(text: Callable[[Any], Any], **attributes: Any) -> type[Exception]:
    return type("Misbehaving", (Misbehaving,), {"__str__": text, "__repr__": text, **attributes})


def raising(error: BaseException) -> Callable[[Any], Any]:
    def text(self: object) -> str:
        raise error

    return text


def endless(self: object) -> str:
    return str(self)


TEXTS: dict[str, Callable[[Any], Any]] = {
    "raises": raising(LookupError("no text")),
    "interrupts": raising(KeyboardInterrupt()),
    "exits": raising(SystemExit(3)),
    "hangs up": raising(HangUp()),
    "stops": raising(StopIteration()),
    "raises itself": lambda self: raiser(self)(),
    "is no text": lambda self: 7,
    "is endless": endless,
}

every_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
held = pytest.mark.parametrize("attributes", [{}, {"__slots__": ("held",)}], ids=["kept", "told at once"])


@held
@every_text
def test_text_that_misbehaves_reaches_no_call(
    make_breaker: Make, text: Callable[[Any], Any], attributes: dict[str, Any]
) -> None:
    # S101
    breaker = make_breaker(Policy(1))
    failed(breaker, misbehaving(text, **attributes)())
    assert (breaker.state, counts(breaker)) == (State.OPEN, {"failures": 1})
    assert rejected(breaker).last_error == "Misbehaving: <message cannot be shown>"
    assert breaker.snapshot().last_error == "Misbehaving: <message cannot be shown>"


@held
@every_text
def test_text_that_misbehaves_holds_no_slot(
    make_breaker: Make, clock: ManualClock, text: Callable[[Any], Any], attributes: dict[str, Any]
) -> None:
    # S101
    breaker = drive_to(make_breaker(Policy(1, 1, 60)), clock, State.HALF_OPEN)
    failed(breaker, misbehaving(text, **attributes)())
    assert (breaker.state, breaker.snapshot().half_open_in_flight) == (State.OPEN, 0)


@every_text
def test_text_that_misbehaves_reaches_no_call_where_somebody_listens(
    provider_of: Callable[..., Provider], events: list[Any], text: Callable[[Any], Any]
) -> None:
    # S101
    breaker = provider_of(Policy(1)).get_breaker("a")
    failed(breaker, misbehaving(text)())
    (told,) = [event for event in events if isinstance(event, CallFailed)]
    assert told.error == "Misbehaving: <message cannot be shown>"


@pytest.mark.parametrize(
    "name", ["__class__", "__cause__", "__context__", "__traceback__", "args", "__eq__", "__hash__", "__bool__"]
)
def test_attributes_that_misbehave_reach_no_call(make_breaker: Make, clock: ManualClock, name: str) -> None:
    # S101
    def trouble(self: object, *arguments: object) -> Any:
        raise HangUp

    kind = type(
        "Odd", (Exception,), {name: trouble if name in ("__eq__", "__hash__", "__bool__") else property(trouble)}
    )
    breaker = drive_to(make_breaker(Policy(1, 1, 60), failure_on=Exception), clock, State.HALF_OPEN)
    failed(breaker, kind())
    assert (breaker.state, breaker.snapshot().half_open_in_flight) == (State.OPEN, 0)
    assert rejected(breaker).last_error == "Odd"


class Meta(type):
    """Nothing of its classes can be asked."""

    def __getattribute__(cls, name: str) -> Any:
        raise HangUp

    def __instancecheck__(cls, instance: object) -> bool:
        raise HangUp

    def __eq__(cls, other: object) -> bool:
        raise HangUp

    def __hash__(cls) -> int:
        raise HangUp


class MetaOfAll(Meta):
    """The same; the interpreter itself asks this one, where an exception is raised or leaves a function."""

    def __subclasscheck__(cls, kind: type) -> bool:
        raise HangUp


def test_a_metaclass_that_misbehaves_reaches_no_call(make_breaker: Make, clock: ManualClock) -> None:
    # S101
    class OfMeta(Exception, metaclass=Meta):
        pass

    breaker = drive_to(make_breaker(Policy(1, 1, 60), ignore_on=OSError, failure_on=Exception), clock, State.HALF_OPEN)
    failed(breaker, OfMeta("down"))
    assert (breaker.state, breaker.snapshot().half_open_in_flight) == (State.OPEN, 0)
    assert rejected(breaker).last_error == "OfMeta: down"


def test_a_metaclass_that_the_interpreter_asks_holds_no_slot(make_breaker: Make, clock: ManualClock) -> None:
    # S101
    class OfMeta(Exception, metaclass=MetaOfAll):
        pass

    breaker = drive_to(make_breaker(Policy(1, 1, 60), ignore_on=OSError, failure_on=Exception), clock, State.HALF_OPEN)
    error = OfMeta("down")
    assert type_of_raised(lambda: breaker.do(raiser(error))) is type_of_raised(raiser(error))
    assert breaker.snapshot().half_open_in_flight == 0


def test_text_that_uses_the_breaker_and_reads_itself(make_breaker: Make) -> None:
    # S16, S101
    breaker = make_breaker(Policy(1))

    class Curious(Exception):
        def __str__(self) -> str:
            with pytest.raises(BreakerOpenError):
                breaker.do(int)
            return f"in {breaker.state}, {len(str(breaker.snapshot().last_error)) > 0}"

    failed(breaker, Curious())
    assert str(rejected(breaker).last_error).startswith("Curious: ")


# In a process of its own: free-threaded 3.13 keeps every class for good once a program has started a thread.
@in_a_process()
def test_a_class_that_holds_its_breaker_is_collected_with_it() -> None:
    breaker: Any = Provider(get_default_config("svc", "dev"), default_policy=Policy(1)).get_breaker("a")

    class Local(Exception):
        where = breaker

        def __str__(self) -> str:
            return "local"

    failed(breaker, Local())
    Local.rejection = rejected(breaker)  # type: ignore[attr-defined]
    gone = weakref.ref(breaker), weakref.ref(Local)
    del breaker, Local
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
