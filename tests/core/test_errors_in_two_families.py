"""A rejection that is an error of another library too: either class may be named first."""

import copy
import gc
import json
import pickle
import socket
import sqlite3
import ssl
import subprocess
import sys
import traceback
import urllib.error
from typing import Any

import pytest

from breaker import BreakerError, BreakerOpenError, Policy, PolicyError, State
from breaker.errors import Interrupted, Refused, RevisionConflict, SourceError, TooBig, Unreachable
from support.drive import NAME, Make, rejected, trip
from support.libraries import MISSING

CARRIED = ("svc:a", State.OPEN, 1.5, "half_open", "Boom: down")
FIELDS = ("name", "state", "retry_after", "reason", "last_error")


class OwnText(Exception):
    """Of a library: arguments, text and pickling of its own."""

    def __init__(self, message: str, *, request: object = None) -> None:
        super().__init__(message)
        self.request = request

    def __str__(self) -> str:
        return "the library's own text"

    def __repr__(self) -> str:
        return "the library's own repr"

    def __reduce__(self) -> tuple[Any, ...]:
        return OwnText, ("another",)


class OwnNames(Exception):
    """Of a library: attributes of the names that a rejection has."""

    name = reason = state = "the library's"


class Slotted(Exception):
    """Of a library: a layout of its own."""

    __slots__ = ("code", "detail")


FAMILIES: list[type[BaseException]] = [
    *(OSError, TimeoutError, ConnectionError, BlockingIOError, KeyError, ValueError, RuntimeError, MemoryError),
    *(ImportError, ModuleNotFoundError, AttributeError, NameError, SyntaxError, UnicodeDecodeError, SystemExit),
    *(StopIteration, StopAsyncIteration, KeyboardInterrupt, GeneratorExit),
    *(sqlite3.OperationalError, ssl.SSLError, socket.gaierror, urllib.error.URLError, json.JSONDecodeError),
    *(subprocess.CalledProcessError, subprocess.TimeoutExpired, OwnText, OwnNames, Slotted),
]
if "grpc" not in MISSING:
    import grpc

    FAMILIES.append(grpc.RpcError)

ORDERS = ("rejection first", "library first")


def both(family: type[BaseException], order: str) -> type[BreakerOpenError]:
    """A class of both, found by pickle under its name."""
    bases = (BreakerOpenError, family) if order == ORDERS[0] else (family, BreakerOpenError)
    made = type("Both", bases, {"__module__": __name__})
    setattr(sys.modules[__name__], "Both", made)  # noqa: B010 - it is made anew for each test
    return made


def carried(error: BreakerOpenError) -> tuple[Any, ...]:
    return tuple(getattr(error, name) for name in FIELDS)


every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__qualname__)
either_order = pytest.mark.parametrize("order", ORDERS)


@either_order
@every_family
def test_it_is_made_by_hand_and_carries_what_it_was_given(family: type[BaseException], order: str) -> None:
    # S25
    kind = both(family, order)
    by_name: Any = dict(zip(FIELDS, CARRIED, strict=True))
    for error in (kind(*CARRIED), kind(**by_name)):
        assert isinstance(error, BreakerOpenError)
        assert isinstance(error, family)
        assert carried(error) == error.args == CARRIED
        assert carried(type(error)(*error.args)) == CARRIED
        assert str(error) == str(BreakerOpenError(*CARRIED))
        assert repr(error) == repr(BreakerOpenError(*CARRIED)).replace("BreakerOpenError", "Both")


@either_order
@every_family
def test_it_is_caught_as_either(family: type[BaseException], order: str) -> None:
    # S25
    kind = both(family, order)
    for caught_as in (family, BreakerOpenError, BreakerError):
        error = kind(*CARRIED)
        with pytest.raises(caught_as) as caught:
            raise error
        assert caught.value is error
        if family is not SyntaxError:  # which has a form of its own there
            assert "circuit breaker 'svc:a' is half-open" in "".join(traceback.format_exception(error))


@either_order
@every_family
def test_it_is_pickled_and_copied(family: type[BaseException], order: str) -> None:
    # S25
    kind = both(family, order)
    error = kind(*CARRIED)
    error.add_note("order 17")
    copies = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for made in (*copies, copy.copy(error), copy.deepcopy(error)):
        assert type(made) is kind
        assert carried(made) == made.args == CARRIED
        assert made.__notes__ == ["order 17"]


@pytest.mark.parametrize(
    ("family", "order"),
    [*((family, order) for family in (OSError, KeyError, ImportError) for order in ORDERS), (OwnText, ORDERS[0])],
    ids=lambda value: getattr(value, "__qualname__", value),
)
def test_what_another_constructor_makes_of_the_args_changes_nothing_that_it_carries(
    family: type[BaseException], order: str
) -> None:
    # S25
    class Response(both(family, order)):  # type: ignore[misc]
        def __init__(self, response: object) -> None:
            BreakerOpenError.__init__(self, *CARRIED)
            family.__init__(self, "another text")
            self.response = response

    Response.__qualname__ = "Response"
    setattr(sys.modules[__name__], "Response", Response)  # noqa: B010
    error = Response("the response")
    assert error.args == ("another text",)
    assert carried(error) == CARRIED
    for made in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(made), carried(made), made.response) == (Response, CARRIED, "the response")


def test_a_class_that_defines_its_own_text_and_constructor_keeps_them() -> None:
    # S25
    class Base(BreakerOpenError):
        def __str__(self) -> str:
            return "the service is away"

    class Both(OSError, Base):
        pass

    class Other(Base, OSError):
        def __init__(self, name: str) -> None:
            super().__init__(name, State.HALF_OPEN)

    assert str(Both(*CARRIED)) == "the service is away"
    assert carried(Both(*CARRIED)) == CARRIED
    assert carried(Other("svc:a")) == ("svc:a", State.HALF_OPEN, 0.0, "open", None)


def test_keywords_of_a_class_reach_the_other_base() -> None:
    # S25
    class Family(Exception):
        code = 0

        def __init_subclass__(cls, code: int = 1, **options: Any) -> None:
            super().__init_subclass__(**options)
            cls.code = code

    class Both(BreakerOpenError, Family, code=503):
        pass

    assert Both.code == 503
    with pytest.raises(TypeError, match="takes no keyword arguments"):

        class Wrong(BreakerOpenError, code=503):
            pass


# What a rejection carries


def test_args_of_a_rejection_are_its_five_fields(make_breaker: Make) -> None:
    # S24
    breaker = make_breaker(Policy(1))
    trip(breaker)
    error = rejected(breaker)
    assert error.args == (NAME, State.OPEN, 60.0, "open", "Boom: down")
    assert [type(value) for value in error.args] == [str, State, float, str, str]
    assert carried(error) == error.args
    made_again = type(error)(*error.args)
    assert (carried(made_again), str(made_again)) == (error.args, str(error))


def test_a_rejection_survives_json_as_celery_sends_it(make_breaker: Make) -> None:
    # S24
    breaker = make_breaker(Policy(1))
    trip(breaker)
    error = rejected(breaker)
    sent = json.dumps({"exc_type": type(error).__name__, "exc_module": type(error).__module__, "args": error.args})
    received = json.loads(sent)
    kind = getattr(sys.modules[received["exc_module"]], received["exc_type"])
    made = kind(*received["args"])
    assert type(made) is BreakerOpenError
    assert carried(made) == carried(error)
    assert made.state is State.OPEN


def test_args_that_somebody_sets_are_kept_and_the_attributes_tell_what_it_was_made_with() -> None:
    # S24
    error = BreakerOpenError(*CARRIED)
    for args in ((), ("more",), ("svc:a", "ajar", 1.5, "open", None), ("svc:a", State.OPEN, 1.5, "open"), (1,) * 5):
        error.args = args
        assert error.args == args
        assert carried(error) == CARRIED
        assert str(error) == str(BreakerOpenError(*CARRIED))
    error.args = ("svc:b", *CARRIED[1:])
    assert error.name == "svc:b"


def test_a_rejection_that_was_never_filled_answers() -> None:
    # S24
    class Both(BreakerOpenError, OSError):
        pass

    for kind in (BreakerOpenError, Both):
        error = kind.__new__(kind)
        assert carried(error) == ("", State.OPEN, 0.0, "open", None)
        assert "circuit breaker" in str(error)
        assert repr(error).startswith(kind.__name__)
        error.args = CARRIED
        assert carried(error) == CARRIED


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"name": 7}, TypeError, r"^BreakerOpenError: name must be that of a breaker \(text\), got int$"),
        ({"retry_after": "1s"}, TypeError, r"^BreakerOpenError: retry_after must be seconds \(a number\), got str$"),
        ({"reason": 1}, TypeError, r"^BreakerOpenError: reason must be one of \('open', .*\), got int$"),
        ({"reason": "tired"}, ValueError, r"^BreakerOpenError: reason must be one of \('open', .*\), got 'tired'$"),
        ({"state": "ajar"}, ValueError, r"state must be State\.OPEN or State\.HALF_OPEN, got 'ajar'$"),
        ({"state": 1}, ValueError, r"state must be State\.OPEN or State\.HALF_OPEN, got 1$"),
        ({"last_error": Unreachable("x")}, TypeError, "last_error must be text or None, got Unreachable; pass "),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_by_their_name(given: dict[str, Any], error: type[Exception], text: str) -> None:
    # S24
    with pytest.raises(error, match=text):
        BreakerOpenError(**{"name": "svc:a", "state": State.OPEN} | given)


def test_text_of_a_subclass_is_carried_as_plain_text() -> None:
    class Name(str):
        """Holds anything, its own error too."""

        held: object = None

    name = Name("svc:a")
    error = BreakerOpenError(name, State.OPEN, 1, "open", Name("Boom: down"))
    name.held = error
    assert [type(value) for value in error.args] == [str, State, float, str, str]


def test_a_rejection_that_is_used_again_carries_nothing_of_the_one_before(make_breaker: Make) -> None:
    breaker, other = make_breaker(Policy(1), "a"), make_breaker(Policy(1, 1, 30), "b")
    trip(breaker)
    other.force_open()
    error: Any = rejected(breaker)
    args = error.args
    error.add_note("order 17")
    error.__cause__ = ValueError("cause")
    assert hash(args) == hash(("a", State.OPEN, 60.0, "open", "Boom: down"))
    del error
    error = rejected(other)
    assert (error.args, error.__cause__, error.__suppress_context__) == (
        ("b", State.OPEN, 30.0, "operator", None),
        None,
        False,
    )
    assert not hasattr(error, "__notes__")
    assert hash(error.args) == hash(("b", State.OPEN, 30.0, "operator", None))
    assert args == ("a", State.OPEN, 60.0, "open", "Boom: down")


def test_rejections_in_cycles_are_collected(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))
    trip(breaker)

    class Held:
        alive = 0

        def __init__(self) -> None:
            Held.alive += 1

        def __del__(self) -> None:
            Held.alive -= 1

    for _ in range(100):
        error: Any = rejected(breaker)
        error.held = Held()
        error.me = error.__cause__ = error
    del error
    gc.collect()
    assert Held.alive == 0
    assert rejected(breaker).args == (NAME, State.OPEN, 60.0, "open", "Boom: down")


# The rest of the tree


TREE: list[BreakerError] = [
    BreakerError("one", 2),
    PolicyError("failureThreshold", "a number", "'x'", "write 5", "a.json"),
    SourceError("no such thing", "10.0.0.1:2379"),
    *(kind("no answer", "10.0.0.1:2379") for kind in (Unreachable, Refused, Interrupted, TooBig)),
    SourceError("no such thing"),
    RevisionConflict("a", 4, 5, "10.0.0.1:2379"),
]


@pytest.mark.parametrize("error", TREE, ids=lambda error: type(error).__name__)
def test_every_error_of_the_tree_is_made_again_by_its_args(error: BreakerError) -> None:
    copies = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for made in (*copies, copy.copy(error), copy.deepcopy(error), type(error)(*error.args)):
        assert type(made) is type(error)
        assert (made.args, str(made), vars(made)) == (error.args, str(error), vars(error))


@either_order
@pytest.mark.parametrize("kind", [BreakerError, SourceError, RevisionConflict], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("family", [OSError, KeyError, ImportError], ids=lambda family: family.__name__)
def test_every_error_of_the_tree_has_the_layout_of_a_plain_exception(
    family: type[Exception], kind: type[BreakerError], order: str
) -> None:
    bases = (kind, family) if order == ORDERS[0] else (family, kind)
    assert issubclass(type("Both", bases, {}), (kind, family))
