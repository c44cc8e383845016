"""What ``breaker replay`` does: calls are read, replayed, and what came of it is said."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from statistics import median
from typing import Any, TextIO, cast

from breaker.cli import output
from breaker.cli.output import clean, note, say, say_table
from breaker.cli.trouble import Code, Mistake
from breaker.errors import RecordingError
from breaker.policies.durations import format_duration
from breaker.replay import Call, Candidate, Played, Recorded, Result, draw, read_access_log, read_calls, read_candidate
from breaker.replay import replay as replay_calls
from breaker.states import Mode

# How packed files begin, and what unpacks them: old logs are packed.
_PACKED = {b"\x1f\x8b": "zcat", b"BZh": "bzcat", b"\xfd7zXZ": "xzcat", b"\x28\xb5\x2f\xfd": "zstdcat"}
_TITLES = ("openings", "rejected", "in vain", "spared", "not closed", "noticed", "after", "closed after")


def replay(args: argparse.Namespace) -> int:
    """``breaker replay``."""
    try:
        candidates = [read_candidate(path) for path in args.policies]
        recorded, others = _read(args)
    except OSError as error:
        raise Mistake(f"cannot read {error.filename}: {error.strerror}", Code.SOURCE) from None
    calls = [call for call in recorded.calls if args.only in (None, call.name)]
    if not calls:
        known = ", ".join(sorted({call.name for call in recorded.calls})[:5])
        raise Mistake(f"no calls of {args.only!r} in {args.calls}; there are some of {known}" if known else
                      f"no calls in {args.calls}", Code.NO)  # fmt: skip
    results = replay_calls(calls, candidates)
    if args.plot is not None:
        _draw(args, calls, results)
    if args.json:
        output.emit(_as_json(calls, recorded, others, results))
    else:
        _say(args, calls, results)
    for line in _remarks(args, calls, recorded, others, candidates, results):
        note(line)
    return Code.DONE


def _read(args: argparse.Namespace) -> tuple[Recorded, int]:
    source = "standard input" if args.calls == "-" else args.calls
    if args.format == "calls" and args.name is not None:
        raise Mistake("--name is for logs; a recording has the names of its breakers, and --only chooses one")
    if args.calls == "-" and sys.stdin is None:
        raise Mistake("there is no standard input", Code.SOURCE)
    with nullcontext(sys.stdin) if args.calls == "-" else open(args.calls, encoding="utf-8", errors="replace") as file:
        lines: TextIO = file
        if args.calls != "-":
            _refuse_packed(lines, args.calls)
        if args.format == "calls":
            recorded = read_calls(lines, source)
            return recorded, int(recorded.cut)
        try:
            return read_access_log(lines, args.format, name=args.name, source=source)
        except RecordingError:
            raise
        except ValueError as error:
            raise Mistake(f"--format or --name: {error}") from None


def _refuse_packed(file: TextIO, path: str) -> None:
    begins = cast("io.BufferedReader", file.buffer).peek(4)  # which takes nothing: it may be a pipe
    for mark, tool in _PACKED.items():
        if begins.startswith(mark):
            raise Mistake(f"{path} is packed; {tool} {shlex.quote(path)} | breaker replay - reads it", Code.NO)


def _draw(args: argparse.Namespace, calls: list[Call], results: list[Result]) -> None:
    failures = Counter(call.name for call in calls if call.outcome == "failure") or Counter(call.name for call in calls)
    try:
        draw(args.plot, calls, results, args.only or failures.most_common(1)[0][0])
    except (ValueError, ImportError) as error:
        raise Mistake(f"--plot: {error}") from None
    except OSError as error:
        raise Mistake(f"--plot: cannot write {args.plot}: {error.strerror}", Code.SOURCE) from None


def _remarks(
    args: argparse.Namespace,
    calls: list[Call],
    recorded: Recorded,
    others: int,
    candidates: list[Candidate],
    results: list[Result],
) -> Iterable[str]:
    """What is to be known of the figures."""
    if recorded.share < 1:
        yield (
            f"note: the recording has {recorded.share:g} of the calls, by chance: failures in a row are fewer in it, "
            "rates are right"
        )
    if recorded.lost:
        yield f"note: {recorded.lost} calls were not recorded, for there were too many at once"
    if recorded.cut:
        yield f"note: the last line of {args.calls} is cut off and was left out"
    elif others:
        yield f"note: {others} lines of {args.calls} are not of the format {args.format} and were left out"
    if unknown := sum(call.outcome == "rejected" for call in calls):
        yield f"note: {unknown} calls were rejected when they were recorded; nobody knows how they would have ended"
    for candidate in candidates:
        for left_out in candidate.unknown:
            yield f"note: left out: {left_out}"
    for result in results:
        modes = Counter(played.policy.mode for played in result.played if played.policy.mode is not Mode.AUTO)
        for mode, many in modes.items():
            yield (
                f"note: {result.label}: mode {mode.value} decides for {many} of {len(result.played)} breakers, not the "
                "rules; take the mode out to see what they would do"
            )


# -- text --


def _say(args: argparse.Namespace, calls: list[Call], results: list[Result]) -> None:
    outcomes = Counter(call.outcome for call in calls)
    names = {call.name for call in calls}
    said = ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in ("success", "failure", "ignored", "rejected"))
    span = format_duration(_rounded(_span(calls)))
    of = next(iter(names)) if len(names) == 1 else f"{len(names)} breakers"
    say(clean(f"{len(calls)} calls of {of} in {span}: {said}"))
    outages = sum(len(played.outages) for played in results[0].played)
    say(f"{outages} outage{'' if outages == 1 else 's'}" if outages else "no outage")
    say()
    rows = []
    for result in results:
        for title, group in _groups(result, args.each):
            rows.append((clean(title), *_figures(group)))
    say_table((("policy, breaker" if args.each else "policy"), *_TITLES), rows)


def _groups(result: Result, each: bool) -> Iterable[tuple[str, Sequence[Played]]]:
    if each:
        return [(f"{result.label}, {played.name}", [played]) for played in result.played]
    return [(result.label, result.played)]


def _figures(group: Sequence[Played]) -> tuple[str, ...]:
    detected = [after for played in group for after in played.detected]
    noticed = [after for after in detected if after is not None]
    recovered = [after for played in group for after in played.recovered if after is not None]
    rejected = sum(played.rejected_successes + played.rejected_failures + played.rejected_others for played in group)
    return (
        str(sum(played.openings for played in group)),
        str(rejected),
        str(sum(played.rejected_successes for played in group)),
        str(sum(played.rejected_failures for played in group)),
        format_duration(_rounded(sum(played.not_closed for played in group))),
        f"{len(noticed)} of {len(detected)}",
        _middle(noticed),
        _middle(recovered),
    )


def _middle(times: Sequence[int]) -> str:
    return format_duration(_rounded(round(median(times)))) if times else "–"


def _rounded(nanoseconds: int) -> int:
    """To four digits or so: what people compare."""
    step = 1
    while abs(nanoseconds) // step >= 10_000:
        step *= 10
    return round(nanoseconds / step) * step


def _span(calls: Sequence[Call]) -> int:
    return max(call.at + (call.took or 0) for call in calls) - min(call.at for call in calls)


# -- JSON --


def _as_json(calls: list[Call], recorded: Recorded, others: int, results: list[Result]) -> dict[str, Any]:
    outcomes = Counter(call.outcome for call in calls)
    return {
        "calls": {outcome: outcomes[outcome] for outcome in ("success", "failure", "ignored", "rejected")},
        "seconds": _span(calls) / 1e9,
        "share": recorded.share,
        "lost": recorded.lost,
        "lines_left_out": others,
        "policies": [
            {"policy": os.fspath(result.label), "breakers": [_breaker(played) for played in result.played]}
            for result in results
        ],
    }


def _breaker(played: Played) -> dict[str, Any]:
    return {
        "name": played.name,
        "effective": played.policy.document(whole=True),
        "calls": played.calls,
        "openings": played.openings,
        "rejected_successes": played.rejected_successes,
        "rejected_failures": played.rejected_failures,
        "rejected_others": played.rejected_others,
        "unknown": played.unknown,
        "not_closed": played.not_closed / 1e9,
        "outages": [
            {
                "begins": outage.begins / 1e9,
                "ends": _seconds(outage.ends),
                "failures": outage.failures,
                "noticed_after": _seconds(detected),
                "closed_after": _seconds(recovered),
            }
            for outage, detected, recovered in zip(played.outages, played.detected, played.recovered, strict=True)
        ],
    }


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9
