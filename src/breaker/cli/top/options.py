"""The options of ``breaker top``."""

from __future__ import annotations

import argparse
import os

from breaker.cli.parsing import Commands, add_json, seconds
from breaker.cli.top.rows import SORTS

_EXAMPLES = """\
examples:
  breaker top http://127.0.0.1:8080/
  breaker top --filter payment --sort rejected
  breaker top --once --json | jq .summary

keys: q quit, s sort by the next column, r the other way round, / filter, arrows and page keys scroll,
left and right through the columns
BREAKER_STATUS stands for URL. The program serves it by breaker.status.
"""


def add_parser(commands: Commands[argparse.ArgumentParser], name: str, line: str) -> None:
    """Add ``top`` and its options."""
    parser = commands.add_parser(
        name,
        help=line,
        description="Show the breakers of a running program, a line each, worst first, again and again. Without a "
        "terminal it prints plain lines.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "url", nargs="?", metavar="URL", default=os.environ.get("BREAKER_STATUS"), help="address of the status page"
    )
    parser.add_argument(
        "--interval", type=seconds, default=2.0, metavar="TIME", help="between two looks: 2s (the default), 500ms"
    )
    parser.add_argument("--sort", choices=SORTS, default="trouble", help="trouble (the default): worst first")
    parser.add_argument("--reverse", action="store_true", help="sort the other way round")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only breakers in whose line it is")
    parser.add_argument("--once", action="store_true", help="look once")
    parser.add_argument("--count", type=_count, metavar="N", help="look N times")
    parser.add_argument(
        "--timeout", type=seconds, default=3.0, metavar="TIME", help="limit of a request, 3s by default"
    )
    parser.add_argument("--ca", metavar="FILE", help="certificates of authorities that are trusted for https")
    parser.add_argument("--plain", action="store_true", help="plain lines on a terminal too")
    add_json(parser)
    parser.set_defaults(run="breaker.cli.top.run:top")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 1 or more")
    return int(text)
