"""The gateway's documents: JSON text made of fields whose kinds are checked one by one. Raises `NotEtcd`."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from breaker.sources.etcd.checks import MOST, NotEtcd, shown
from breaker.sources.etcd.transport import KeyChange

# In etcd's answers a comma stands for 8 bytes and more, and a bracket for 24. Text that has more of them is made to be
# large in memory; so is no answer of etcd.
_COMMA, _BRACKET, _FREE = 8, 24, 256


def document_of(text: bytes | bytearray) -> dict[str, Any]:
    """The JSON object in a text. Its fields may be anything yet."""
    opened = text.count(b"{") + text.count(b"[")
    if opened * _BRACKET > len(text) + _FREE * _BRACKET or text.count(b",") * _COMMA > len(text) + _FREE * _COMMA:
        raise NotEtcd("the document", "is made of next to nothing but brackets and commas")
    try:
        document = json.loads(text.decode(), object_pairs_hook=_object, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # of a number with very many digits too
        raise NotEtcd("the document", f"is no JSON ({shown(str(error))}): {shown(bytes(text[:200]))}") from None
    if not isinstance(document, dict):
        raise NotEtcd("the document", f"must be a JSON object, got {shown(document)}")
    return document


def number(document: dict[str, Any], field: str, name: str) -> int:
    """A whole number; etcd writes it as text, and leaves 0 out. ``name``: of the field, for errors."""
    value = document.get(field, 0)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if type(value) is not int or not 0 <= value <= MOST:
        raise NotEtcd(name, f"must be a number from 0 to {MOST}, got {shown(value)}")
    return value


def revision(document: dict[str, Any]) -> int:
    """The store's revision in the header."""
    return number(an_object(document, "header", "header"), "revision", "header.revision")


def flag(document: dict[str, Any], field: str) -> bool:
    """True, false, or left out."""
    value = document.get(field, False)
    if not isinstance(value, bool):
        raise NotEtcd(field, f"must be true or false, got {shown(value)}")
    return value


def text(document: dict[str, Any], field: str, *, needed: bool = False) -> str:
    """Text, or left out."""
    value = document.get(field, None if needed else "")
    if not isinstance(value, str):
        raise NotEtcd(field, f"must be text, got {shown(value)}")
    return value


def raw(document: dict[str, Any], field: str, name: str) -> bytes:
    """Bytes, in base64; left out where there are none."""
    value = document.get(field, "")
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise NotEtcd(name, f"must be base64, got {shown(value)}")


def an_object(document: dict[str, Any], field: str, name: str) -> dict[str, Any]:
    """An object that must be there."""
    value = document.get(field)
    if not isinstance(value, dict):
        raise NotEtcd(name, f"must be an object, got {'nothing' if value is None else shown(value)}")
    return value


def objects(document: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """A list of objects; left out where it is empty."""
    value = document.get(field, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise NotEtcd(field, f"must be a list of objects, got {shown(value)}")
    return value


def change(event: dict[str, Any]) -> KeyChange:
    """An event of a watch."""
    kind = event.get("type", "PUT")
    if kind not in ("PUT", "DELETE"):
        raise NotEtcd("events.type", f"must be PUT or DELETE, got {shown(kind)}")
    kv = an_object(event, "kv", "events.kv")
    value = None if kind == "DELETE" else raw(kv, "value", "events.kv.value")
    return KeyChange(raw(kv, "key", "events.kv.key"), value, number(kv, "mod_revision", "events.kv.mod_revision"))


def error_of(answer: dict[str, Any]) -> str:
    """The text of an error, empty where it is none: of an answer ``{"error": text}``, of a stream a document in it."""
    error = answer.get("error")
    if isinstance(error, dict):
        error = error.get("message") or error
    elif error:
        error = answer.get("message") or error
    return "" if not error else error if isinstance(error, str) else shown(error)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in pairs:
        if name in document:
            raise NotEtcd(shown(name), "is there twice in one object")
        document[name] = value
    return document


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
