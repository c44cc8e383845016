"""One document in a file: read, written and removed, and what the system's errors mean."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from breaker.errors import Refused
from breaker.policies.documents import MAX_DOCUMENT_BYTES
from breaker.sources.base import Document, Unreadable

_BESIDE = ".new"  # how the name of a file ends that is still written to: no policy, for whoever looks at the directory


def read_file(path: str) -> Document | None:
    """The document in a file, or None if it is gone. Of one that is too long to be valid, the beginning."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Unreadable("it is not a regular file; put a JSON document there or remove it")
            return file.read(MAX_DOCUMENT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unreadable(explain(error, "read", path))


def _open_at_once(path: str, flags: int) -> int:
    # Non-blocking, or a pipe that somebody put here would hold the watch for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def write_file(path: str, contents: bytes) -> None:
    """Write a file beside and rename it over the old one: who reads sees the old contents or the new, never a part.

    Directories that are missing are made. Where ``path`` is a symbolic link, it stays one, and what it points to is
    replaced. The new file has the mode of the old one, and its owner and group if this program may give them away; if
    there was none, the mode that the umask leaves. It is on the disk before the rename, or a power cut could leave an
    empty file under the name; and so is the rename, where the file system can say so, before this returns.

    Raises `Refused`; nothing has changed then and nothing is left beside.
    """
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        target = os.path.realpath(path)
        directory = os.path.dirname(target)
        beside = os.path.join(directory, f".{os.urandom(8).hex()}{_BESIDE}")
        number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with open(number, "wb") as file:
                _take_over_rights(number, target)
                file.write(contents)
                file.flush()
                os.fsync(number)
            os.replace(beside, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(beside)
            raise
    except OSError as error:
        raise Refused(explain(error, "write", path), path) from error
    _sync(directory)


def remove_file(path: str) -> bool:
    """Remove a file, or a link, and return whether there was one. Raises `Refused`."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Refused(explain(error, "remove", path), path) from error
    _sync(os.path.dirname(path))
    return True


def _take_over_rights(number: int, target: str) -> None:
    try:
        old = os.stat(target)
    except FileNotFoundError:
        return
    new = os.fstat(number)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        with suppress(PermissionError):
            os.fchown(number, old.st_uid, old.st_gid)
    os.fchmod(number, stat.S_IMODE(old.st_mode))


def _sync(directory: str) -> None:
    """Bring the directory to the disk. It is done already; not every file system can promise that it lasts."""
    with suppress(OSError):
        number = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(number)
        finally:
            os.close(number)


_REMEDIES = {
    errno.ENOTDIR: "a directory with one JSON document per breaker is expected there",
    errno.EEXIST: "a directory with one JSON document per breaker is expected there",
    errno.EISDIR: "a JSON document is expected there, not a directory",
    errno.ENAMETOOLONG: "its name is too long for the file system; use a shorter name for the breaker",
    errno.EROFS: "its file system is read-only; change the document where it comes from",
    errno.ENOSPC: "its file system is full; make room there",
    errno.EDQUOT: "the quota is used up; make room there",
    errno.EFBIG: "it is larger than this program may write; raise the limit (ulimit -f)",
}


def explain(error: OSError, what: str, path: str) -> str:
    """What the system says, about which path, and how to mend it. ``what``: ``"read"``, ``"write"``, ``"remove"``."""
    remedy = _REMEDIES.get(error.errno or 0)
    if isinstance(error, PermissionError):
        right = "read permission" if what == "read" else "permission to write to the directory"
        remedy = f"give the user of this program {right}"
    remedy = remedy or f"check that the path exists and that this program may {what} it"
    return f"cannot {what} {path}: {error.strerror}; {remedy}"
