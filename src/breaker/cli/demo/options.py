"""The options of ``breaker demo``."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from breaker.cli.parsing import Commands

_MAX_SECONDS = 3600.0
_MAX_WORKERS = 200


def add_parser(commands: Commands[argparse.ArgumentParser], name: str, line: str) -> None:
    """Add ``demo`` and its options."""

    parser = commands.add_parser(
        name,
        help=line,
        description="Start an HTTP service on 127.0.0.1, call it from several threads through circuit "
        "breakers, let it fail and recover, change policies meanwhile; print the breakers' log and a table.",
    )
    parser.add_argument("--seconds", type=_seconds, default=20.0, help="length of the run (default: 20)")
    parser.add_argument("--workers", type=_workers, default=8, help="threads that make calls (default: 8)")
    parser.add_argument(
        "--picture",
        type=_file,
        metavar="FILE",
        default=Path("breaker-demo.svg"),
        help="where the picture of the run goes, as SVG (default: breaker-demo.svg in this directory)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--etcd",
        metavar="ENDPOINT",
        help="keep the policy documents in this etcd, like 127.0.0.1:2379, instead of in files",
    )
    where.add_argument(
        "--policies",
        type=_directory,
        metavar="DIR",
        help="directory of policy documents, made if missing; documents that are there are used, and what "
        "the demo changes in them is put back at the end (default: a temporary directory)",
    )
    parser.set_defaults(run="breaker.cli.demo.run:run")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 1 <= (value := float(text)) <= _MAX_SECONDS:
            return value
    raise argparse.ArgumentTypeError(f"expected a number of seconds from 1 to {_MAX_SECONDS:g}, not {text!r}")


def _file(text: str) -> Path:
    if not text or Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"expected a file that may be written, not {text!r}")
    if Path(text).suffix not in ("", ".svg"):
        raise argparse.ArgumentTypeError(f"the picture is SVG: expected a file that ends in .svg, not {text!r}")
    return Path(text)


def _directory(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("expected a directory, not an empty text")
    return Path(text)


def _workers(text: str) -> int:
    with contextlib.suppress(ValueError):
        if 1 <= (value := int(text)) <= _MAX_WORKERS:
            return value
    raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {_MAX_WORKERS}, not {text!r}")
