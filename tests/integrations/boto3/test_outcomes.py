"""Clients of AWS over loopback: what of an answer and of an error counts as a failure."""

from __future__ import annotations

import gc

import boto3
import pytest
from botocore import exceptions
from botocore.parsers import ResponseParserError

from breaker import Provider
from breaker.integrations.boto3 import FAILURE_CODES, FAILURE_STATUSES, protect
from support.aws import KEY, Answer, BrokenUpload, Service, in_xml, of, refusing, refusing_in_xml, s3
from support.drive import HangUp
from support.http.server import Server
from support.reading import counts

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
