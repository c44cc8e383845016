"""Loggers of the standard library, by themselves and behind structlog."""

import json
import logging
import os
from typing import Any

import pytest
import structlog

from breaker import Breaker, Policy
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Providers, cool, fail, succeed

RESERVED = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Kept(logging.Handler):
    """Keeps every record."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def logger() -> logging.Logger:
    """One that no other test knows, for all levels."""
    logger = logging.Logger("shop.breakers")
    logger.addHandler(Kept())
    return logger


def kept(logger: logging.Logger) -> Kept:
    (handler,) = logger.handlers
    assert isinstance(handler, Kept)
    return handler


def of_record(record: logging.LogRecord) -> dict[str, Any]:
    """What came in ``extra``."""
    return {name: value for name, value in vars(record).items() if name not in RESERVED}


def test_an_opening_is_a_readable_message_with_its_fields(provider_of: Providers, logger: logging.Logger) -> None:
    # S182
    breaker = provider_of(Policy(1, 1, 60), logger=logger).get_breaker(NAME)
    fail(breaker, error=Boom("no answer"))
    record = kept(logger).records[-1]
    whose = f"service=svc pid={os.getpid()}"
    assert record.getMessage() == (
        f"circuit breaker state changed: name={NAME} from=CLOSED to=OPEN reason=tripped failures=1 retry_after=60.0 "
        f"error='Boom: no answer' {whose}"
    )
    assert (record.levelname, record.name) == ("WARNING", "shop.breakers")
    assert of_record(record) == {
        "breaker_name": NAME,
        "breaker_from": "CLOSED",
        "breaker_to": "OPEN",
        "breaker_reason": "tripped",
        "breaker_failures": 1,
        "breaker_retry_after": 60.0,
        "breaker_error": "Boom: no answer",
        "breaker_service": "svc",
        "breaker_pid": os.getpid(),
    }
    assert record.msg == "%s: %s"
    assert isinstance(record.args, tuple)
    assert record.args[0] == "circuit breaker state changed"


def drive(breaker: Breaker, source: MemorySource, clock: ManualClock) -> None:
    """Lines of calls, of an operator, of policies."""
    fail(breaker)
    cool(breaker, clock)
    succeed(breaker)
    breaker.shadow()
    fail(breaker)
    breaker.clear_override()
    source.publish_raw(NAME, {"openStateTimeout": "5s", "newer": 1})
    source.publish_raw(NAME, {"openStateTimeout": 5})


LINES = [
    "circuit breaker created",
    "operation failed",
    "circuit breaker state changed",
    "circuit breaker state changed",
    "circuit breaker state changed",
    "circuit breaker mode changed",
    "operation failed",
    "circuit breaker would have opened",
    "circuit breaker mode changed",
    "circuit breaker policy updated",
    "circuit breaker policy has unknown fields",
    "circuit breaker policy rejected",
]


@pytest.mark.parametrize("adapted", [False, True], ids=["logger", "adapter"])
def test_every_line_is_written(
    provider_of: Providers, logger: logging.Logger, source: MemorySource, clock: ManualClock, adapted: bool
) -> None:
    # S182
    used = logging.LoggerAdapter(logger, {"component": "c"}) if adapted else logger
    provider = provider_of(Policy(1, 1, 60), logger=used, policy_source=source)
    drive(provider.get_breaker(NAME), source, clock)
    handler = kept(logger)
    assert [message.split(":")[0] for message in handler.messages] == LINES
    assert all(message.endswith(f"service=svc pid={os.getpid()}") for message in handler.messages)
    assert handler.records[-1].levelname == "ERROR"
    assert all(name.startswith("breaker_") or adapted for record in handler.records for name in of_record(record))


class Prefixed(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: Any) -> Any:
        return f"[100 %% sure] {msg}", kwargs


def test_what_an_adapter_adds_comes_beside_the_fields(provider_of: Providers, logger: logging.Logger) -> None:
    # S182: before 3.13 an adapter by itself puts its own ``extra`` in the place of what it is given
    nested = Prefixed(logging.LoggerAdapter(logger, {"component": "c"}), {})  # type: ignore[arg-type]
    provider_of(Policy(1, 1, 60), logger=nested).get_breaker(NAME)
    (record,) = kept(logger).records
    assert of_record(record) | {"component": "c", "breaker_name": NAME, "breaker_service": "svc"} == of_record(record)
    assert record.getMessage().startswith(f"[100 % sure] circuit breaker created: name={NAME} ")


def test_a_line_below_the_level_is_not_made(provider_of: Providers, logger: logging.Logger) -> None:
    logger.setLevel(logging.WARNING)
    breaker = provider_of(Policy(2), logger=logger).get_breaker(NAME)
    fail(breaker, 2)
    assert [record.levelname for record in kept(logger).records] == ["WARNING"]


def test_a_failing_listener_is_told_with_its_error(provider_of: Providers, logger: logging.Logger) -> None:
    # S82
    def listener(event: object) -> None:
        raise Boom("in the listener")

    provider = provider_of(logger=logger)
    provider.subscribe(listener)
    provider.get_breaker(NAME)
    assert "error=\"Boom('in the listener')\"" in kept(logger).messages[-1]


def test_a_value_shows_where_it_ends(provider_of: Providers, logger: logging.Logger) -> None:
    breaker = provider_of(Policy(1), logger=logger).get_breaker("two\nlines a=b")
    breaker.shadow()
    message = kept(logger).messages[-1]
    assert "name='two\\nlines a=b' from=auto" in message
    assert "\n" not in message


# -- behind structlog --


@pytest.fixture
def rendered_to_kwargs(logger: logging.Logger, fresh_structlog: None) -> Any:
    """structlog as its page on the standard library shows it for formatters of `logging`."""
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.stdlib.render_to_log_kwargs],
        logger_factory=lambda *_: logger,
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return structlog.get_logger("breaker")


def test_lines_are_written_where_structlog_hands_the_keys_to_a_record(
    provider_of: Providers,
    logger: logging.Logger,
    rendered_to_kwargs: Any,
    source: MemorySource,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # S182
    provider = provider_of(Policy(1, 1, 60), logger=rendered_to_kwargs, policy_source=source)
    drive(provider.get_breaker(NAME), source, clock)
    records = kept(logger).records
    assert [record.getMessage() for record in records] == LINES
    opening = of_record(records[2])
    assert (opening["breaker_name"], opening["from"], opening["to"]) == (NAME, "CLOSED", "OPEN"), "one key is renamed"
    assert (opening["service"], opening["pid"]) == ("svc", os.getpid())
    assert caplog.records == []


def test_a_key_that_the_programs_own_records_have_is_renamed_too(
    provider_of: Providers, logger: logging.Logger, rendered_to_kwargs: Any
) -> None:
    # S182
    before = logging.getLogRecordFactory()

    def factory(*arguments: Any, **keys: Any) -> logging.LogRecord:
        record = before(*arguments, **keys)
        record.service = "of the program"
        return record

    logging.setLogRecordFactory(factory)
    try:
        provider_of(logger=rendered_to_kwargs).get_breaker(NAME)
    finally:
        logging.setLogRecordFactory(before)
    (record,) = kept(logger).records
    made = of_record(record)
    assert (made["service"], made["breaker_service"], made["breaker_name"]) == ("of the program", "svc", NAME)


def test_a_key_error_of_the_programs_own_is_none_of_ours(
    provider_of: Providers, fresh_structlog: None, caplog: pytest.LogCaptureFixture
) -> None:
    asked = list[str]()

    def processor(_: Any, __: str, line: Any) -> Any:
        asked.append(line["event"])
        return line["tenant"]

    structlog.configure(processors=[processor])
    provider_of(logger=structlog.get_logger()).get_breaker(NAME)
    assert asked == ["circuit breaker created", "circuit breaker listener failed"]
    assert "KeyError('tenant')" in caplog.records[0].getMessage()


def test_lines_for_formatters_keep_their_keys(
    provider_of: Providers, logger: logging.Logger, fresh_structlog: None
) -> None:
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=lambda *_: logger,
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    formatter = structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer())
    provider_of(logger=structlog.get_logger()).get_breaker(NAME)
    (record,) = kept(logger).records
    line = json.loads(formatter.format(record))
    assert (line["event"], line["name"], line["service"]) == ("circuit breaker created", NAME, "svc")
