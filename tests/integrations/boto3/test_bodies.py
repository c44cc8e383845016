"""Streaming bodies of AWS: what their end counts as, and what they are to their readers."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from botocore import exceptions

from breaker import Provider
from breaker.integrations.boto3 import protect
from support.aws import Service, of, s3
from support.http.server import BODY, Server
from support.reading import counts


def reading(client: Any, fault: str) -> Any:
    return client.get_object(Bucket=fault, Key="key")["Body"]


READERS: dict[str, Callable[[Any], object]] = {
    "read": lambda body: body.read(),
    "parts": lambda body: list(iter(lambda: body.read(1000), b"")),
    "chunks": lambda body: list(body.iter_chunks(1000)),
    "iteration": list,
    "lines": lambda body: list(body.iter_lines()),
    "readlines": lambda body: body.readlines(),
    "into": lambda body: [None for _ in iter(lambda: body.readinto(bytearray(1000)), 0)],
    "a block": lambda body: body.__enter__().read(),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("fault", "expected"), [("body", "successes"), ("half", "failures"), ("chunk-cut", "failures")]
)
def test_the_end_of_a_body_decides(reader: str, fault: str, expected: str, server: Server, patient: Provider) -> None:
    client = protect(s3(server, response_checksum_validation="when_required"), patient, settle="body")
    body = reading(client, fault)
    (breaker,) = patient.breakers.values()
    assert counts(breaker) == {}
    try:
        READERS[reader](body)
    except exceptions.BotoCoreError:
        assert expected == "failures"
    assert counts(breaker) == {expected: 1}


def test_a_body_that_stalls_is_a_failure(server: Server, patient: Provider) -> None:
    body = reading(protect(s3(server), patient, settle="body"), "stall")
    with pytest.raises(exceptions.ReadTimeoutError):
        body.read()
    (breaker,) = patient.breakers.values()
    assert counts(breaker) == {"failures": 1}


def test_a_body_is_as_it_was(server: Server, patient: Provider) -> None:
    body = reading(protect(s3(server), patient, settle="body"), "body")
    plain = reading(s3(server), "body")
    assert isinstance(body, type(plain))
    assert body.readable()
    assert body.read(10) == plain.read(10) == BODY[:10]
    assert body.tell() == plain.tell() == 10
    assert body.read(0) == b""
    body.set_socket_timeout(5)
    assert body.read() == BODY[10:]
    body.close()
    plain.close()
    (breaker,) = patient.breakers.values()
    assert counts(breaker) == {"successes": 1}


def test_a_body_that_is_left(server: Server, patient: Provider) -> None:
    client = protect(s3(server), patient, settle="body")
    some = reading(client, "body")
    some.read(10)
    some.close()
    (breaker,) = patient.breakers.values()
    assert counts(breaker) == {"successes": 1}
    reading(client, "body").close()
    assert counts(breaker) == {"successes": 1, "ignored": 1}
    dropped = weakref.ref(reading(client, "body"))
    gc.collect()
    assert dropped() is None
    assert counts(breaker) == {"successes": 1, "ignored": 2}


def test_with_headers_the_body_is_not_looked_at(server: Server, patient: Provider) -> None:
    body = reading(protect(s3(server), patient), "half")
    (breaker,) = patient.breakers.values()
    assert counts(breaker) == {"successes": 1}
    with pytest.raises(exceptions.ResponseStreamingError):
        body.read()
    assert counts(breaker) == {"successes": 1}


def test_a_failing_status_is_one_at_the_head(server: Server, patient: Provider) -> None:
    client = protect(s3(server), patient, settle="body")
    for status, expected in ((503, {"failures": 1}), (404, {"failures": 1, "successes": 1})):
        with pytest.raises(exceptions.ClientError):
            client.get_object(Bucket="status", Key=str(status))
        (breaker,) = patient.breakers.values()
        assert counts(breaker) == expected


def test_a_call_without_a_stream_ends_with_its_answer(service: Service, patient: Provider) -> None:
    protect(service.client(), patient, settle="body").list_tables()
    assert counts(of(patient, service)) == {"successes": 1}
