"""What ``breaker top`` does: a screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from breaker.cli import output
from breaker.cli.output import note, say, say_table
from breaker.cli.top.reading import Page, Trouble, page_of
from breaker.cli.top.rows import TITLES, Row, at_of, chosen, summary
from breaker.cli.trouble import Code, Mistake


def top(args: argparse.Namespace) -> int:
    """``breaker top``."""
    page = page_of(args.url, args.timeout, args.ca)
    times = 1 if args.once else args.count
    try:
        seen = page.read()
    except Trouble as error:
        raise Mistake(str(error), Code.SOURCE) from None
    if times is None and not args.plain and not args.json and sys.stdout.isatty() and sys.stdin.isatty():
        try:
            from breaker.cli.top import screen
        except ImportError:  # a Python without curses
            return _print(args, page, seen, times)
        if screen.can():
            return screen.show(args, page, seen)
    return _print(args, page, seen, times)


def _print(args: argparse.Namespace, page: Page, seen: tuple[dict[str, Any], list[Row]], times: int | None) -> int:
    code = Code.DONE
    looks = 0
    while True:
        looks += 1
        _say(args, *seen)
        output.finish()
        while True:
            if times is not None and looks >= times:
                return code
            time.sleep(args.interval)
            try:
                seen = page.read()
                break
            except Trouble as error:
                looks += 1
                code = Code.SOURCE
                note(f"breaker top: {error}")


def _say(args: argparse.Namespace, document: dict[str, Any], rows: list[Row]) -> None:
    shown = chosen(rows, sort=args.sort, reverse=args.reverse, text=args.filter)
    if args.json:
        wanted = [row.name for row in shown]
        by_name = {breaker["name"]: breaker for breaker in document["breakers"]}
        output.emit(document | {"breakers": [by_name[name] for name in wanted]})
        return
    say(f"{at_of(document)} {summary(document, len(shown))}")
    if shown:
        say_table(TITLES, [row.cells() for row in shown])
    say()
