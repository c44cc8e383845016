"""One structlog line per event; never able to fail a call; configured by nobody but the program."""

import asyncio
import io
import json
import logging
import os
from typing import Any

import pytest
import structlog

import breaker
from breaker import Mode, Policy, State
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Providers, fail, succeed, trip

pytestmark = pytest.mark.usefixtures("fresh_structlog")


def parsed(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


EVERY_LINE = [
    ("info", "circuit breaker created"),
    ("debug", "operation failed"),
    ("debug", "operation failed"),
    ("warning", "circuit breaker state changed"),
    ("info", "circuit breaker state changed"),
    ("info", "circuit breaker state changed"),
    ("warning", "circuit breaker mode changed"),
    ("debug", "operation failed"),
    ("debug", "operation failed"),
    ("warning", "circuit breaker would have opened"),
    ("info", "circuit breaker mode changed"),
    ("info", "circuit breaker policy updated"),
    ("warning", "circuit breaker policy has unknown fields"),
    ("error", "circuit breaker policy rejected"),
]


def test_every_event_has_its_line(
    provider_of: Providers, source: MemorySource, clock: ManualClock, stream: io.StringIO
) -> None:
    breaker.logs.configure_json(stream, level="debug")
    provider = provider_of(Policy(2, 1, 60), policy_source=source, logger=structlog.get_logger("breaker"))
    b = provider.get_breaker(NAME)
    fail(b, 2)
    clock.advance(60)
    b.acquire()
    clock.advance(60)
    succeed(b)
    b.shadow()
    fail(b, 2)
    b.clear_override()
    source.publish_raw(NAME, {"openStateTimeout": "5s", "newer": 1})
    source.publish_raw(NAME, {"openStateTimeout": 5})
    lines = parsed(stream)
    assert [(line["level"], line["msg"]) for line in lines] == EVERY_LINE
    key = f"/config/dev/svc/breakers/{NAME}.json"
    whose = {"service": "svc", "pid": os.getpid()}
    assert lines[1] == {"level": "debug", "msg": "operation failed", "name": NAME, "error": "Boom: down", **whose}
    assert lines[6] == {
        "level": "warning",
        "msg": "circuit breaker mode changed",
        "name": NAME,
        "from": "auto",
        "to": "shadow",
        **whose,
    }
    assert lines[9]["failures"] == 2
    assert lines[11]["changed"] == {"openStateTimeout": ["1m", "5s"]}
    assert lines[11]["revision"] == 1
    assert lines[12]["fields"] == {f"{NAME}.json": ["newer"]}
    assert (lines[13]["key"], lines[13]["revision"]) == (key, 2)
    assert lines[13]["error"].startswith(f"{key}: openStateTimeout must be a duration")
    assert lines[0]["policy"]["failureThreshold"] == 2


def test_a_lost_probe_is_reported(provider_of: Providers, clock: ManualClock, stream: io.StringIO) -> None:
    breaker.logs.configure_json(stream)
    b = provider_of(Policy(1, 1, 60), logger=structlog.get_logger()).get_breaker(NAME)
    trip(b)
    clock.advance(60)
    hung = b.acquire()
    clock.advance(60)
    succeed(b)
    hung.success()
    line = {"level": "warning", "msg": "circuit breaker probe overdue", "name": NAME}
    assert {**line, "service": "svc", "pid": os.getpid()} in parsed(stream)


def test_the_line_of_an_opening_begins_with_the_same_keys(provider_of: Providers, stream: io.StringIO) -> None:
    breaker.logs.configure_json(stream)
    b = provider_of(Policy(1, 1, 60), logger=structlog.get_logger("breaker")).get_breaker("grpc:user-service")
    fail(b, 1, Boom("no answer"))
    line = stream.getvalue().splitlines()[-1]
    assert line == (
        '{"level": "warning", "msg": "circuit breaker state changed", "name": "grpc:user-service", "from": "CLOSED", '
        '"to": "OPEN", "reason": "tripped", "failures": 1, "retry_after": 60.0, "error": "Boom: no answer", '
        f'"service": "svc", "pid": {os.getpid()}}}'
    )


def test_levels_and_timestamps(provider_of: Providers, stream: io.StringIO) -> None:
    breaker.logs.configure_json(stream, level="warning", timestamps=True)
    b = provider_of(Policy(2), logger=structlog.get_logger()).get_breaker(NAME)
    fail(b, 2)
    (line,) = parsed(stream)
    assert list(line)[:2] == ["level", "msg"]
    assert line["time"].endswith("Z")
    with pytest.raises(ValueError, match="level must be one of debug, info, warning"):
        breaker.logs.configure_json(stream, level="loud")


def test_a_configuration_made_after_the_provider_takes_effect(provider_of: Providers, stream: io.StringIO) -> None:
    provider = provider_of(Policy(1), logger=structlog.get_logger("breaker"))
    breaker.logs.configure_json(stream)
    provider.get_breaker(NAME)
    assert [line["msg"] for line in parsed(stream)] == ["circuit breaker created"]


def test_capture_logs_sees_the_same_keys(provider_of: Providers) -> None:
    with structlog.testing.capture_logs() as captured:
        b = provider_of(Policy(1, 1, 60), logger=structlog.get_logger("breaker")).get_breaker(NAME)
        trip(b)
    opening = captured[-1]
    assert opening["event"] == "circuit breaker state changed"
    assert (opening["name"], opening["from"], opening["to"]) == (NAME, "CLOSED", "OPEN")


def test_a_call_that_succeeds_logs_nothing(provider_of: Providers, stream: io.StringIO) -> None:
    breaker.logs.configure_json(stream, level="debug")
    b = provider_of(Policy(), logger=structlog.get_logger()).get_breaker(NAME)
    said = stream.getvalue()
    succeed(b, 1000)
    assert stream.getvalue() == said


def test_without_a_logger_nothing_is_written(provider_of: Providers, capfd: pytest.CaptureFixture[str]) -> None:
    b = provider_of(Policy(1)).get_breaker(NAME)
    trip(b)
    b.override(Mode.SHADOW)
    assert capfd.readouterr() == ("", "")


class Broken:
    """A logger whose disk is full."""

    def __getattr__(self, level: str) -> Any:
        if level not in ("debug", "info", "warning", "error"):
            raise AttributeError(level)

        def write(message: str, **keys: Any) -> None:
            raise OSError("no space left")

        return write


def test_a_logger_that_fails_never_fails_a_call_and_is_reported_once(
    provider_of: Providers, caplog: pytest.LogCaptureFixture
) -> None:
    # S82
    with caplog.at_level(logging.ERROR, "breaker"):
        b = provider_of(Policy(2, 1, 60), logger=Broken()).get_breaker(NAME)
        fail(b, 2)
    assert b.state is State.OPEN
    (record,) = caplog.records
    assert "no space left" in record.getMessage()


def test_a_listener_that_fails_is_logged(provider_of: Providers, caplog: pytest.LogCaptureFixture) -> None:
    # S82
    def listener(event: Any) -> None:
        raise Boom("in the listener")

    with structlog.testing.capture_logs() as captured:
        provider = provider_of(Policy(1), logger=structlog.get_logger())
        provider.subscribe(listener)
        provider.get_breaker(NAME)
    (line,) = [line for line in captured if line["event"] == "circuit breaker listener failed"]
    assert (line["log_level"], line["event_type"]) == ("error", "BreakerCreated")
    assert "in the listener" in line["error"]
    with caplog.at_level(logging.ERROR, "breaker"):
        provider = provider_of(Policy(1))
        provider.subscribe(listener)
        provider.get_breaker(NAME)
    assert "BreakerCreated" in caplog.records[-1].getMessage()


def test_a_logger_whose_lines_would_never_be_written_is_refused(provider_of: Providers) -> None:
    # S181: structlog's logger for asyncio, inside and outside of a loop
    structlog.configure(
        wrapper_class=structlog.stdlib.AsyncBoundLogger, logger_factory=structlog.stdlib.LoggerFactory()
    )

    async def main() -> None:
        provider_of(logger=structlog.get_logger("breaker"))

    with pytest.raises(TypeError, match=r"logger.debug must be a plain function, got the coroutine function"):
        asyncio.run(main())
    with pytest.raises(TypeError, match=r"logger.debug raises RuntimeError\('no running event loop'\); pass structlog"):
        provider_of(logger=structlog.get_logger("breaker"))


@pytest.mark.parametrize("logger", [5, "breaker", object(), logging, logging.Logger], ids=lambda x: type(x).__name__)
def test_a_logger_that_is_none_is_refused(provider_of: Providers, logger: Any) -> None:
    with pytest.raises(TypeError, match="logger must be a logger, got "):
        provider_of(Policy(), logger=logger)
