"""Clients of AWS over loopback: what counts, what is retried, what a rejection is, what reaches the service."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore import exceptions
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber

from breaker import Breaker, BreakerOpenError, Policy, Provider, State
from breaker.integrations.boto3 import FAILURE_CODES, FAILURE_STATUSES, BreakerOpenEndpointError, Call, protect
from support.aws import Answer, Service, in_xml, refusing, refusing_in_xml, serving
from support.drive import HangUp, Providers, cool, fail
from support.http.server import BODY, Server
from support.reading import counts

KEY: dict[str, Any] = {"TableName": "orders", "Key": {"id": {"S": "7"}}}


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


@pytest.fixture
def server() -> Iterator[Server]:
    """For what S3 is asked, bucket and key say what goes wrong: ``/status/503``."""
    with Server() as running:
        yield running


def of(provider: Provider, service: Service, name: str = "dynamodb") -> Breaker:
    return provider.breakers[f"aws:{name}:{service.host}"]


def s3(server: Server, **options: Any) -> Any:
    as_service = Service()
    as_service.url = server.url
    return as_service.client("s3", read_timeout=0.2, connect_timeout=5, **options)


# What counts.

ANSWERS = {
    "an answer": (Answer(), "successes"),
    "400": (refusing(400, "ResourceNotFoundException"), "successes"),
    "a condition": (refusing(400, "ConditionalCheckFailedException"), "successes"),
    "403": (refusing(403, "AccessDeniedException"), "successes"),
    "404": (refusing(404, "NoSuchThing"), "successes"),
    "a quota of the caller": (refusing(400, "LimitExceededException"), "successes"),
    "a transaction of the caller": (refusing(400, "TransactionInProgressException"), "successes"),
    "501": (refusing(501, "NotImplemented"), "successes"),
    "400 without a body": (Answer(400, b""), "successes"),
    "500": (refusing(500, "InternalServerError"), "failures"),
    "502 without a body": (Answer(502, b""), "failures"),
    "503 in HTML": (Answer(503, b"<html>down</html>", "text/html"), "failures"),
    "408": (refusing(408, "RequestTimeout"), "failures"),
    "429": (refusing(429, "Whatever"), "failures"),
    **{f"400 {code}": (refusing(400, code), "failures") for code in sorted(FAILURE_CODES)},
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_counts_as(case: str, service: Service, patient: Provider) -> None:
    answer, expected = ANSWERS[case]
    service.usual = answer
    client = protect(service.client(), patient)
    if answer.status == 200:
        client.get_item(**KEY)
    else:
        with pytest.raises(exceptions.ClientError):
            client.get_item(**KEY)
    assert counts(of(patient, service)) == {expected: 1}
    assert service.requests == ["GetItem"]


def test_last_error_says_status_and_code(service: Service, provider: Provider) -> None:
    client = protect(service.client(), provider)
    service.usual = refusing(400, "ThrottlingException")
    with pytest.raises(exceptions.ClientError):
        client.get_item(**KEY)
    assert of(provider, service).snapshot().last_error == "FailedAnswer: 400 ThrottlingException"


def test_last_error_without_a_code_says_the_status(server: Server, provider: Provider) -> None:
    with pytest.raises(exceptions.ClientError):
        protect(s3(server), provider).head_object(Bucket="status", Key="503")
    (breaker,) = provider.breakers.values()
    assert breaker.snapshot().last_error == "FailedAnswer: 503"


def test_the_statuses_and_codes_can_be_chosen(service: Service, patient: Provider) -> None:
    client = protect(
        service.client(),
        patient,
        failure_statuses=FAILURE_STATUSES - {429},
        failure_codes={"LimitExceededException"},
    )
    for answer in (refusing(429, "Slow"), refusing(400, "SlowDown"), refusing(400, "LimitExceededException")):
        service.usual = answer
        with pytest.raises(exceptions.ClientError):
            client.get_item(**KEY)
    assert counts(of(patient, service)) == {"successes": 2, "failures": 1}


def test_an_error_in_an_answer_of_200_is_a_failure(service: Service, patient: Provider) -> None:
    service.usual = refusing_in_xml(200, "InternalError")
    client = protect(service.client("s3"), patient)
    with pytest.raises(exceptions.ClientError):
        client.copy_object(Bucket="abc", Key="to", CopySource="abc/from")
    assert counts(of(patient, service, "s3")) == {"failures": 1}


def test_an_answer_that_cannot_be_read_is_a_failure(service: Service, patient: Provider) -> None:
    service.usual = in_xml("<broken")
    client = protect(service.client("iam"), patient)
    with pytest.raises(ResponseParserError):
        client.list_users()
    assert counts(of(patient, service, "iam")) == {"failures": 1}


@pytest.mark.parametrize(("checksum", "expected"), [("NhCmhg==", "successes"), ("AAAAAA==", "failures")])
def test_a_body_whose_checksum_does_not_match_is_a_failure(
    checksum: str, expected: str, service: Service, patient: Provider
) -> None:
    client = protect(service.client("s3"), patient, settle="body")
    service.usual = in_xml("hello", ("x-amz-checksum-crc32", checksum))
    body = client.get_object(Bucket="abc", Key="key")["Body"]
    try:
        assert body.read() == b"hello"
    except exceptions.FlexibleChecksumError:
        assert expected == "failures"
    assert counts(of(patient, service, "s3")) == {expected: 1}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("hang", exceptions.ReadTimeoutError),
        ("drop", exceptions.ConnectionClosedError),
        ("reset", exceptions.ConnectionClosedError),
        ("garbage", exceptions.ConnectionClosedError),
        ("stall", exceptions.ReadTimeoutError),
        ("chunk-cut", exceptions.ResponseStreamingError),
    ],
)
def test_a_fault_of_the_connection_is_a_failure(
    fault: str, error: type[Exception], server: Server, patient: Provider
) -> None:
    client = protect(s3(server), patient)
    with pytest.raises((error, exceptions.HTTPClientError)):
        client.list_objects_v2(Bucket=fault)
    (breaker,) = patient.breakers.values()
    assert counts(breaker) == {"failures": 1}
    assert len(server.requests) == 1


def test_nobody_listens(patient: Provider) -> None:
    gone = Service()
    with Server() as server:
        gone.url = server.url
    client = protect(gone.client(), patient)
    with pytest.raises(exceptions.EndpointConnectionError):
        client.get_item(**KEY)
    (breaker,) = patient.breakers.values()
    assert counts(breaker) == {"failures": 1}
    assert breaker.name == f"aws:dynamodb:{gone.url.removeprefix('http://')}"


def test_what_the_caller_does_wrong_is_not_judged(service: Service, patient: Provider) -> None:
    client = protect(service.client(), patient)
    with pytest.raises(exceptions.ParamValidationError):
        client.get_item(TableName="orders", Key=5)
    assert patient.breakers == {}
    without = boto3.Session()
    bare = without.client("dynamodb", endpoint_url=service.url, region_name="eu-west-1")
    bare._request_signer._credentials = None
    with pytest.raises(exceptions.NoCredentialsError):
        protect(bare, patient).get_item(**KEY)
    assert service.requests == []
    assert counts(of(patient, service)) == {}


class BrokenUpload(io.BytesIO):
    def __init__(self, error: type[BaseException]) -> None:
        super().__init__(b"content")
        self.error = error
        self.armed = False

    def read(self, size: int | None = -1) -> bytes:
        if self.armed:
            raise self.error("mine")
        return super().read(size)


@pytest.mark.parametrize("kind", [ValueError, HangUp])
def test_an_upload_whose_source_raises_is_the_callers(
    kind: type[BaseException], service: Service, patient: Provider
) -> None:
    client = protect(service.client("s3"), patient)
    source = BrokenUpload(kind)
    client.meta.events.register("before-send", lambda **_: setattr(source, "armed", True))
    with pytest.raises((exceptions.HTTPClientError, HangUp)):
        client.put_object(Bucket="abc", Key="key", Body=source)
    gc.collect()
    assert counts(of(patient, service, "s3")) == {"ignored": 1}


def test_a_certificate_file_that_is_missing_is_the_callers(server: Server, patient: Provider) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=server.url.replace("http:", "https:"),
        region_name="eu-west-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        verify="/no/such/file.pem",
    )
    with pytest.raises(exceptions.BotoCoreError):
        protect(client, patient).list_buckets()
    (breaker,) = patient.breakers.values()
    assert counts(breaker).keys() == {"ignored"}


def test_tls_that_fails_is_a_failure(service: Service, patient: Provider) -> None:
    service.url = service.url.replace("http:", "https:")
    with pytest.raises(exceptions.SSLError):
        protect(service.client("s3"), patient).list_buckets()
    (breaker,) = patient.breakers.values()
    assert counts(breaker) == {"failures": 1}


# Rejections.


def test_a_rejected_call_reaches_nobody_and_is_of_both_families(service: Service, provider: Provider) -> None:
    client = protect(service.client(retries={"mode": "standard", "total_max_attempts": 3}), provider)
    provider.get_breaker(f"aws:dynamodb:{service.host}").force_open()
    for family in (
        BreakerOpenEndpointError,
        BreakerOpenError,
        exceptions.BotoCoreError,
        exceptions.EndpointConnectionError,
    ):
        with pytest.raises(family) as caught:
            client.get_item(**KEY)
        assert type(caught.value) is BreakerOpenEndpointError
        assert caught.value.kwargs == {"endpoint_url": service.url}
        assert "is forced open by an operator" in str(caught.value)
    assert service.requests == []
    assert counts(of(provider, service)) == {"rejected": 4}
    for again in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert type(again) is BreakerOpenEndpointError
        assert again.args == caught.value.args
        assert again.kwargs == caught.value.kwargs


def test_a_rejection_signs_nothing_and_reads_no_body(service: Service, provider: Provider) -> None:
    client = protect(service.client("s3"), provider)
    provider.get_breaker(f"aws:s3:{service.host}").force_open()
    source = BrokenUpload(AssertionError)
    source.armed = True
    client.meta.events.register("before-sign", lambda **_: pytest.fail("signed"))
    with pytest.raises(BreakerOpenError):
        client.put_object(Bucket="abc", Key="key", Body=source)


def test_the_rejection_of_another_breaker_is_ignored(service: Service, patient: Provider) -> None:
    inner = patient.get_breaker("inner")
    inner.force_open()
    client = protect(service.client(), patient)
    client.meta.events.register("before-send", lambda **_: inner.acquire())
    with pytest.raises(BreakerOpenError):
        client.get_item(**KEY)
    assert counts(of(patient, service)) == {"ignored": 1}


# Retries of botocore.


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_each_attempt_counts_and_an_open_breaker_ends_the_retries(
    mode: str, service: Service, provider_of: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    provider = provider_of(Policy(3, 1, 60.0))
    client = protect(service.client(retries={"mode": mode, "total_max_attempts": 10}), provider)
    service.usual = refusing(500, "InternalServerError")
    with pytest.raises(exceptions.ClientError) as caught:
        client.get_item(**KEY)
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 2
    assert service.requests == ["GetItem"] * 3
    assert counts(of(provider, service)) == {"failures": 3}
    with pytest.raises(BreakerOpenEndpointError):
        client.get_item(**KEY)
    assert len(service.requests) == 3


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_a_retry_that_succeeds_is_a_success(
    mode: str, service: Service, patient: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    client = protect(service.client(retries={"mode": mode, "total_max_attempts": 3}), patient)
    # Throttled, the adaptive mode would wait for tokens.
    second = refusing(500, "Error") if mode == "adaptive" else refusing(400, "ThrottlingException")
    service.answers.extend([refusing(500, "InternalServerError"), second])
    assert client.get_item(**KEY)["ResponseMetadata"]["RetryAttempts"] == 2
    assert counts(of(patient, service)) == {"successes": 1, "failures": 2}


def test_a_breaker_that_opens_meanwhile_rejects_the_retry(
    service: Service, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = protect(service.client(retries={"mode": "standard", "total_max_attempts": 3}), provider)
    provider.get_breaker(f"aws:dynamodb:{service.host}").disable()
    service.usual = refusing(500, "InternalServerError")
    monkeypatch.setattr(time, "sleep", lambda seconds: of(provider, service).force_open())  # while it waits
    with pytest.raises(BreakerOpenEndpointError):
        client.get_item(**KEY)
    assert service.requests == ["GetItem"]


def test_a_probe_is_one_request(service: Service, provider: Provider, clock: Any) -> None:
    client = protect(service.client(retries={"mode": "standard", "total_max_attempts": 5}), provider)
    service.usual = refusing(500, "InternalServerError")
    with pytest.raises(exceptions.ClientError):
        client.get_item(**KEY)
    breaker = of(provider, service)
    cool(breaker, clock)
    with pytest.raises(exceptions.ClientError):
        client.get_item(**KEY)
    assert len(service.requests) == 2
    assert breaker.state is State.OPEN
    cool(breaker, clock)
    service.usual = Answer()
    client.get_item(**KEY)
    assert breaker.state is State.CLOSED


# Names.


@pytest.mark.parametrize(
    ("service_name", "region", "endpoint", "expected"),
    [
        ("dynamodb", "eu-west-1", None, "aws:dynamodb:eu-west-1"),
        ("s3", "us-east-1", None, "aws:s3:us-east-1"),
        ("iam", "eu-west-1", None, "aws:iam:aws-global"),
        ("sqs", "cn-north-1", None, "aws:sqs:cn-north-1"),
        ("s3", "us-east-1", "https://user:secret@MinIO.internal:9000/x", "aws:s3:minio.internal:9000"),
        ("s3", "us-east-1", "http://localhost:4566", "aws:s3:localhost:4566"),
        ("dynamodb", "eu-west-1", "https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com", "aws:dynamodb:eu-west-1"),
    ],
)
def test_the_default_name(
    service_name: str, region: str, endpoint: str | None, expected: str, provider: Provider
) -> None:
    client = boto3.client(
        service_name,  # type: ignore[call-overload, unused-ignore]
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    protect(client, provider)
    provider.get_breaker(expected).force_open()
    call = {"dynamodb": "list_tables", "s3": "list_buckets", "iam": "list_users", "sqs": "list_queues"}[service_name]
    with pytest.raises(BreakerOpenError) as caught:
        getattr(client, call)()
    assert caught.value.name == expected


def test_a_callable_gets_the_call(service: Service, patient: Provider) -> None:
    calls: list[Call] = []

    def name(call: Call) -> str | None:
        calls.append(call)
        return None if call.operation == "ListTables" else f"aws:{call.service}:{call.operation}"

    client = protect(service.client(), patient, name=name)
    client.get_item(**KEY)
    client.list_tables()
    assert calls == [Call("dynamodb", "GetItem", "eu-west-1"), Call("dynamodb", "ListTables", "eu-west-1")]
    assert {name: counts(each) for name, each in patient.breakers.items()} == {"aws:dynamodb:GetItem": {"successes": 1}}


def test_text_names_one_breaker_for_all(service: Service, patient: Provider) -> None:
    client = protect(service.client(), patient, name="db:orders")
    client.get_item(**KEY)
    client.list_tables()
    assert counts(patient.breakers["db:orders"]) == {"successes": 2}


# What is made of calls.


def test_a_paginator_counts_its_pages(service: Service, provider: Provider) -> None:
    client = protect(service.client(), provider)
    service.answers.append(Answer(body=b'{"TableNames": ["abc"], "LastEvaluatedTableName": "abc"}'))
    service.answers.append(refusing(500, "InternalServerError"))
    pages = iter(client.get_paginator("list_tables").paginate())
    assert next(pages)["TableNames"] == ["abc"]
    with pytest.raises(exceptions.ClientError):
        next(pages)
    with pytest.raises(BreakerOpenError):
        list(client.get_paginator("list_tables").paginate())
    assert counts(of(provider, service)) == {"successes": 1, "failures": 1, "rejected": 1}


def test_a_waiter_counts_what_it_asks_and_ends_with_a_rejection(service: Service, provider: Provider) -> None:
    client = protect(service.client(), provider)
    service.answers.append(refusing(400, "ResourceNotFoundException"))
    service.usual = Answer(body=b'{"Table": {"TableStatus": "ACTIVE"}}')
    waiter = client.get_waiter("table_exists")
    waiter.wait(TableName="orders", WaiterConfig={"Delay": 0, "MaxAttempts": 3})
    assert counts(of(provider, service)) == {"successes": 2}
    of(provider, service).force_open()
    with pytest.raises(BreakerOpenEndpointError):
        waiter.wait(TableName="orders", WaiterConfig={"Delay": 0, "MaxAttempts": 3})
    assert len(service.requests) == 2


def test_a_resource_calls_through_its_client(service: Service, patient: Provider) -> None:
    resource: Any = boto3.resource(
        "dynamodb",
        endpoint_url=service.url,
        region_name="eu-west-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    with pytest.raises(TypeError, match=r"got dynamodb\.ServiceResource; protect its meta\.client"):
        protect(resource, patient)
    protect(resource.meta.client, patient)
    service.usual = Answer(body=b'{"Item": {"id": {"S": "7"}}}')
    assert resource.Table("orders").get_item(Key={"id": "7"})["Item"] == {"id": "7"}
    assert counts(of(patient, service)) == {"successes": 1}


def test_transfers_count_their_calls_in_their_threads(service: Service, patient: Provider, tmp_path: Path) -> None:
    service.usual = in_xml("<R/>", ("ETag", "7"))
    client = protect(service.client("s3"), patient)
    source = tmp_path / "source"
    source.write_bytes(b"x" * 1024)
    client.upload_file(str(source), "abc", "key")
    config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=4)
    service.answers.append(in_xml("<R><UploadId>7</UploadId></R>"))  # of CreateMultipartUpload
    client.upload_fileobj(io.BytesIO(b"x" * (11 << 20)), "abc", "big", Config=config)
    assert len(service.requests) == 1 + 1 + 3 + 1
    assert counts(of(patient, service, "s3")) == {"successes": 6}
    of(patient, service, "s3").force_open()
    with pytest.raises(BreakerOpenEndpointError):
        client.download_file("abc", "key", str(tmp_path / "target"))
    assert len(service.requests) == 6


def test_a_presigned_url_is_no_call(service: Service, provider: Provider) -> None:
    client = protect(service.client("s3"), provider)
    provider.get_breaker(f"aws:s3:{service.host}").force_open()
    assert client.generate_presigned_url("get_object", Params={"Bucket": "abc", "Key": "key"}).startswith(service.url)
    assert counts(of(provider, service, "s3")) == {}


def test_a_stubbed_call_is_no_call(service: Service, provider: Provider) -> None:
    client = protect(service.client(), provider)
    provider.get_breaker(f"aws:dynamodb:{service.host}").force_open()
    with Stubber(client) as stubber:
        stubber.add_response("list_tables", {"TableNames": ["abc"]})
        assert client.list_tables()["TableNames"] == ["abc"]
    with pytest.raises(BreakerOpenError):
        client.list_tables()
    assert counts(of(provider, service)) == {"rejected": 1}


def test_threads_share_a_client(service: Service, patient: Provider) -> None:
    client = protect(service.client(), patient)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.list_tables(), range(80)))
    assert counts(of(patient, service)) == {"successes": 80}


# Streaming bodies.


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


# Leaks.


def test_a_client_that_is_dropped_is_collected(service: Service, patient: Provider) -> None:
    client = protect(service.client(), patient)
    client.list_tables()
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


def test_a_call_that_ends_by_no_exception_gives_its_slot_back(service: Service, provider: Provider, clock: Any) -> None:
    client = protect(service.client(), provider)
    breaker = provider.get_breaker(f"aws:dynamodb:{service.host}")
    fail(breaker)
    cool(breaker, clock)

    def hang_up(**_: Any) -> None:
        raise HangUp

    client.meta.events.register("before-send", hang_up, unique_id="hang up")
    with pytest.raises(HangUp):
        client.list_tables()
    gc.collect()
    client.meta.events.unregister("before-send", unique_id="hang up")
    client.list_tables()
    assert breaker.state is State.CLOSED


# Bad input.


def test_what_is_no_client_is_refused(service: Service, provider: Provider) -> None:
    wrong: Any
    for wrong, got in (
        (boto3, "module"),
        (None, "NoneType"),
        ("dynamodb", "str"),
        (boto3.Session(), "Session"),
        (type(service.client()), "the class DynamoDB"),
    ):
        with pytest.raises(TypeError, match=f"protect takes a client of boto3 or botocore, got {got}"):
            protect(wrong, provider)


def test_a_client_is_protected_once(service: Service, patient: Provider) -> None:
    client = protect(service.client(), patient)
    with pytest.raises(ValueError, match="protected already; each call would count twice"):
        protect(client, patient)
    client.list_tables()
    assert counts(of(patient, service)) == {"successes": 1}


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"failure_statuses": 503}, TypeError, "failure_statuses= of protect must be a collection of numbers"),
        ({"failure_statuses": {99}}, ValueError, "failure_statuses= of protect holds numbers from 100 to 999"),
        ({"failure_codes": "SlowDown"}, TypeError, "failure_codes= of protect must be a collection of codes"),
        ({"failure_codes": {5}}, TypeError, "failure_codes= of protect holds texts, got 5"),
        ({"settle": "end"}, ValueError, 'settle= of protect must be "headers" or "body"'),
        ({"name": 5}, TypeError, "name= of protect must be"),
        ({"name": ""}, ValueError, "name"),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    options: dict[str, Any], kind: type[Exception], message: str, service: Service, provider: Provider
) -> None:
    client = service.client()
    with pytest.raises(kind, match=message):
        protect(client, provider, **options)
    protect(client, provider)  # nothing of it is left


def test_a_provider_is_an_instance(service: Service) -> None:
    with pytest.raises(TypeError, match=r"protect takes a breaker\.Provider, got the class Provider"):
        protect(service.client(), Provider)  # type: ignore[arg-type]


@pytest.mark.parametrize(("answer", "kind"), [(5, TypeError), (ZeroDivisionError(), RuntimeError)])
def test_a_callable_that_names_nothing_is_an_error_of_the_call(
    answer: Any, kind: type[Exception], service: Service, provider: Provider
) -> None:
    def name(call: Call) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = protect(service.client(), provider, name=name)
    with pytest.raises(kind, match="name= of protect"):
        client.list_tables()
    assert service.requests == []
