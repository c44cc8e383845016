"""``--source``, ``--env``, ``--service``: where the documents of a command are, and how to reach them."""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from breaker.cli.parsing import seconds
from breaker.cli.trouble import Code, Mistake
from breaker.config import get_default_config
from breaker.policies.names import check_name, document_key, read_policies_path

if TYPE_CHECKING:
    from breaker.sources import EtcdSource, FileSource

FILE, ETCD, ETCDS = "file:", "etcd://", "etcds://"
GRAMMAR = "write file:DIR, etcd://HOST:PORT[,HOST:PORT…] or etcds://HOST:PORT[,…]"
_LOCK_LIMIT = 5.0  # seconds; a write takes milliseconds
_ETCD_OPTIONS = ("tls", "user", "password", "password_file", "ca", "cert", "key", "server_name", "transport", "timeout")


def add_source(parser: argparse.ArgumentParser, *, documents: bool = True) -> None:
    """Add the options. ``documents``: those that say whose documents are meant too."""
    where = parser.add_argument_group("where the documents are")
    where.add_argument(
        "--source",
        metavar="SOURCE",
        help="file:DIR, the root of a FileSource, or etcd://HOST:PORT[,HOST:PORT…], with TLS etcds:// (BREAKER_SOURCE)",
    )
    if documents:
        where.add_argument("--env", help="production, development or another environment (BREAKER_ENV)")
        where.add_argument("--service", help="name of the program that has the breakers (BREAKER_SERVICE)")
        where.add_argument("--path", help="policies path, in place of --env and --service (BREAKER_POLICIES_PATH)")
    etcd = parser.add_argument_group("etcd", "also in the environment: BREAKER_ETCD_USER, BREAKER_ETCD_PASSWORD, …_CA")
    etcd.add_argument("--user", help="for servers with authentication; the password is asked for on a terminal")
    etcd.add_argument("--password", help="seen by other users of this machine: better BREAKER_ETCD_PASSWORD")
    etcd.add_argument("--password-file", metavar="FILE", help="file whose first line is the password")
    etcd.add_argument("--tls", action="store_true", default=None, help="speak TLS, as with etcds://")
    etcd.add_argument("--ca", metavar="FILE", help="PEM file of the authorities that sign the servers' certificates")
    etcd.add_argument("--cert", metavar="FILE", help="PEM file of a certificate of our own")
    etcd.add_argument("--key", metavar="FILE", help="PEM file of its key, if that is not in the file of --cert")
    etcd.add_argument("--server-name", metavar="NAME", help="what the certificate says, if that is not the host")
    etcd.add_argument("--transport", choices=("gateway", "etcd3"), help="JSON gateway (the default), or gRPC")
    etcd.add_argument("--timeout", type=seconds, metavar="TIME", help="limit of a request, like 3s, the default")


class Place(NamedTuple):
    """Where documents are: the store, the policies path in it, and the options that lead there."""

    store: FileSource | EtcdSource
    path: str
    source: str
    options: tuple[str, ...]

    def of(self, name: str) -> str:
        """Where the document of a breaker is, for people."""
        key = document_key(name)
        location = self.store.location(self.path, key)
        return location if self.source.startswith(FILE) else f"{self.source}{location}"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Of all commands on this directory be the only one that compares and replaces; etcd does that itself.

        The lock is one on the directory, and goes with the process. Raises `Mistake` if another process has held it
        for 5 s. On a file system without locks there is none.
        """
        number = -1
        try:
            if self.source.startswith(FILE):
                with suppress(OSError):
                    number = os.open(self.source.removeprefix(FILE), os.O_RDONLY | os.O_CLOEXEC)
            if number >= 0:
                _lock(number, self.source)
            yield
        finally:
            if number >= 0:
                os.close(number)

    def command(self, command: str, *arguments: str) -> str:
        """A command on the same documents, as it is typed into a shell. It holds no password."""
        if any(word.startswith("-") for word in arguments):
            arguments = ("--", *arguments)  # a name that looks like an option
            return _typed("breaker", *command.split(), *self.options, *arguments)
        return _typed("breaker", *command.split(), *arguments, *self.options)


def _typed(*words: str) -> str:
    """A command as it is typed into a shell, without a character that a terminal would obey."""
    return " ".join(shlex.quote(word) if word.isprintable() else _escaped(word) for word in words)


def _escaped(word: str) -> str:
    """A word in the ``$'…'`` of bash, zsh and ksh."""
    plain = "".join(map(chr, range(0x20, 0x7F))).translate({ord("'"): None, ord("\\"): None})
    return "$'" + "".join(chr(byte) if chr(byte) in plain else f"\\x{byte:02x}" for byte in os.fsencode(word)) + "'"


def _lock(number: int, source: str) -> None:
    deadline = time.monotonic() + _LOCK_LIMIT
    while True:
        try:
            return fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                directory = source.removeprefix(FILE)
                problem = f"another process has held a lock on {directory} for {_LOCK_LIMIT:g} s"
                raise Mistake(f"{problem}; see which by: fuser {shlex.quote(directory)}", Code.SOURCE) from None
            time.sleep(0.01)
        except OSError:
            return None


def find(args: argparse.Namespace) -> Place:
    """The place that the options and the environment say. Raises `Mistake`."""
    source = given_source(args)
    if source is None:
        raise Mistake(f"--source is missing: where are the documents? {_capital(GRAMMAR)}, or set BREAKER_SOURCE")
    path, options = _policies_path(args, source)
    return Place(open_store(args, source, path), path, source, ("--source", source, *options, *_repeated(args)))


def given_source(args: argparse.Namespace) -> str | None:
    """``--source``, checked, a directory made absolute; None: there is none. Raises `Mistake`."""
    source = args.source if args.source is not None else os.environ.get("BREAKER_SOURCE") or None
    if source is None:
        return None
    if source.startswith(FILE):
        return FILE + _directory(source)
    if not source.startswith((ETCD, ETCDS)):
        hint = f"write file:{source}" if os.path.isdir(source) else GRAMMAR
        raise Mistake(f"--source {source!r} is none: {hint}")
    return source


def _directory(source: str) -> str:
    given = source.removeprefix(FILE)
    if given.startswith("///"):  # file:///etc/breakers
        given = given[2:]
    elif given.startswith("//"):
        raise Mistake(f"--source {source!r} names a host: write file:/DIR or file:///DIR")
    if not given or "\0" in given:
        raise Mistake(f"--source {source!r} names no directory: write file:DIR, or file:. for this one")
    directory = os.path.abspath(os.path.expanduser(given))
    if not os.path.isdir(directory):
        kind = "is not a directory" if os.path.exists(directory) else "does not exist; make it first"
        raise Mistake(f"--source {source!r}: {directory} {kind}")
    return directory


def _policies_path(args: argparse.Namespace, source: str) -> tuple[str, tuple[str, ...]]:
    """The path, and the options that say it."""
    by_name = args.env is not None or args.service is not None
    path = args.path if args.path is not None or by_name else os.environ.get("BREAKER_POLICIES_PATH") or None
    if path is not None:
        if by_name:
            raise Mistake("--path stands in place of --env and --service: give one or the other")
        try:
            return read_policies_path(path), ("--path", path)
        except ValueError as error:
            raise Mistake(f"--path: {error}") from None
    env = args.env if args.env is not None else os.environ.get("BREAKER_ENV")
    service = args.service if args.service is not None else os.environ.get("BREAKER_SERVICE")
    if not env or not service:
        missing = " and ".join([*([] if env else ["--env"]), *([] if service else ["--service"])])
        raise Mistake(f"{missing} missing: whose documents?{_there_are(source)} Or give --path")
    try:
        return get_default_config(service, env).policies_path, ("--env", env, "--service", service)
    except ValueError as error:
        raise Mistake(f"--env, --service: {error}") from None


def _there_are(source: str) -> str:
    """The environments and services below a directory, for who has not said which."""
    if not source.startswith(FILE):
        return " Like --env production --service my-service."
    root = os.path.join(source.removeprefix(FILE), "config")
    found = []
    for folder, folders, _ in os.walk(root):
        if os.path.basename(folder) == "breakers" and len(below := os.path.relpath(folder, root).split(os.sep)) == 3:
            found.append(f"--env {shlex.quote(below[0])} --service {shlex.quote(below[1])}")
        if folder.count(os.sep) - root.count(os.sep) >= 3 or len(found) > 5:
            folders.clear()
    if not found:
        return f" There are none yet below {root}."
    return f" There are: {', '.join(sorted(found)[:5])}{', …' if len(found) > 5 else ''}."


def open_store(
    args: argparse.Namespace, source: str, path: str, endpoint: str | None = None
) -> FileSource | EtcdSource:
    """The store of a source, not spoken to yet; with ``endpoint``, that one of its members. Raises `Mistake`."""
    if source.startswith(FILE):
        for name in _ETCD_OPTIONS:
            if getattr(args, name) is not None:
                raise Mistake(f"--{name.replace('_', '-')} is for etcd, and the source is {source}")
        from breaker.sources import FileSource

        return FileSource(source.removeprefix(FILE), 0.1, policies_path=path)
    from breaker.sources import EtcdSource

    endpoints = [endpoint] if endpoint is not None else endpoints_of(source)
    secure = source.startswith(ETCDS) or args.tls
    limits = {} if args.timeout is None else {"request_timeout": args.timeout, "connect_timeout": args.timeout}
    user, password = _credentials(args)
    try:
        return EtcdSource(
            [f"https://{each}" for each in endpoints] if secure else endpoints,
            user=user,
            password=password,
            ca=etcd_option(args, "ca"),
            cert=etcd_option(args, "cert"),
            key=etcd_option(args, "key"),
            server_name=etcd_option(args, "server_name"),
            transport=etcd_option(args, "transport"),
            policies_path=path,
            **limits,
        )
    except (ValueError, OSError, ImportError) as error:
        raise Mistake(f"--source {source}: {error}") from None


def endpoints_of(source: str) -> list[str]:
    """The ``HOST:PORT`` of each member. Raises `Mistake` where one is something else."""
    scheme = ETCDS if source.startswith(ETCDS) else ETCD
    endpoints = [part.strip().removeprefix(scheme).rstrip("/") for part in source.removeprefix(scheme).split(",")]
    for each in endpoints:
        if not each or "://" in each:
            raise Mistake(f"--source {source!r}: {each!r} is no HOST:PORT; {GRAMMAR}")
        if "@" in each:
            raise Mistake("--source holds no user and no password: pass --user, and set BREAKER_ETCD_PASSWORD")
    return endpoints


def etcd_option(args: argparse.Namespace, name: str) -> str | None:
    """An option of etcd, by the command line or by the environment."""
    given = getattr(args, name)
    return given if given is not None else os.environ.get(f"BREAKER_ETCD_{name.upper()}") or None


def _credentials(args: argparse.Namespace) -> tuple[str | None, str | None]:
    user = etcd_option(args, "user")
    if args.password is not None and args.password_file is not None:
        raise Mistake("--password and --password-file: give one of the two")
    if user is None:
        if args.password is not None or args.password_file is not None:
            raise Mistake("a password without a user: pass --user, or set BREAKER_ETCD_USER")
        return None, None
    if args.password_file is not None:
        return user, _first_line(args.password_file)
    password = etcd_option(args, "password")
    if password is None:
        password = args.password = _ask_for_password(user)  # once, whoever asks for it next
    return user, password


def _first_line(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as lines:
            return lines.readline(65_536).rstrip("\r\n")
    except OSError as error:
        raise Mistake(f"--password-file {file}: {error.strerror}") from None
    except ValueError:
        raise Mistake(f"--password-file {file}: not text in UTF-8") from None


def _ask_for_password(user: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise Mistake("--user needs a password: set BREAKER_ETCD_PASSWORD, or pass --password-file FILE")
    import getpass

    try:
        return getpass.getpass(f"Password of {user}: ")
    except EOFError:
        raise Mistake("--user needs a password, and none was given") from None


def _repeated(args: argparse.Namespace) -> Sequence[str]:
    """The options of etcd that were given, for the same command once more; none of the environment's."""
    words: list[str] = []
    for name in _ETCD_OPTIONS:
        if (value := getattr(args, name)) is None or name == "password":
            continue
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        else:
            text = os.path.abspath(value) if name in ("ca", "cert", "key", "password_file") else f"{value}"
            words += [option, f"{value:g}s" if name == "timeout" else text]
    return words


def breaker_name(text: str) -> str:
    """A breaker's name, or ``default``, of the command line. For argparse."""
    if text == "default":
        return text
    try:
        check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
