"""Whatever fails while listeners and loggers are served, and while that is reported: no call notices (S180)."""

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from breaker import Breaker, Policy, State
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Providers, cool, fail, succeed, trip
from support.processes import run_python


class Broken(logging.Handler):
    """A handler whose every attempt to write fails, as one does that raises its errors."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.attempts = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.attempts += 1
        raise self.error


@pytest.fixture(params=[OSError("no space left"), RecursionError("deep"), MemoryError(), ImportError("shutting down")])
def broken(request: pytest.FixtureRequest) -> Iterator[Broken]:
    """The handler of the logger ``breaker``, where the last report would go."""
    handler, logger = Broken(request.param), logging.getLogger("breaker")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


def bad_listener(event: object) -> None:
    raise Boom("in the listener")


def goes_through_its_states(breaker: Breaker, clock: ManualClock) -> None:
    trip(breaker)
    cool(breaker, clock)
    ran = list[int]()
    breaker.do(ran.append, 1)
    assert ran == [1], "the healthy probe is run"
    assert breaker.state is State.CLOSED
    breaker.force_open()
    breaker.reset()
    succeed(breaker)


def test_a_listener_fails_and_the_report_of_it(provider_of: Providers, clock: ManualClock, broken: Broken) -> None:
    # S180
    provider = provider_of(Policy(1, 1, 60))
    provider.subscribe(bad_listener)
    goes_through_its_states(provider.get_breaker(NAME), clock)
    assert broken.attempts > 5


def test_a_logger_fails_and_the_report_of_it(provider_of: Providers, clock: ManualClock, broken: Broken) -> None:
    # S180
    provider = provider_of(Policy(1, 1, 60), logger=logging.getLogger("breaker"))
    goes_through_its_states(provider.get_breaker(NAME), clock)
    assert broken.attempts > 5


def test_a_handler_behind_structlog_fails(
    provider_of: Providers, clock: ManualClock, broken: Broken, fresh_structlog: None
) -> None:
    # S180
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    provider = provider_of(Policy(1, 1, 60), logger=structlog.get_logger("breaker"))
    provider.subscribe(bad_listener)
    goes_through_its_states(provider.get_breaker(NAME), clock)
    assert broken.attempts > 5


def test_a_publication_goes_through(provider_of: Providers, source: MemorySource, broken: Broken) -> None:
    # S180
    provider = provider_of(Policy(1), logger=logging.getLogger("breaker"), policy_source=source)
    provider.subscribe(bad_listener)
    breaker = provider.get_breaker(NAME)
    source.publish_raw(NAME, {"failureThreshold": 7, "newer": 1})
    source.publish_raw("other", {"failureThreshold": "wrong"})
    assert breaker.policy.failure_threshold == 7


class Unspeakable(Exception):
    """An error that cannot be shown, of a listener that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __str__ = __repr__

    def __call__(self, event: object) -> None:
        raise self


def test_what_cannot_be_shown_is_reported_by_its_type(
    provider_of: Providers, clock: ManualClock, fresh_structlog: None, caplog: pytest.LogCaptureFixture
) -> None:
    # S180
    with structlog.testing.capture_logs() as captured:
        provider = provider_of(Policy(1, 1, 60), logger=structlog.get_logger())
        provider.subscribe(Unspeakable())
        goes_through_its_states(provider.get_breaker(NAME), clock)
    failed = [line for line in captured if line["event"] == "circuit breaker listener failed"]
    assert (failed[0]["listener"], failed[0]["error"]) == ("<Unspeakable>", "<Unspeakable>")
    assert caplog.records == []


@pytest.mark.parametrize("logged", [False, True], ids=["no logger", "logger"])
def test_a_probe_near_the_end_of_the_stack_is_run(
    provider_of: Providers, clock: ManualClock, logged: bool, fresh_structlog: None
) -> None:
    """At each depth at which the function alone has room, the breaker around it has none for its report."""
    # S180
    provider = provider_of(Policy(1, 1, 60), logger=structlog.get_logger() if logged else None)
    provider.subscribe(bad_listener)

    def at(depth: int, act: Callable[[], Any]) -> Any:
        return act() if depth == 0 else at(depth - 1, act)

    limit = sys.getrecursionlimit()
    structlog.configure(processors=[], wrapper_class=structlog.BoundLogger, logger_factory=lambda *_: bad_listener)
    outcomes = set[str]()
    for depth in range(limit - 120, limit):
        breaker = provider.get_breaker(f"{NAME} {depth}")
        trip(breaker)
        cool(breaker, clock)
        ran = list[int]()
        try:
            at(depth, lambda breaker=breaker, ran=ran: breaker.do(ran.append, 1))  # type: ignore[misc]
        except RecursionError:
            if not ran:
                assert breaker.state is State.OPEN, "no room for the call itself: it was never asked for"
            outcomes.add("no room")
        else:
            assert ran == [1]
            assert breaker.state is State.CLOSED
            outcomes.add("ran")
    assert outcomes == {"no room", "ran"}


AT_EXIT = """
import os, sys
import breaker
from breaker import Policy, Provider, get_default_config
from breaker.testing import ManualClock, trip

{logger}
clock = ManualClock()
provider = Provider(get_default_config("svc", "dev"), default_policy=Policy(1, 1, 60), clock=clock{argument})
guarded = provider.get_breaker("x")

def listener(event):
    raise ValueError("in the listener")

provider.subscribe(listener)

class Last:
    def __init__(self, keep):
        self.keep = keep
    def __del__(self):
        sys, breaker, clock, trip, write = self.keep
        sys.meta_path = None  # as it is at the end of the interpreter's own shutdown
        trip(breaker)
        clock.advance(60)
        ran = []
        breaker.do(ran.append, 1)
        write(1, b"ran " + str(ran).encode() + b" " + str(breaker.state).encode())

last = Last((sys, guarded, clock, trip, os.write))
{end}
"""


BROKEN_LOGGER = """
import logging, structlog
logging.getLogger("breaker").addHandler(logging.NullHandler())
structlog.configure(processors=[lambda *_: 1 / 0])
"""


@pytest.mark.parametrize("end", ["del last", ""], ids=["before its end", "at its end"])
@pytest.mark.parametrize(
    ("logger", "argument"),
    [("", ""), (BROKEN_LOGGER, ", logger=structlog.get_logger()")],
    ids=["no logger", "broken logger"],
)
def test_without_a_meta_path_a_probe_is_run(logger: str, argument: str, end: str) -> None:
    # S180
    said = run_python(AT_EXIT.format(logger=logger, argument=argument, end=end))
    assert said == "ran [1] CLOSED"


def test_an_interrupt_is_no_failure_and_reaches_the_caller(provider_of: Providers, broken: Broken) -> None:
    # S83
    provider = provider_of(Policy(1))
    provider.subscribe(bad_listener)
    breaker = provider.get_breaker(NAME)
    broken.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        breaker.do(fail, breaker)
