"""``breaker policy diff``."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from breaker.cli import output
from breaker.cli.output import clean, say, shown, styled
from breaker.cli.places import Place, breaker_name, find
from breaker.cli.policy.documents import Documents, changes_between, values_of
from breaker.cli.policy.files import is_file, read_document_file
from breaker.cli.trouble import Code, Mistake


class Side(NamedTuple):
    """What is compared: how it is called, and keys and values."""

    title: str
    values: dict[str, Any]


def diff(args: argparse.Namespace) -> int:
    """``breaker policy diff``."""
    place = find(args)
    documents = Documents.of(place.store)
    left, right = _sides(args, place, documents)
    changes = changes_between(left.values, right.values)
    if args.json:
        output.emit({"left": left.title, "right": right.title, "same": not changes, "changes": changes})
    else:
        _say(left, right, changes)
    return Code.NO if changes else Code.DONE


def _sides(args: argparse.Namespace, place: Place, documents: Documents) -> tuple[Side, Side]:
    if args.other is None:
        without = documents.with_document(args.name, None)
        if args.name not in documents.stored:
            raise _no_document(place, documents, args.name)
        return (
            Side(f"{args.name} without its document", without.effective(args.name).document()),
            Side(place.of(args.name), documents.effective(args.name).document()),
        )
    if not is_file(args.other):
        try:
            other = breaker_name(args.other)
        except argparse.ArgumentTypeError as error:
            raise Mistake(f"{args.other!r} is no file, and no breaker's name: {error}") from None
        return _named(args, place, documents, args.name), _named(args, place, documents, other)
    text = read_document_file(args.other)
    if args.resolved:
        _refuse_invalid(args.other, text)
        as_if = documents.with_document(args.name, text)
        return _named(args, place, documents, args.name), Side(args.other, as_if.effective(args.name).document())
    values = values_of(text)
    if values is None:
        _refuse_invalid(args.other, text)
    return _named(args, place, documents, args.name), Side(args.other, values or {})


def _refuse_invalid(file: str, text: bytes) -> None:
    from breaker.errors import PolicyError
    from breaker.policies.documents import read_document
    from breaker.policies.policy import Policy

    try:
        read_document(text, Policy.fields)
    except PolicyError as error:
        raise Mistake(str(error.at(file)), Code.NO) from None


def _named(args: argparse.Namespace, place: Place, documents: Documents, name: str) -> Side:
    if args.resolved:
        return Side(f"policy of {name}", documents.effective(name).document())
    values = values_of(documents.text(name))
    if name not in documents.stored:
        raise _no_document(place, documents, name)
    if values is None:
        raise Mistake(f"{documents.error(name)}", Code.NO)
    return Side(place.of(name), values)


def _no_document(place: Place, documents: Documents, name: str) -> Mistake:
    return Mistake(f"{name} has no document: {place.of(name)} is not there{documents.similar(name)}", Code.NO)


def _say(left: Side, right: Side, changes: dict[str, list[Any]]) -> None:
    if not changes:
        say(f"{clean(left.title)} and {clean(right.title)} say the same")
        return
    say(styled(f"--- {clean(left.title)}", "bad"))
    say(styled(f"+++ {clean(right.title)}", "good"))
    for key in changes:
        for sign, style, side in (("-", "bad", left), ("+", "good", right)):
            if key in side.values:
                say(styled(f"{sign} {clean(key)}: {shown(side.values[key])}", style))
