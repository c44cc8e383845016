"""What the demo shows: log lines on standard output, a progress line on a terminal, the table at the end."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from breaker.cli.output import Gone, gone
from breaker.policies.policy import Policy
from breaker.snapshot import Snapshot
from breaker.states import State


class Output(io.TextIOBase):
    """Standard output with a progress line on standard error below it.

    Only whole lines are written, and the progress line makes room for them. When standard output takes no more
    (``| head``, a full disk), ``gone`` says why and what is written afterwards is dropped.
    """

    def __init__(self) -> None:
        self.gone = Gone(128 + signal.SIGPIPE) if sys.stdout is None else None
        self._out = sys.stdout
        self._terminal = sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None
        self._lock = threading.Lock()
        self._part = ""
        self._shown = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        with self._lock:
            lines, newline, self._part = (self._part + text).rpartition("\n")
            if newline:
                self._show_locked("")
                self._write_locked(lines + newline)
        return len(text)

    def progress(self, text: str) -> None:
        """Show ``text`` in place of the last progress text ("" removes it); nothing without a terminal."""
        with self._lock:
            self._show_locked(text)

    def _write_locked(self, text: str) -> None:
        if self.gone is not None or self._out is None:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except OSError as error:
            self.gone = gone(error)

    def _show_locked(self, text: str) -> None:
        if self._terminal is None or text == self._shown:
            return
        try:
            # The last column stays free: some terminals begin a new line when it is filled.
            columns = os.get_terminal_size(self._terminal.fileno()).columns
            text = text[: columns - 1] if columns else text  # 0: the terminal does not know its size
            # Spaces instead of an escape sequence: every terminal knows them.
            self._terminal.write("\r" + " " * len(self._shown) + "\r" + text)
            self._terminal.flush()
        except OSError:  # the terminal has gone
            self._terminal = None
        self._shown = text


@dataclass(frozen=True)
class PolicyChange:
    """A policy that a running breaker took over, ``at`` seconds after the start."""

    at: float
    old: Policy
    new: Policy
    before: Snapshot
    after: Snapshot


@dataclass(frozen=True)
class BreakerReport:
    """One column of the table: a breaker's last snapshot and what its failing calls cost."""

    snapshot: Snapshot
    failed_seconds: float
    """How long one failing call took, on average; 0 when none failed."""
    policy_changes: int

    def rows(self, seconds: float) -> dict[str, str]:
        """The texts of this column by row title; ``seconds`` is how long calls were made."""
        shot = self.snapshot
        calls = shot.successes + shot.failures + shot.ignored + shot.late + shot.rejected
        return {
            "calls": f"{calls}",
            "  successes": f"{shot.successes}",
            "  failures": f"{shot.failures}",
            "  late (begun in an earlier state)": f"{shot.late}",
            "  ignored": f"{shot.ignored}",
            "  rejected (answered by the fallback)": f"{shot.rejected}",
            "probes overdue": f"{shot.overdue}",
            "calls per second": f"{calls / seconds:.1f}" if seconds else "0.0",
            "state at the end": str(shot.state),
            "how long open": f"{shot.state_seconds[State.OPEN]:.1f} s",
            "downstream service spared": f"{shot.rejected} requests",
            "callers spared waiting, about": f"{shot.rejected * self.failed_seconds:.0f} s",
            "policy changes applied": f"{self.policy_changes}",
        }


# What the demo's calls do not have on a machine that keeps up.
_ROWS_WHEN_NOT_ZERO = ("  ignored", "probes overdue")


def table(reports: Sequence[BreakerReport], seconds: float) -> str:
    """One column for each breaker, one row for each figure."""
    columns = [report.rows(seconds) for report in reports]
    titles = [
        title
        for title in columns[0]
        if title not in _ROWS_WHEN_NOT_ZERO or any(column[title] != "0" for column in columns)
    ]
    left = max(len(title) for title in titles)
    names = [report.snapshot.name for report in reports]
    widths = [max(len(name), *map(len, column.values())) for name, column in zip(names, columns, strict=True)]

    def line(title: str, cells: Sequence[str]) -> str:
        return "  ".join([title.ljust(left), *(c.rjust(w) for c, w in zip(cells, widths, strict=True))])

    rule = "-" * (left + sum(widths) + 2 * len(widths))
    lines = [line("", names), rule, *(line(title, [column[title] for column in columns]) for title in titles)]
    return "\n".join([*lines, rule])


def changes(applied: Sequence[PolicyChange]) -> str:
    """One paragraph for each policy change, oldest first."""
    if not applied:
        return "Policy changes applied while calls were running: none"
    lines = ["Policy changes applied while calls were running:"]
    for change in applied:
        lines.append(f"  {change.at:5.1f} s  {change.after.name}: {changed_fields(change.old, change.new)}")
        lines.append(f"           {_effect(change.before, change.after)}")
    return "\n".join(lines)


def changed_fields(old: Policy, new: Policy) -> str:
    """The fields that differ, as they are written in a document: ``openStateTimeout 6s -> 2.4s``."""
    return ", ".join(f"{key} {was} -> {now}" for key, (was, now) in old.differences(new).items())


def _effect(before: Snapshot, after: Snapshot) -> str:
    if (before.state, before.epoch) != (after.state, after.epoch):
        # A transition of its own fell into the moment between the two snapshots.
        return f"the breaker went from {before.state} to {after.state} at about this time"
    kept = f"stayed {after.state}, counts kept ({after.successes} successes, {after.failures} failures)"
    if after.state is State.OPEN:
        return f"{kept}; next try in {before.retry_after:.1f} s -> {after.retry_after:.1f} s"
    return kept
