"""Commands as their users meet them: in this process, in one of their own, on a terminal."""

import contextlib
import fcntl
import io
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breaker.cli import main

# Warnings are errors in the process of a command too; dev mode reports what is left open.
COMMAND = [sys.executable, "-X", "dev", "-W", "error", "-m", "breaker"]


def _no_json(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


@dataclass(frozen=True)
class Done:
    """How a command has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document that it has printed."""
        (line,) = self.lines
        return line

    @property
    def lines(self) -> list[Any]:
        """Each line that it has printed, as JSON."""
        return [json.loads(line, parse_constant=_no_json) for line in self.out.splitlines()]

    def failed(self, code: int, *texts: str) -> None:
        """It has ended with this code and one line on standard error, which holds these texts."""
        assert (self.code, self.err.count("\n")) == (code, 1), self
        assert ": error: " in self.err
        for text in texts:
            assert text in self.err, self.err
        assert "Traceback" not in self.err


def breaker(*words: str, stdin: str | bytes | None = None) -> Done:
    """Run a command in this process; standard input is no terminal."""
    raw = stdin.encode() if isinstance(stdin, str) else stdin or b""
    given = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8")
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    before, sys.stdin = sys.stdin, given
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(words))
    finally:
        sys.stdin = before
    return Done(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def in_a_process(*words: str, seconds: float = 40, **options: Any) -> Done:
    """Run a command in a process of its own."""
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, **options}
    done = subprocess.run([*COMMAND, *words], timeout=seconds, check=False, **options)
    return Done(done.returncode, *((text or b"").decode(errors="replace") for text in (done.stdout, done.stderr)))


@contextmanager
def launched(*words: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A command that goes on; it is over when the block is left."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen([*COMMAND, *words], text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """Standard output up to and with the next line that holds this text."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if text in line:
            return read
    raise AssertionError(f"no {text!r} in\n{read}")


def line_with(process: "subprocess.Popen[str]", text: str) -> str:
    """The next line on standard output that holds this text."""
    return read_until(process, text).splitlines(keepends=True)[-1]


def asleep(process: "subprocess.Popen[Any]") -> bool:
    """Whether its main thread waits in the kernel: a signal that comes just before a read does not end the read."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


class Terminal:
    """A command whose three streams are one terminal. ``program`` is whose: `breaker` or a shell."""

    def __init__(
        self,
        *words: str,
        environment: Mapping[str, str] | None = None,
        size: tuple[int, int] = (24, 80),
        program: Sequence[str] = tuple(COMMAND),
    ) -> None:
        self.seen = ""
        self.size = size  # lines, columns
        self._ours, theirs = pty.openpty()
        try:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
            self.process = subprocess.Popen(
                [*program, *words],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env={**os.environ, "TERM": "xterm", **(environment or {})},
                start_new_session=True,
            )
        finally:
            os.close(theirs)

    def wait_for(self, text: str, seconds: float = 30) -> str:
        """Read until this text has come; returns all that has."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"no {text!r} in\n{self.seen}"
            self._read(0.1)
        return self.seen

    def wait_for_screen(self, *texts: str, seconds: float = 30) -> list[str]:
        """Read until the screen shows these texts; returns its lines."""
        deadline = time.monotonic() + seconds
        while not all(any(text in line for line in self.screen()) for text in texts):
            assert time.monotonic() < deadline, f"no {texts!r} in\n" + "\n".join(self.screen())
            self._read(0.1)
        return self.screen()

    def screen(self) -> list[str]:
        """What the terminal shows now, line by line."""
        import pyte

        screen = pyte.Screen(self.size[1], self.size[0])
        pyte.Stream(screen).feed(self.seen)
        return [line.rstrip() for line in screen.display]

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def hang_up(self) -> None:
        """What becomes of the terminal when its window is closed."""
        os.close(self._ours)
        self._ours = -1

    def end(self, seconds: float = 30) -> int:
        """Read what is left and return the exit code."""
        deadline = time.monotonic() + seconds
        while self._ours >= 0 and self._read(0.1) and time.monotonic() < deadline:
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, seconds: float) -> bool:
        """False when the other end is closed."""
        if select.select([self._ours], [], [], seconds)[0]:
            try:
                part = os.read(self._ours, 65_536)
            except OSError:  # how Linux reports it
                return False
            self.seen += part.decode(errors="replace")
            return bool(part)
        return self.process.poll() is None

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(10)
        if self._ours >= 0:
            os.close(self._ours)
