"""What the parsers of all commands share: one-line errors, help with examples, durations, ``--json``."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from breaker.cli.output import say
from breaker.policies.durations import parse_duration

Commands = argparse._SubParsersAction  # of parsers; the class has no public name


class _Help(argparse.HelpFormatter):
    """Wraps paragraphs, and leaves text of several lines as it is: examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line, which names the help. Words are options only as they are written out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=_Help, allow_abbrev=False)
        self.set_defaults(parser=self)

    def print_help(self, file: Any = None) -> None:
        """As any other answer: argparse itself passes over what a stream refuses."""
        for line in self.format_help().splitlines():
            say(line)

    def error(self, message: str) -> NoReturn:
        from breaker.cli.trouble import Mistake

        raise Mistake(f"{message} (see {self.prog} --help)", prog=self.prog)


class VersionAction(argparse.Action):
    """``--version``: looked up only where it is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, nargs=0, default=argparse.SUPPRESS)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import importlib.metadata

        try:
            say(f"cybreaker {importlib.metadata.version('cybreaker')}")
        except importlib.metadata.PackageNotFoundError:  # on the path without having been installed
            say("cybreaker, not installed as a distribution")
        parser.exit()


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        "--json", action="store_true", help="print JSON, errors too; its shape is in docs/command-line.md"
    )


def seconds(text: str) -> float:
    """The seconds of a duration as documents write it: ``10m``, ``1m30s``."""
    try:
        nanoseconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: {error}; write 30s, 10m or 1h30m") from None
    if nanoseconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be longer than 0; write 30s, 10m or 1h30m")
    return nanoseconds / 1e9
