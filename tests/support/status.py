"""Asking a status page without a browser, and its JSON held against its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

import breaker.status as status_package
from breaker import Provider
from breaker.status._application import Application
from breaker.status._requests import Answer, Request

SCHEMA: dict[str, Any] = json.loads(
    (Path(status_package.__file__).parent / "breakers.schema.json").read_text(encoding="utf-8")
)


def strict(schema: Any) -> Any:
    """The schema with no room for what it does not name: the page shows nothing undescribed."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if "properties" in made and isinstance(made["properties"], dict) and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


STRICT = jsonschema.Draft202012Validator(strict(SCHEMA))


def checked(shown: Any) -> dict[str, Any]:
    """What ``GET /breakers`` has shown, which is what the schema says, and nothing else."""
    STRICT.validate(shown)
    assert isinstance(shown, dict)
    return shown


def asked(application: Application, method: str, path: str, query: str = "", **headers: str) -> Answer:
    """The answer to a request without a body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return application.answer(Request(method, path, named, "127.0.0.1"), query)


def shown_by(application: Application, query: str = "") -> dict[str, Any]:
    """The JSON of a page."""
    answer = asked(application, "GET", "/breakers", query)
    assert answer.status == 200
    return checked(json.loads(answer.body))


def shown(provider: Provider, query: str = "") -> dict[str, Any]:
    """The JSON of a new page of this provider."""
    return shown_by(Application(provider, None), query)


def only(provider: Provider) -> dict[str, Any]:
    """The one breaker that is shown."""
    (found,) = shown(provider)["breakers"]
    assert isinstance(found, dict)
    return found
