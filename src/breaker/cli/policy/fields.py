"""``failureThreshold=3 openStateTimeout=30s mode=``: fields as they are written on a command line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from breaker.cli.policy.documents import refuse_constant
from breaker.cli.trouble import Mistake
from breaker.errors import PolicyError
from breaker.policies.documents import MAX_DEPTH, MAX_DOCUMENT_BYTES, read_document
from breaker.policies.policy import Policy

UNSET = object()
"""Stands for a field that is taken out."""


def read_changes(words: Iterable[str], unset: Iterable[str]) -> dict[str, Any]:
    """Key → JSON text, or `UNSET`. Whether a policy may have them is not judged here. Raises `Mistake`."""
    changes: dict[str, Any] = {}
    for word in [*words, *(f"{key}=" for key in unset)]:
        key, equals, text = word.partition("=")
        if not equals or not key:
            hint = f"write {key or 'failureThreshold'}=VALUE, or {key or 'failureThreshold'}= to take it out"
            raise Mistake(f"{word!r} is no field with a value: {hint}{or_rather(key)}")
        if key in changes:
            raise Mistake(f"{key} is given twice: keep one of the two")
        changes[key] = json_of(text) if text else UNSET
    return changes


def json_of(text: str) -> str:
    """What is JSON is taken as such (``3``, ``0.5``, ``null``, ``{"calls": 100}``), all else as text without quotes."""
    if len(text) <= MAX_DOCUMENT_BYTES and text.count("[") + text.count("{") <= MAX_DEPTH:
        with suppress(ValueError):
            json.loads(text, parse_constant=refuse_constant)
            return text
    return json.dumps(text)


def changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> bytes:
    """The text of a document with the changes made, one field a line. Fields that stay keep their places."""
    texts: dict[str, Any] = {key: json.dumps(value, ensure_ascii=False) for key, value in document.items()}
    texts.update(changes)
    lines = [f"  {json.dumps(key, ensure_ascii=False)}: {text}" for key, text in texts.items() if text is not UNSET]
    body = "{\n" + ",\n".join(lines) + "\n}\n" if lines else "{}\n"
    return body.encode(errors="surrogatepass")


def check(document: bytes, given: Mapping[str, Any], place: str) -> None:
    """Raise unless a policy may say what the document says.

    `Mistake` for a field that was given here, and one that says how to mend it for what was in the document before.
    """
    try:
        _, unknown = read_document(document, Policy.fields)
    except PolicyError as error:
        if error.field is None or error.field.partition(".")[0] in given:
            raise Mistake(str(error)) from None
        hint = f"it was there before; give it a value too, or take it out with {error.field}="
        raise Mistake(f"{error.at(place)}; {hint}") from None
    for key in unknown:
        if key not in given:
            hint = f"take it out with {key}=, or use a version of breaker that knows it"
            raise Mistake(f"{place} has {key}, which this version does not know: {hint}")
        raise Mistake(f"{key} must be a field of a policy, got an unknown name{or_rather(key)}")


def or_rather(key: str) -> str:
    """A hint for a key that is no field's, or that looks like one."""
    keys = [field.key for field in Policy.fields.values()]
    if key in keys:
        return ""
    letters = {name.casefold(): name for name in keys}
    near = difflib.get_close_matches(key.replace("_", "").replace("-", "").casefold(), letters, 1)
    if near:
        return f"; did you mean {letters[near[0]]}?"
    return f"; the fields are {', '.join(keys)}"


def is_field(key: str) -> bool:
    """Whether a policy has it."""
    return any(field.key == key for field in Policy.fields.values())
