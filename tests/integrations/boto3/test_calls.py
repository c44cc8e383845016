"""Calls of AWS: what a rejection is, what is retried, what counts of what is made of calls."""

from __future__ import annotations

import copy
import io
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore import exceptions
from botocore.stub import Stubber

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.integrations.boto3 import BreakerOpenEndpointError, protect
from support.aws import KEY, Answer, BrokenUpload, Service, in_xml, of, refusing
from support.drive import Providers, cool
from support.reading import counts

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
