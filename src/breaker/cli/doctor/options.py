"""The options of ``breaker doctor``."""

from __future__ import annotations

import argparse

from breaker.cli.parsing import Commands, add_json
from breaker.cli.places import add_source


def add_parser(commands: Commands[argparse.ArgumentParser], name: str, line: str) -> None:
    """Add ``doctor`` and its options."""
    parser = commands.add_parser(
        name,
        help=line,
        description="Look at this installation, and with --source at a source of policies: is it reached, how fast, "
        "is the login taken, are the documents valid. Nothing is written. Exit code 1 if something is wrong.",
        epilog="examples:\n  breaker doctor\n  breaker doctor --json\n"
        "  breaker doctor --source etcds://etcd-1:2379,etcd-2:2379 --env production --service my-service\n",
    )
    add_json(parser)
    add_source(parser)
    parser.set_defaults(run="breaker.cli.doctor.run:doctor")
