"""``breaker force-open``, ``disable``, ``shadow`` and ``auto``: options."""

from __future__ import annotations

import argparse

from breaker.cli.parsing import Commands, add_json, seconds
from breaker.cli.places import add_source, breaker_name
from breaker.states import Mode

_MODES = {  # command → mode, what it does
    "force-open": (Mode.FORCED_OPEN, "All calls are rejected."),
    "disable": (Mode.DISABLED, "All calls run, and none is judged."),
    "shadow": (Mode.SHADOW, "All calls run, and the programs report when the breaker would have opened."),
    "auto": (Mode.AUTO, "Calls go as the breaker's state says."),
}


def add_parser(commands: Commands[argparse.ArgumentParser], name: str, line: str) -> None:
    """Add the command of one mode."""
    mode, meaning = _MODES[name]
    parser = commands.add_parser(
        name,
        help=line,
        description=f"Write the mode {mode.value} into the document of a breaker, which is made if there is none. "
        f"{meaning} With --for the document is put back when the time is over, or earlier by Ctrl-C, SIGTERM or the "
        "end of the terminal, unless somebody has changed it meanwhile. A mode that a program has set itself wins.",
        epilog=f"examples:\n  breaker {name} http:payment-api --for 10m --reason 'INC-123, until the release'\n"
        f"  breaker {name} http:payment-api --source etcd://127.0.0.1:2379 --env production --service my-service\n",
    )
    parser.add_argument("name", type=breaker_name, metavar="NAME", help="of the breaker, or default: of all others")
    parser.add_argument("--for", dest="seconds", type=seconds, metavar="TIME", help="like 10m; then it is taken back")
    parser.add_argument("--reason", metavar="TEXT", help="printed with what was done; it is not in the document")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask, where default is meant")
    add_json(parser)
    add_source(parser)
    parser.set_defaults(run="breaker.cli.overriding:override", mode=mode)
