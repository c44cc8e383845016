"""``breaker doctor``: all checks, one after the other, each line as soon as it is known."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from breaker.cli import output
from breaker.cli.doctor import installation, machine, source
from breaker.cli.doctor.findings import NOTE, OK, WRONG, Finding
from breaker.cli.output import clean, say, styled
from breaker.cli.places import given_source
from breaker.cli.trouble import Code

_STYLES = {OK: "good", NOTE: "changed", WRONG: "bad"}


def doctor(args: argparse.Namespace) -> int:
    """``breaker doctor``."""
    spec = given_source(args)
    found = []
    for finding in _findings(args, spec):
        found.append(finding)
        if not args.json:
            _say(finding)
            output.finish()
    wrong = sum(finding.status == WRONG for finding in found)
    if args.json:
        output.emit({"findings": [finding._asdict() for finding in found], "wrong": wrong})
    else:
        say(f"{wrong} thing{'' if wrong == 1 else 's'} wrong" if wrong else "nothing is wrong")
    return Code.NO if wrong else Code.DONE


def _findings(args: argparse.Namespace, spec: str | None) -> Iterator[Finding]:
    yield from installation.findings()
    yield from machine.findings()
    if spec is not None:
        yield from source.findings(args, spec)


def _say(finding: Finding) -> None:
    say(f"{styled(f'{finding.status:<5}', _STYLES[finding.status])}  {finding.topic:<10}  {clean(finding.text)}")
    if finding.remedy:
        say(f"{'':<5}  {'':<10}  {clean(finding.remedy)}")
