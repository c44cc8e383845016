"""Snapshots as the answer of a route: FastAPI's encoder and pydantic take them as they are."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel, TypeAdapter

from breaker import Mode, Policy, Provider, Snapshot, State
from support.drive import NAME, fail


def by_adapter(seen: Snapshot) -> Any:
    return TypeAdapter(Snapshot).dump_python(seen, mode="json")


@pytest.mark.parametrize("encode", [jsonable_encoder, by_adapter], ids=["fastapi", "pydantic"])
def test_encoders_make_json_of_a_snapshot(provider: Provider, encode: Callable[[Snapshot], Any]) -> None:
    # S162
    breaker = provider.get_breaker(NAME)
    fail(breaker)
    seen = breaker.snapshot()
    plain = json.loads(json.dumps(encode(seen)))
    assert plain.keys() == seen.as_dict().keys()
    assert (plain["name"], plain["state"], plain["mode"], plain["retry_after"]) == (NAME, "OPEN", "auto", 60)
    assert list(plain["transitions"].values()) == [1, 0, 0, 0, 0]
    assert plain["rejected_by_reason"] == seen.rejected_by_reason
    assert plain["state_seconds"].keys() == {"CLOSED", "OPEN", "HALF_OPEN"}
    assert plain["policy"]["failure_threshold"] == 1


def answer(app: FastAPI, path: str) -> Any:
    """What a GET of the path answers, by ASGI."""
    sent = list[Any]()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "root_path": ""}
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 200
    return json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


def test_a_route_may_return_snapshots(provider: Provider) -> None:
    # S162
    fail(provider.get_breaker(NAME))
    app = FastAPI()
    app.get("/all")(lambda: provider.snapshot())
    app.get("/one")(lambda: provider.get_breaker(NAME).snapshot())
    app.get("/state")(lambda: {"state": provider.get_breaker(NAME).state})
    assert [plain["state"] for plain in answer(app, "/all")] == ["OPEN"]
    assert answer(app, "/one")["transitions"]["CLOSED->OPEN"] == 1
    assert answer(app, "/state") == {"state": "OPEN"}


def test_a_model_has_fields_of_ours() -> None:
    class Status(BaseModel, arbitrary_types_allowed=True):
        state: State
        mode: Mode
        policy: Policy

    status = Status(state=State.OPEN, mode=Mode.SHADOW, policy=Policy(7))
    assert status.policy == Policy(7)
    assert json.loads(status.model_dump_json())["state"] == "OPEN"
    assert Status.model_validate({"state": "CLOSED", "mode": "auto", "policy": Policy()}).state is State.CLOSED
