"""The commands by name, and how one is run: its parser built, its module loaded, its errors said in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

from breaker.cli import output, trouble
from breaker.cli.parsing import Parser, VersionAction

_MODES = "breaker.cli.modes"
COMMANDS = {  # name → its module, its line in the help
    "policy": ("breaker.cli.policy.options", "read, change, compare, watch and validate policy documents"),
    "force-open": (_MODES, "reject all calls of a breaker, in every program that follows its document"),
    "disable": (_MODES, "let all calls of a breaker run, and judge none"),
    "shadow": (_MODES, "let all calls of a breaker run, and report when it would have opened"),
    "auto": (_MODES, "give a breaker back to its rules"),
    "top": ("breaker.cli.top.options", "show the breakers of a running program, worst first, again and again"),
    "replay": ("breaker.cli.replay.options", "run recorded calls through other policies, and compare them"),
    "doctor": ("breaker.cli.doctor.options", "look at this installation, and at a source of policies"),
    "demo": ("breaker.cli.demo", "watch circuit breakers protect real calls to a service that fails and recovers"),
    "completion": ("breaker.cli.completion", "print the completion script of a shell"),
}
_EPILOG = """\
examples:
  breaker policy list --source file:/etc/breakers --env production --service my-service
  breaker policy set http:payment-api failureThreshold=3 openStateTimeout=30s
  breaker force-open http:payment-api --for 10m
  breaker doctor --source etcd://127.0.0.1:2379

BREAKER_SOURCE, BREAKER_ENV and BREAKER_SERVICE stand for --source, --env and --service.
Exit codes: 0 done, 1 the answer is no, 2 wrong arguments, 3 the source cannot be read or written,
4 changed by somebody else, 5 not confirmed, 6 a mode was not taken back, 128 + n stopped by signal n.
"""


def make_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line; with ``only``, the others of its commands are names without options."""
    parser = Parser(prog="breaker", description="Circuit breakers for calls to other services.", epilog=_EPILOG)
    parser.add_argument("--version", action=VersionAction, help="print the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for name, (module, line) in COMMANDS.items():
        if only is None or name == only:
            import_module(module).add_parser(commands, name, line)
        else:
            commands.add_parser(name, help=line)
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments. Those of which there may be many stand between options too. Raises `Mistake`, or `SystemExit`."""
    # Only the parser that is needed is built: the others cost more than most commands take.
    command = next((word for word in words if not word.startswith("-")), "")
    args, others = make_parser(command if command in COMMANDS else "").parse_known_args(words)
    if others:
        _take_late(args, others)
    return args


def _take_late(args: argparse.Namespace, words: Sequence[str]) -> None:
    """Take the arguments that come after an option, all of which argparse gives to the first group that it sees."""
    parser = cast("Parser", args.parser)
    many = next((action for action in parser._actions if action.nargs == "*"), None)
    if many is None or any(word.startswith("-") for word in words):
        hint = "; fields are written failureThreshold=3" if many is not None and many.dest == "fields" else ""
        parser.error(f"unrecognized arguments: {' '.join(words)}{hint}")
    kind = cast("Callable[[str], object]", many.type or str)
    try:
        getattr(args, many.dest).extend(map(kind, words))
    except argparse.ArgumentTypeError as error:
        parser.error(f"argument {many.metavar}: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` does not hold the program's name."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        output.prepare()
        with trouble.told(words) as outcome:
            args = parse(words)
            outcome.prog = args.parser.prog
            module, _, function = args.run.partition(":")
            run = cast("Callable[[argparse.Namespace], int]", getattr(import_module(module), function))
            outcome.code = run(args)
            output.finish()
        return outcome.code
    except KeyboardInterrupt:
        return 130
