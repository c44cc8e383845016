"""``breaker policy validate`` and ``breaker policy schema``."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from breaker.cli import output
from breaker.cli.output import clean, say, styled
from breaker.cli.places import find
from breaker.cli.policy import fields
from breaker.cli.policy.files import STANDARD_INPUT, expand, read_one
from breaker.cli.trouble import Code, Mistake
from breaker.errors import PolicyError
from breaker.policies import schema as policy_schema
from breaker.policies.names import DEFAULT_NAME, NAME_HINT, SUFFIX, document_key, document_name
from breaker.policies.policy import Policy
from breaker.policies.resolution import Resolution
from breaker.sources.base import Unreadable

_DEFAULT_FILE = DEFAULT_NAME + SUFFIX
_ANY = "document.json"  # stands for a name that is none


class Checked(NamedTuple):
    """A file and what is wrong with it."""

    file: str
    problems: list[PolicyError]


def validate(args: argparse.Namespace) -> int:
    """``breaker policy validate``."""
    checked = _check_files(args) if args.files else _check_source(args)
    wrong = [each for each in checked if each.problems]
    if args.json:
        files = [{"file": each.file, "valid": not each.problems, "problems": _listed(each)} for each in checked]
        output.emit({"files": files, "valid": len(checked) - len(wrong), "invalid": len(wrong)})
        return Code.NO if wrong else Code.DONE
    for each in wrong:
        for problem in each.problems:
            say(styled(clean(str(problem.at(each.file))), "bad"))
    count = f"{len(checked)} document{'' if len(checked) == 1 else 's'}"
    say(f"{count}, {len(wrong)} not valid" if wrong else f"{count}, all valid")
    return Code.NO if wrong else Code.DONE


def _listed(checked: Checked) -> list[dict[str, Any]]:
    return [
        {
            "field": problem.field,
            "expected": problem.expected,
            "got": problem.got,
            "remedy": problem.hint,
            "message": str(problem.at(checked.file)),
        }
        for problem in checked.problems
    ]


def _check_files(args: argparse.Namespace) -> list[Checked]:
    if args.source is not None:
        raise Mistake("files and --source: give one of the two")
    texts = {file: read_one(file) for file in expand(args.files)}
    return [Checked(file, _problems(file, text, _default_beside(file, texts), args)) for file, text in texts.items()]


def _default_beside(file: str, texts: dict[str, bytes | Unreadable]) -> bytes | Unreadable:
    """The ``default.json`` in the same directory, whether it was named or not."""
    beside = os.path.join(os.path.dirname(file), _DEFAULT_FILE)
    return texts[beside] if beside in texts else read_one(beside)


def _check_source(args: argparse.Namespace) -> list[Checked]:
    if args.source is None and not os.environ.get("BREAKER_SOURCE"):
        raise Mistake("nothing to check: name files, like policies/*.json, or a --source")
    place = find(args)
    stored = place.store.list()
    texts: dict[str, bytes | Unreadable] = {}
    for name, each in stored.items():
        unreadable = each.error is not None and not each.document
        texts[name] = Unreadable(str(each.error).partition(", got ")[2]) if unreadable else each.document
    default = texts.get(DEFAULT_NAME, Unreadable("there is none"))
    return [Checked(place.of(name), _problems(document_key(name), text, default, args)) for name, text in texts.items()]


def _problems(
    file: str, text: bytes | Unreadable, default: bytes | Unreadable, args: argparse.Namespace
) -> list[PolicyError]:
    """What keeps a program from taking the document as it is meant."""
    found = []
    key = os.path.basename(file) if file != STANDARD_INPUT else _ANY
    if document_name(key) is None:
        what = f"named NAME{SUFFIX}, as programs pass it over otherwise"
        found.append(PolicyError(None, what, repr(key), NAME_HINT))
        key = _ANY
    documents = {key: text} if isinstance(default, Unreadable) else {_DEFAULT_FILE: default, key: text}
    judged = Resolution(Policy()).update(documents)
    if not args.allow_unknown:
        found += [_unknown(field) for field in judged.unknown_fields.get(key, [])]
    return [*found, *(error for about, error in judged.rejected if about == key)]


def _unknown(key: str) -> PolicyError:
    hint = fields.or_rather(key).removeprefix("; ")
    return PolicyError(key, "a field of a policy", "an unknown name", f"{hint}; --allow-unknown takes it")


def schema(args: argparse.Namespace) -> int:
    """``breaker policy schema``."""
    document = policy_schema()
    lines: Iterable[str] = [json.dumps(document)] if args.json else json.dumps(document, indent=2).splitlines()
    for line in lines:
        say(line)
    return Code.DONE
