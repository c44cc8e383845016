"""``breaker policy list`` and ``breaker policy get``."""

from __future__ import annotations

import argparse
from typing import Any

from breaker.cli import output
from breaker.cli.output import clean, say, shown, styled
from breaker.cli.places import Place, find
from breaker.cli.policy.documents import BUILT_IN, OWN, Documents, Effective, values_of
from breaker.policies.names import DEFAULT_NAME
from breaker.sources.base import StoredPolicy


def show_all(args: argparse.Namespace) -> int:
    """``breaker policy list``."""
    place = find(args)
    documents = Documents.of(place.store)
    if args.json:
        listed = [_entry(place, stored) for stored in documents.stored.values()]
        output.emit({"source": place.source, "path": place.path, "documents": listed})
        return 0
    if not documents.stored:
        output.note(f"no documents at {place.store.location(place.path, '')}")
        return 0
    rows = [(clean(each.name), str(each.revision)[:12], _summary(each)) for each in documents.stored.values()]
    output.say_table(("NAME", "REVISION", "DOCUMENT"), rows)
    return 0


def _entry(place: Place, stored: StoredPolicy) -> dict[str, Any]:
    return {
        "name": stored.name,
        "place": place.of(stored.name),
        "revision": stored.revision,
        "document": values_of(stored.document),
        "valid": stored.error is None,
        "error": stored.error,
    }


def _summary(stored: StoredPolicy) -> str:
    if stored.error is not None:
        return f"NOT VALID: {clean(stored.error)}"
    values = values_of(stored.document) or {}
    return " ".join(f"{clean(key)}={shown(value)}" for key, value in values.items()) or "(sets nothing)"


def show(args: argparse.Namespace) -> int:
    """``breaker policy get``."""
    place = find(args)
    documents = Documents.of(place.store)
    effective = documents.effective(args.name)
    stored = documents.stored.get(args.name)
    if args.json:
        entry = {"name": args.name, "place": place.of(args.name), "revision": None, "document": None, "valid": True}
        entry |= {"error": None} if stored is None else _entry(place, stored)
        policy = {"policy": effective.document(), "from": effective.origin, "error": effective.error}
        output.emit(entry | {"effective": policy})
        return 0
    _say_document(place, documents, args.name)
    say()
    default_error = documents.error(DEFAULT_NAME) or documents.contradiction(DEFAULT_NAME)
    _say_effective(args.name, effective, default_error)
    return 0


def _say_document(place: Place, documents: Documents, name: str) -> None:
    stored = documents.stored.get(name)
    if stored is None:
        say(f"{clean(name)} has no document of its own{documents.similar(name)}")
        say(f"  it would be {clean(place.of(name))}")
        return
    say(f"{clean(place.of(name))}, revision {stored.revision}")
    if stored.error is not None:
        say(styled(f"  not valid: {clean(stored.error)}", "bad"))
        say("  a program that has read a valid one before keeps that; another goes on as if there were none")
    for line in stored.document.decode(errors="backslashreplace").splitlines():
        say(f"  {clean(line)}")


def _say_effective(name: str, effective: Effective, default_error: str | None) -> None:
    whose = "all breakers without a document of their own" if name == DEFAULT_NAME else clean(name)
    say(f"policy of {whose}:")
    own = "default.json" if name == DEFAULT_NAME else "its own document"
    words = {OWN: own, BUILT_IN: "built in, or the program's default policy"}
    document = effective.document()
    width = max(map(len, document))
    values = {key: "-" if value is None else shown(value) for key, value in document.items()}
    wide = max(map(len, values.values()))
    for key, value in values.items():
        origin = effective.origin[key]
        text = f"  {key:<{width}}  {value:<{wide}}  {words.get(origin, origin)}"
        say(text if origin != BUILT_IN else styled(text, "faint"))
    if effective.error is not None:
        say(styled(f"  no program takes this: {clean(effective.error)}", "bad"))
    if default_error is not None and name != DEFAULT_NAME:
        say(styled(f"  default.json is left out: {clean(default_error)}", "bad"))
