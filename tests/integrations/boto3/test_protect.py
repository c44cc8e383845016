"""``protect`` for a client of AWS: the names of its breakers, leaks, bad input."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import boto3
import pytest

from breaker import BreakerOpenError, Provider, State
from breaker.integrations.boto3 import Call, protect
from support.aws import KEY, Service, of
from support.drive import HangUp, cool, fail
from support.reading import counts

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
