"""The options of ``breaker replay``."""

from __future__ import annotations

import argparse

from breaker.cli.parsing import Commands, add_json

_EXAMPLES = """\
examples:
  breaker replay calls.jsonl --policy today.json --policy stricter.json
  breaker replay calls.jsonl --policy policies/ --only http:payment-api --plot payment.svg
  breaker replay access.log --format combined --name http:payment-api --policy today.json --json

The calls are those that breaker.replay.record(provider, "calls.jsonl") has written, or the log of a server or proxy.
"""


def add_parser(commands: Commands[argparse.ArgumentParser], name: str, line: str) -> None:
    """Add ``replay`` and its options."""
    parser = commands.add_parser(
        name,
        help=line,
        description="Run recorded calls through real breakers with other policies, on a clock of their own. A line for "
        "each policy says how often it would have opened, what it would have rejected in vain and spared, and how "
        "soon it would have noticed an outage and its end. Nothing is written but the picture.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("calls", metavar="CALLS", help="the recording or log; - for standard input")
    parser.add_argument(
        "--policy", dest="policies", action="append", required=True, metavar="FILE",
        help="a policy document, for all breakers, or a directory of them; may be given more than once",
    )  # fmt: skip
    parser.add_argument(
        "--format", default="calls", metavar="FORMAT",
        help="calls (the default), or a log: common, combined, haproxy, envoy, or regex:EXPRESSION with the groups "
        "time, and status or outcome, and if it has them name and one of seconds, milliseconds, microseconds",
    )  # fmt: skip
    parser.add_argument("--name", help="the breaker that the calls of a log are of, where its lines do not say it")
    parser.add_argument("--only", metavar="NAME", help="leave out the calls of all other breakers")
    parser.add_argument("--each", action="store_true", help="a line for each breaker of each policy")
    parser.add_argument(
        "--plot", metavar="FILE",
        help="draw states over time and calls by outcome, as .svg or .png: of --only, else of the breaker with the "
        "most failures",
    )  # fmt: skip
    add_json(parser)
    parser.set_defaults(run="breaker.cli.replay.run:replay")
