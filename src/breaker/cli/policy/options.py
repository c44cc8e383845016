"""The sub-commands of ``breaker policy`` and their options."""

from __future__ import annotations

import argparse

from breaker.cli.parsing import Commands, add_json
from breaker.cli.places import add_source, breaker_name

_HERE = "breaker.cli.policy"
_NAME = "name of the breaker, or default: the document of all others"


def add_parser(commands: Commands[argparse.ArgumentParser], name: str, line: str) -> None:
    """Add ``policy`` with its sub-commands."""
    parser = commands.add_parser(name, help=line, description="Policy documents in a directory or in etcd.")
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for add in (_add_list, _add_get, _add_set, _add_delete, _add_diff, _add_watch, _add_validate, _add_schema):
        add(subcommands)


def _add(
    commands: Commands[argparse.ArgumentParser], name: str, line: str, run: str, text: str, *examples: str
) -> argparse.ArgumentParser:
    epilog = "examples:\n" + "\n".join(f"  breaker policy {example}" for example in examples)
    parser = commands.add_parser(name, help=line, description=text, epilog=epilog)
    parser.set_defaults(run=f"{_HERE}.{run}")
    return parser


def _add_list(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "All documents, with what each one sets, also those that are not valid."
    where = "list --source file:/etc/breakers --env production --service my-service"
    parser = _add(commands, "list", "show all documents", "reading:show_all", text, where, "list --json")
    add_json(parser)
    add_source(parser)


def _add_get(commands: Commands[argparse.ArgumentParser]) -> None:
    text = (
        "One document, and the policy that its breaker has: every field, and whether it comes from the breaker's own "
        "document, from default.json or is built in. A program may have a default policy of its own in place of the "
        "built-in one."
    )
    parser = _add(commands, "get", "show one document and its policy", "reading:show", text, "get http:payment-api")
    parser.add_argument("name", type=breaker_name, metavar="NAME", help=_NAME)
    add_json(parser)
    add_source(parser)


def _add_set(commands: Commands[argparse.ArgumentParser]) -> None:
    text = (
        "Change fields of a document; the others stay. The document is made if there is none. Values are JSON, or "
        "text without quotes. Shows the difference and asks. Written only if the document is still the one that was "
        "read."
    )
    parser = _add(
        commands,
        "set",
        "change fields of a document",
        "writing:set_fields",
        text,
        "set http:payment-api failureThreshold=3 openStateTimeout=30s",
        "set http:payment-api failureThreshold=         # take the field out",
        """set http:payment-api 'window={"time": "30s"}' failureRateThreshold=0.5""",
        "set default --file default.json --yes",
    )
    parser.add_argument("name", type=breaker_name, metavar="NAME", help=_NAME)
    parser.add_argument("fields", nargs="*", metavar="FIELD=VALUE", help="a field as in documents; FIELD= takes it out")
    parser.add_argument("--unset", action="append", default=[], metavar="FIELD", help="take a field out; repeatable")
    parser.add_argument("--replace", action="store_true", help="the fields given are the whole document")
    parser.add_argument("--file", metavar="FILE", help="take this document in place of the present one; - reads it")
    parser.add_argument("--force", action="store_true", help="write what contradicts other documents, too")
    _add_writing(parser)
    add_json(parser)
    add_source(parser)


def _add_delete(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "Remove a document; its breaker then has the policy of default.json. Shows what that changes, and asks."
    parser = _add(commands, "delete", "remove a document", "writing:delete", text, "delete http:payment-api --yes")
    parser.add_argument("name", type=breaker_name, metavar="NAME", help=_NAME)
    _add_writing(parser)
    add_json(parser)
    add_source(parser)


def _add_writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask; needed where there is no terminal")
    parser.add_argument("--dry-run", action="store_true", help="show the difference and write nothing")
    parser.add_argument("--revision", metavar="REVISION", help="only if the document has this one (0: is not there)")


def _add_diff(commands: Commands[argparse.ArgumentParser]) -> None:
    text = (
        "Compare a document with a file or with the document of another breaker; alone: with the policy that its "
        "breaker would have without it. OTHER is a file if it ends in .json, holds a file of that name or is - "
        "(standard input). Exit code 1 where they differ."
    )
    parser = _add(
        commands,
        "diff",
        "compare a document with a file or another",
        "comparing:diff",
        text,
        "diff http:payment-api",
        "diff http:payment-api new.json",
        "diff http:payment-api http:user-service --resolved",
    )
    parser.add_argument("name", type=breaker_name, metavar="NAME", help=_NAME)
    parser.add_argument("other", nargs="?", metavar="OTHER", help="a file, or the name of another breaker")
    parser.add_argument("--resolved", action="store_true", help="compare the policies that the documents come to")
    add_json(parser)
    add_source(parser)


def _add_watch(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "Print a line for each change of a document, until Ctrl-C (exit code 130)."
    parser = _add(
        commands, "watch", "print each change", "watching:watch", text, "watch", "watch http:payment-api --json"
    )
    parser.add_argument("names", nargs="*", type=breaker_name, metavar="NAME", help="only of these; none: of all")
    add_json(parser)
    add_source(parser)


def _add_validate(commands: Commands[argparse.ArgumentParser]) -> None:
    text = (
        "Check documents, and the policies that they come to together with the default.json beside them. Without "
        "files: those of the source. Exit code 1 if one is not valid."
    )
    parser = _add(
        commands,
        "validate",
        "check documents in files, for pipelines",
        "validation:validate",
        text,
        "validate policies/*.json",
        "validate 'policies/**/*.json' --json",
        "validate policies",
        "validate --source etcd://127.0.0.1:2379 --env production --service my-service",
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="files, patterns (with **) and directories; - reads standard input"
    )
    parser.add_argument("--allow-unknown", action="store_true", help="take fields that this version does not know")
    add_json(parser)
    add_source(parser)


def _add_schema(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "The JSON Schema (draft 2020-12) of a document, for editors and pipelines."
    parser = _add(commands, "schema", "print the JSON Schema", "validation:schema", text, "schema > policy.schema.json")
    parser.add_argument("--json", action="store_true", help="on one line")
