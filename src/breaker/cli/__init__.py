"""The command line: ``breaker COMMAND`` or ``python -m breaker COMMAND``.

A command is a module with ``add_parser(commands)``, which adds its sub-parser and sets the default ``run``
to a function that takes the parsed arguments and returns the exit code. To add a command, write its module
and name it in ``_parser``.

Exit codes: 0 done, 1 the command failed, 2 wrong arguments, 128 + n stopped by signal n.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Callable, Sequence
from typing import NoReturn, cast


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line; the usage is in ``--help``."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    # Imported here, where main() looks after a Ctrl-C that comes meanwhile.
    from breaker.cli import demo

    parser = _Parser(prog="breaker", description="Circuit breakers for calls to other services.")
    version = importlib.metadata.version("cybreaker")
    parser.add_argument("--version", action="version", version=f"cybreaker {version}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for command in (demo,):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` does not hold the program's name."""
    try:
        args = _parser().parse_args(argv)
        run = cast("Callable[[argparse.Namespace], int]", args.run)
        return run(args)
    except SystemExit as leaving:  # argparse leaves this way after --help and after an error
        return leaving.code if isinstance(leaving.code, int) else 0
    except KeyboardInterrupt:
        return 130
