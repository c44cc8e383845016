"""``breaker policy set`` and ``breaker policy delete``, and a change of a document as all commands make it."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NamedTuple

from breaker.cli import output
from breaker.cli.output import clean, say, shown, styled
from breaker.cli.places import Place, find
from breaker.cli.policy import fields
from breaker.cli.policy.documents import OWN, Documents, changes_between, values_of
from breaker.cli.policy.files import read_document_file
from breaker.cli.trouble import Code, Mistake
from breaker.errors import RevisionConflict, SourceError, Unreachable
from breaker.sources.base import ABSENT, Revision


class Change(NamedTuple):
    """A document as it is, and as it shall be (None: shall not be there)."""

    place: Place
    name: str
    before: Documents
    text: bytes | None

    @property
    def after(self) -> Documents:
        """All documents, once it is made."""
        return self.before.with_document(self.name, self.text)

    def differences(self) -> dict[str, list[Any]]:
        """Of the document."""
        return changes_between(values_of(self.before.text(self.name)), values_of(self.text))

    def make(self) -> Revision | None:
        """Write or delete it, if it is still what was read. Returns the new revision, None if there is none.

        Raises:
            Mistake: It is another one now.
            SourceError: It cannot be written; the text says what is known of it.
        """
        store, expected = self.place.store, self.before.revision(self.name)
        try:
            with self.place.alone():
                if self.text is not None:
                    return store.put(self.name, self.text, expected_revision=expected)
                store.delete(self.name, expected_revision=expected)
                return None
        except RevisionConflict as conflict:
            now = f"it has revision {conflict.found} now" if conflict.found else "there is none now"
            raise Mistake(
                f"not written: somebody has changed the document of {self.name} since it was read ({now}, and had "
                f"{conflict.expected or 'none'}); look at it with: {self.place.command('policy get', self.name)}",
                Code.CONFLICT,
            ) from None
        except Unreachable as error:
            return self._made_all_the_same(error)

    def _made_all_the_same(self, error: Unreachable) -> Revision | None:
        """The revision, if it is written though the answer did not come. Raises `Unreachable`."""
        look = self.place.command("policy get", self.name)
        try:
            now = Documents.of(self.place.store)
        except SourceError:
            raise Unreachable(f"{error}; it may have been written all the same: look with: {look}") from None
        if now.text(self.name) != self.text:
            raise Unreachable(f"{error}; it is not written so far: look with: {look}") from None
        return now.revision(self.name) or None


def set_fields(args: argparse.Namespace) -> int:
    """``breaker policy set``."""
    given = fields.read_changes(args.fields, args.unset)
    if not given and not args.replace and args.file is None:
        missing = "the name is missing: write NAME before " + args.name if "=" in args.name else "no field is given"
        raise Mistake(f"{missing}; like http:payment-api failureThreshold=3, or pass --file FILE")
    if args.file is not None and (given or args.replace):
        raise Mistake("--file is the whole document: give it without fields and without --replace")
    file: str | None = args.file
    text = None if file is None else read_document_file(file)
    place = find(args)
    before = Documents.of(place.store)
    check_revision(args, before)
    if file is None or text is None:
        text = _changed(place, args.name, before, given, args.replace)
    else:
        fields.check(text, values_of(text) or {}, file)
    change = Change(place, args.name, before, text)
    if not args.force:
        refuse_contradictions(change)
    return carry_out(args, change)


def _changed(place: Place, name: str, before: Documents, given: dict[str, Any], replace: bool) -> bytes:
    """The text of the document with its fields changed. Raises `Mistake`."""
    old = {} if replace else values_of(before.text(name))
    if old is None and before.text(name) is not None:
        raise Mistake(
            f"{before.error(name)}: fields cannot be changed in it; mend it, or pass --replace to write the fields "
            "given in its place",
            Code.NO,
        )
    for key, value in given.items():
        if value is fields.UNSET and key not in (old or {}) and not fields.is_field(key):
            raise Mistake(f"{key} is not in the document{fields.or_rather(key)}")
    text = fields.changed(old or {}, given)
    fields.check(text, given, place.of(name))
    return text


def refuse_contradictions(change: Change) -> None:
    """Raise `Mistake` where documents contradict each other that did not before: no program would take the policy.

    One that did already may be changed, and its writer is told.
    """
    before, after = change.before.contradictions(), change.after.contradictions()
    new = {name: error for name, error in after.items() if name not in before}
    if change.name in before and change.name in after:
        output.note(f"no program takes the policy, before and after this change: {after[change.name]}")
    if new:
        name, error = next(iter(new.items()))
        whose = "" if name == change.name else f" of {name}"
        more = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
        raise Mistake(
            f"no program would take the policy{whose}{more}: {error}. If the program's own default policy mends that, "
            "pass --force"
        )


def check_revision(args: argparse.Namespace, documents: Documents) -> None:
    """Raise `Mistake` if ``--revision`` is another one than the document has."""
    found = documents.revision(args.name)
    if args.revision is not None and args.revision != str(found):
        now = f"revision {found}" if found != ABSENT else "no document"
        raise Mistake(f"not written: expected revision {args.revision} of {args.name}, found {now}", Code.CONFLICT)


def delete(args: argparse.Namespace) -> int:
    """``breaker policy delete``."""
    place = find(args)
    before = Documents.of(place.store)
    check_revision(args, before)
    if args.name not in before.stored:
        there = before.similar(args.name)
        raise Mistake(f"{args.name} has no document: {place.of(args.name)} is not there{there}", Code.NO)
    return carry_out(args, Change(place, args.name, before, None))


def carry_out(args: argparse.Namespace, change: Change) -> int:
    """Show a change, ask, make it, say so."""
    differs = change.before.text(change.name) is None or bool(change.differences()) or change.text is None
    if change.text is not None and change.before.error(change.name) is not None:
        differs = True  # a document that is no JSON object has no keys to differ in
    if not args.json:
        say_change(change)
    if differs and not args.dry_run:
        confirm(args, "Delete it?" if change.text is None else "Write it?")
    written = differs and not args.dry_run
    revision = change.make() if written else change.before.revision(change.name) or None
    if args.json:
        output.emit(entry(change) | {"written": written, "revision": revision})
    elif not differs:
        say("nothing to change")
    elif args.dry_run:
        say("not written: --dry-run")
    else:
        say("deleted" if change.text is None else f"written, revision {revision}")
    return 0


def entry(change: Change) -> dict[str, Any]:
    """A change as JSON, without how it went."""
    before, after = change.before.effective(change.name), change.after.effective(change.name)
    return {
        "name": change.name,
        "place": change.place.of(change.name),
        "before": values_of(change.before.text(change.name)),
        "after": values_of(change.text),
        "changes": change.differences(),
        "effective": changes_between(before.document(), after.document()),
    }


def say_change(change: Change) -> None:
    """The difference, line by line: what the document says, and of what it does not say what is inherited."""
    before, after = change.before, change.after
    say(f"{clean(change.name)} in {clean(change.place.of(change.name))}")
    if before.text(change.name) is None:
        say(f"  there is none yet{before.similar(change.name)}")
    elif (error := before.error(change.name)) is not None:
        say(styled(f"  not valid now: {clean(error)}", "bad"))
    old, new = values_of(before.text(change.name)) or {}, values_of(change.text) or {}
    lines = {
        clean(key): (_side(before, change.name, key, old), _side(after, change.name, key, new))
        for key in change.differences()
    }
    width = max(map(len, lines), default=0)
    wide = max((len(left) for left, _ in lines.values()), default=0)
    for key, (left, right) in lines.items():
        say(f"  {key:<{width}}  {left:<{wide}}  ->  {styled(right, 'changed')}")


def _side(documents: Documents, name: str, key: str, values: dict[str, Any]) -> str:
    if key in values:
        return shown(values[key])
    effective = documents.effective(name)
    if key not in effective.origin:
        return "-"
    inherited = effective.document()[key]
    origin = effective.origin[key]
    if origin == OWN or inherited is None:
        return "-"
    return f"- ({shown(inherited)}, {origin})"


def confirm(args: argparse.Namespace, question: str) -> None:
    """Ask on the terminal. Raises `Mistake` for anything but yes, and where there is nobody to ask."""
    if args.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise Mistake(
            "not confirmed, nothing is written: standard input is no terminal; pass --yes to write without a question",
            Code.UNCONFIRMED,
        )
    output.finish()
    output.ask(f"{question} [y/N] ")
    answer = sys.stdin.readline()
    if answer.strip().lower() not in ("y", "yes"):
        if not answer.endswith("\n"):
            output.note("")
        raise Mistake("not confirmed, nothing is written", Code.UNCONFIRMED)
