"""What ``breaker force-open`` and its sisters do: a mode goes into a document, and with ``--for`` out of it again."""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from breaker.cli import output
from breaker.cli.output import clean, say
from breaker.cli.places import Place, find
from breaker.cli.policy.documents import BUILT_IN, OWN, Documents, values_of
from breaker.cli.policy.fields import changed, check
from breaker.cli.policy.writing import Change, confirm
from breaker.cli.signals import stop_signals
from breaker.cli.trouble import Code, Mistake, code_of_signal, in_words_of_the_command_line
from breaker.errors import RevisionConflict, SourceError, Unreachable
from breaker.policies.durations import format_duration
from breaker.policies.names import DEFAULT_NAME
from breaker.sources.base import Revision
from breaker.states import Mode

_TRIES = 60.0  # seconds in which taking back is tried while the source cannot be reached
_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds between two tries; the last one goes on


def override(args: argparse.Namespace) -> int:
    """``breaker force-open`` and the other modes."""
    place = find(args)
    before = Documents.of(place.store)
    change = _change(place, args.name, before, args.mode)
    if change is None:
        return _already(args, place, before)
    if args.name == DEFAULT_NAME:
        output.note(f"this is the document of all breakers whose own says no mode: {place.of(DEFAULT_NAME)}")
        confirm(args, f"Write the mode {args.mode.value} into it?")
    if args.seconds is None:
        revision = change.make()
        _say_written(args, change, revision)
        return Code.DONE
    with stop_signals(signal.SIGHUP) as stopped_by:  # before the write: from here on it is taken back
        revision = change.make()
        with suppress(output.Gone):  # whoever reads may have gone: taking back does not depend on it
            _say_written(args, change, revision)
            output.finish()
        _sleep(args.seconds, lambda: bool(stopped_by))
        how = _take_back(change, revision, stopped_by)
    return _say_taken_back(args, change, how, stopped_by)


def _change(place: Place, name: str, before: Documents, mode: Mode) -> Change | None:
    """The document with the mode in it; None where it says so already. Raises `Mistake`."""
    old = values_of(before.text(name))
    if before.error(name) is not None or (old is None and before.text(name) is not None):
        mend = place.command("policy set --replace", name, f"mode={mode.value}")
        raise Mistake(
            f"{before.error(name)}; mend it first, or write the mode in place of all it holds: {mend}", Code.NO
        )
    if old is not None and old.get("mode") == mode.value:
        return None
    given = {"mode": json.dumps(mode.value)}  # auto too: what is inherited may be another one
    text = changed(old or {}, given)
    check(text, given, place.of(name))
    return Change(place, name, before, text)


def _already(args: argparse.Namespace, place: Place, before: Documents) -> int:
    mode = args.mode.value
    if args.seconds is not None:
        back = place.command("policy set", args.name, "mode=")
        raise Mistake(
            f"{args.name} has the mode {mode} already, and --for takes back only what it has written itself; "
            f"to take it out of the document: {back}",
            Code.NO,
        )
    if args.json:
        output.emit(_entry(args, place, before, written=False) | {"revision": before.revision(args.name) or None})
    else:
        say(f"{clean(args.name)}: the mode is {mode} already")
    return Code.DONE


def _entry(args: argparse.Namespace, place: Place, before: Documents, *, written: bool) -> dict[str, Any]:
    return {
        "event": "written" if written else "unchanged",
        "time": time.time(),
        "name": args.name,
        "place": place.of(args.name),
        "before": before.effective(args.name).policy.mode.value,
        "mode": args.mode.value,
        "reason": args.reason,
    }


def _say_written(args: argparse.Namespace, change: Change, revision: Revision | None) -> None:
    before = change.before.effective(change.name)
    seconds: float | None = args.seconds
    until = None if seconds is None else time.time() + seconds
    if args.json:
        entry = _entry(args, change.place, change.before, written=True)
        output.emit(entry | {"revision": revision, "until": until})
        return
    origin = before.origin["mode"]
    from_default = f" (from {origin})" if origin not in (OWN, BUILT_IN) else ""
    reason = f", because {clean(args.reason)}" if args.reason else ""
    say(f"{clean(change.name)}: mode {before.policy.mode.value}{from_default} -> {args.mode.value}{reason}")
    say(f"  written to {clean(change.place.of(change.name))}, revision {revision}")
    if change.before.text(change.name) is None:
        say(f"  there was no document before{change.before.similar(change.name)}")
    if seconds is not None:
        length, end = format_duration(round(seconds * 1e9)), time.localtime(time.time() + seconds)
        say(f"  for {length}, until {time.strftime('%H:%M:%S', end)}; Ctrl-C takes it back now")
    else:
        say(f"  to take it back: {_mend(change)}")


def _mend(change: Change, now: Mapping[str, Any] | None = None) -> str:
    """The command that makes the mode what it was. ``now``: what the document says, if somebody has changed it."""
    old = values_of(change.before.text(change.name))
    if old is None and not (now and now.keys() - {"mode"}):
        return change.place.command("policy delete", change.name)
    return change.place.command("policy set", change.name, f"mode={(old or {}).get('mode', '')}")


def _sleep(seconds: float, stopped: Callable[[], bool]) -> None:
    """Wait, also while the machine is suspended: minutes of people, not of the processor."""
    end = _now() + seconds
    while not stopped() and (left := end - _now()) > 0:
        time.sleep(min(left, 0.1))


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Back(NamedTuple):
    """How taking back went: it is done, it is no longer needed, or why it is not done.

    ``values``: of the document then, if somebody has changed it.
    """

    done: bool
    words: str
    problem: str | None = None
    values: Mapping[str, Any] | None = None


def _take_back(change: Change, revision: Revision | None, stopped_by: list[int]) -> Back:
    """Put the document back as it was, if it still is what was written."""
    signals, end, tries = len(stopped_by), _now() + _TRIES, 0
    while True:
        try:
            _put_back(change, revision)
            return Back(True, "taken back")
        except RevisionConflict:
            return _look(change)
        except Unreachable as error:
            problem = in_words_of_the_command_line(str(error))
            if tries and (found := _look_quietly(change)) is not None:
                return found  # the write before has been made, though its answer did not come
            if _now() > end or len(stopped_by) > signals:
                return Back(False, "", problem)
            if not tries:
                output.note(f"not taken back yet: {problem}; trying for {_TRIES:g} s, Ctrl-C gives up")
            pause = _PAUSES[min(tries, len(_PAUSES) - 1)]
            _sleep(pause, lambda: len(stopped_by) > signals)
            tries += 1
        except (SourceError, Mistake) as error:
            return Back(False, "", in_words_of_the_command_line(str(error)))


def _put_back(change: Change, revision: Revision | None) -> None:
    text, store = change.before.text(change.name), change.place.store
    with change.place.alone():
        if text is None:
            store.delete(change.name, expected_revision=revision)
        else:
            store.put(change.name, text, expected_revision=revision)


def _look(change: Change) -> Back:
    """What somebody else has made of the document. Nothing of it is changed."""
    try:
        now = Documents.of(change.place.store)
    except SourceError as error:
        return Back(False, "", f"somebody has changed the document meanwhile, and {error}")
    text, old = now.text(change.name), change.before.text(change.name)
    if text == old:
        return Back(True, "it is back already")
    written, meanwhile = (values_of(change.text) or {})["mode"], "somebody has changed the document meanwhile"
    if (wrong := now.error(change.name)) is not None:
        return Back(False, "", f"{meanwhile} to one that is not valid, so that programs keep the mode ({wrong})")
    values = values_of(text) or {}
    if values.get("mode") != written:
        return Back(True, f"{meanwhile}; its mode is no longer {written}")
    return Back(False, "", f"{meanwhile}, and its mode still is {written}", values)


def _look_quietly(change: Change) -> Back | None:
    """Whether the document is back already; None: it is not, or nobody knows."""
    with suppress(SourceError):
        if Documents.of(change.place.store).text(change.name) == change.before.text(change.name):
            return Back(True, "taken back")
    return None


def _say_taken_back(args: argparse.Namespace, change: Change, how: Back, stopped_by: list[int]) -> int:
    mend = _mend(change, how.values)
    if not how.done:
        output.note(f"{args.parser.prog}: error: {args.name} is not taken back: {how.problem}")
        output.note(f"  its mode is {args.mode.value} until somebody does it: {mend}")
    try:
        if args.json:
            line = {"event": "taken_back" if how.done else "left", "time": time.time(), "name": args.name}
            output.emit(line | {"error": how.problem, "remedy": None if how.done else mend})
        elif how.done:
            say(f"{clean(args.name)}: {how.words}")
        output.finish()
    except output.Gone:
        if how.done and not stopped_by:
            raise
    if not how.done:
        return Code.LEFT
    return code_of_signal(stopped_by[0]) if stopped_by else Code.DONE
