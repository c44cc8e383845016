"""`configure_json` line by line: where to, in which order, whole; and loggers that fail or are none."""

import contextlib
import io
import json
import logging
import os
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from breaker import Breaker, BreakerOpenError, Mode, Policy, State, logs
from breaker.sources import MemorySource
from support.drive import NAME, HangUp, Providers, document, fail, raiser, rejected
from support.threads import together

pytestmark = pytest.mark.usefixtures("fresh_structlog")


@pytest.fixture
def logged(provider_of: Providers) -> Callable[..., Breaker]:
    """``logged(policy)``: a breaker whose events are logged through structlog as it is configured then."""
    return lambda policy=None, **options: provider_of(
        policy or Policy(1, 1, 60), logger=structlog.get_logger("breaker"), **options
    ).get_breaker(NAME)


def test_the_exact_lines_of_a_cycle(logged: Callable[..., Breaker], stream: io.StringIO, clock: Any) -> None:
    logs.configure_json(stream)
    breaker = logged(Policy(1, 1, 60))
    fail(breaker)
    clock.advance(60)
    assert breaker.do(int) == 0
    breaker.force_open()
    breaker.clear_override()
    breaker.force_open()
    breaker.reset()
    created = {
        "level": "info",
        "msg": "circuit breaker created",
        "name": NAME,
        "policy": {
            "failureThreshold": 1,
            "successThreshold": 1,
            "openStateTimeout": "1m",
            "halfOpenMaxCalls": 1,
            "mode": "auto",
        },
    }
    changed = {"msg": "circuit breaker state changed", "name": NAME}
    mode = {"msg": "circuit breaker mode changed", "name": NAME}
    forced = {"level": "warning", **mode, "from": "auto", "to": "forced_open"}
    cleared = {"level": "info", **mode, "from": "forced_open", "to": "auto"}
    opened = {"level": "warning", **changed, "from": "CLOSED", "to": "OPEN", "reason": "tripped", "failures": 1}
    probing = {"level": "info", **changed, "from": "OPEN", "to": "HALF_OPEN", "reason": "timeout", "failures": 0}
    closed = {"level": "info", **changed, "from": "HALF_OPEN", "to": "CLOSED", "reason": "recovered", "failures": 0}
    expected = [
        created,
        {**opened, "retry_after": 60.0, "error": "Boom: down"},
        {**probing, "retry_after": 0.0},
        {**closed, "retry_after": 0.0},
        *(forced, cleared, forced, cleared),
    ]
    # The text, not what it says: the order of the keys is part of the line.
    whose = f', "service": "svc", "pid": {os.getpid()}}}'
    assert stream.getvalue().splitlines() == [json.dumps(line)[:-1] + whose for line in expected]


def test_rejections_are_counted_and_not_logged(logged: Callable[..., Breaker], stream: io.StringIO) -> None:
    logs.configure_json(stream, "debug")
    breaker = logged()
    fail(breaker)
    said = stream.getvalue()
    rejected(breaker, 100)
    assert stream.getvalue() == said


def test_without_a_stream_a_line_goes_to_the_standard_output_of_its_moment(logged: Callable[..., Breaker]) -> None:
    logs.configure_json()
    breaker = logged()
    outputs = [io.StringIO(), io.StringIO()]
    for output in outputs:
        with contextlib.redirect_stdout(output):
            breaker.shadow()
            breaker.clear_override()
    assert [len(output.getvalue().splitlines()) for output in outputs] == [2, 2]


def test_a_line_is_one_line_and_holds_any_text(provider_of: Providers, stream: io.StringIO) -> None:
    logs.configure_json(stream, "debug")
    name = 'two\nlines "quoted" ☃ \u2028 \x00'
    breaker = provider_of(Policy(1), logger=structlog.get_logger()).get_breaker(name)
    fail(breaker, error=ValueError("first\nsecond \udcff"))
    lines = [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]
    assert [line["name"] for line in lines] == [name] * 3
    assert lines[1]["error"] == "ValueError: first\nsecond \udcff"


def test_lines_of_many_threads_are_whole(provider_of: Providers, stream: io.StringIO) -> None:
    logs.configure_json(stream, "debug")
    provider = provider_of(Policy(2**31 - 1), logger=structlog.get_logger())

    def work(number: int) -> None:
        breaker = provider.get_breaker(f"name {number}")
        for turn in range(100):
            fail(breaker, error=ValueError(f"{number} {turn}"))

    together(8, work)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 8 * 101
    for number in range(8):
        mine = [line["error"] for line in lines if line["name"] == f"name {number}" and "error" in line]
        assert mine == [f"ValueError: {number} {turn}" for turn in range(100)]


def test_what_the_program_binds_comes_after_our_keys(provider_of: Providers, stream: io.StringIO, clock: Any) -> None:
    logs.configure_json(stream)
    structlog.contextvars.bind_contextvars(request="r1", name="must not replace ours")
    breaker = provider_of(Policy(1), logger=structlog.get_logger("breaker", component="c")).get_breaker(NAME)
    breaker.shadow()
    last = json.loads(stream.getvalue().splitlines()[-1])
    assert list(last)[:2] == ["level", "msg"]
    assert (last["name"], last["component"], last["request"]) == (NAME, "c", "r1")


def test_configuring_again_changes_where_lines_go(logged: Callable[..., Breaker], stream: io.StringIO) -> None:
    logs.configure_json(io.StringIO())
    breaker = logged()
    logs.configure_json(stream)
    breaker.shadow()
    logs.configure_json(io.StringIO())
    breaker.clear_override()
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    ("level", "seen"), [("debug", 3), ("DEBUG", 3), ("info", 2), ("Warning", 1), ("error", 0), ("critical", 0)]
)
def test_a_level_is_the_lowest_that_is_written(
    logged: Callable[..., Breaker], stream: io.StringIO, level: str, seen: int
) -> None:
    logs.configure_json(stream, level)
    fail(logged())
    assert len(stream.getvalue().splitlines()) == seen


@pytest.mark.parametrize("level", ["loud", "", "notset", "20", 20, None, logging.INFO, b"info"], ids=repr)
def test_a_level_that_does_not_exist(level: Any) -> None:
    with pytest.raises(ValueError, match=r"level must be one of debug, info, warning, error, critical, got "):
        logs.configure_json(level=level)


# -- a logger that fails --


class Failing:
    """A logger that raises ``raised`` for every line."""

    def __init__(self, error: BaseException) -> None:
        self.raised = error

    def __getattr__(self, level: str) -> Callable[..., None]:
        if level not in ("debug", "info", "warning", "error"):
            raise AttributeError(level)
        return self.write

    def write(self, message: str, **keys: object) -> None:
        raise self.raised


@pytest.mark.parametrize(
    "error", [OSError("disk"), TypeError("key"), KeyError("name"), BreakerOpenError("x", State.OPEN)]
)
def test_a_logger_that_raises_fails_no_call_and_no_put(
    provider_of: Providers, source: MemorySource, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    # S82
    provider = provider_of(Policy(1), logger=Failing(error), policy_source=source)
    breaker = provider.get_breaker(NAME)
    source.publish_raw(NAME, document(failureThreshold=2, unknown=1))
    source.publish_raw(NAME, b"wrong")
    fail(breaker, 2)
    assert rejected(breaker).reason == "open"
    breaker.override(Mode.DISABLED)
    assert breaker.do(int) == 0
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("breaker", "ERROR")
    assert "the logger failed on BreakerCreated (reported once): " + repr(error) in record.getMessage()


def test_an_interrupt_of_a_logger_reaches_the_caller(provider_of: Providers) -> None:
    logger = Failing(OSError())
    breaker = provider_of(Policy(1), logger=logger).get_breaker(NAME)
    logger.raised = HangUp()
    with pytest.raises(HangUp):
        breaker.do(raiser(ValueError()))
    logger.raised = OSError()
    rejected(breaker)


def test_a_program_without_a_standard_output_goes_on(
    logged: Callable[..., Breaker], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logs.configure_json()
    monkeypatch.setattr("sys.stdout", None)
    fail(logged())
    assert "the logger failed" in caplog.records[0].getMessage()


# -- a logger that is none --


def test_a_logger_lacks_no_level(provider_of: Providers) -> None:
    class Half:
        def debug(self, message: str) -> None: ...
        def info(self, message: str) -> None: ...

    advice = r'pass structlog\.get_logger\("breaker"\) or logging\.getLogger\("breaker"\)'
    with pytest.raises(TypeError, match=rf"logger must be a logger, got Half without \.warning\(\); {advice}"):
        provider_of(logger=Half())
