"""A server in a process of its own: started, stopped, killed, hung. It ends with the tests, in any case."""

import os
import pwd
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

# The kernel kills a server when the thread that started it ends, so this one lives as long as the process. A test that
# is killed leaves no server behind.
_spawner = ThreadPoolExecutor(1, "spawner")
_spawner.submit(int)  # the thread is there from now on
_LAUNCHER = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"


def spawn(
    command: list[str],
    log: Path,
    environment: Mapping[str, str],
    *,
    user: str | None = None,
    source: Path = Path(os.devnull),
) -> "subprocess.Popen[bytes]":
    """A process that ends with this one, whatever happens to it.

    ``user``: whose it is, where the tests are root's. ``source``: what it reads as its input.
    """
    if user is None:
        launched = [sys.executable, "-S", "-E", "-c", _LAUNCHER, *command]
    else:  # another user may not be allowed to read this Python
        group = pwd.getpwnam(user).pw_gid
        launched = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--pdeathsig=KILL", *command]

    def start() -> "subprocess.Popen[bytes]":
        with log.open("wb") as out, source.open("rb") as read:
            return subprocess.Popen(launched, stdin=read, stdout=out, stderr=out, env=environment)

    return _spawner.submit(start).result()


class Daemon:
    """What servers have in common once they run. ``self._process`` is the server, None while it is down."""

    log: Path
    _process: "subprocess.Popen[bytes] | None" = None

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "not started"
        return self._process

    @property
    def is_up(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        return self._running().pid

    def stop(self) -> None:
        """As an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As the kernel would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            if how is not signal.SIGKILL:
                process.send_signal(signal.SIGCONT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def _pids(self) -> list[int]:
        """The server's process, and those that serve clients, where there are such."""
        return [self.pid]

    def pause(self) -> None:
        """Hang it: connections stay, nothing is answered. Returns when the last of its threads has stopped."""
        self._running().send_signal(signal.SIGSTOP)
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)
            threads = Path(f"/proc/{pid}/task")
            while any(_state(thread / "stat") not in "Tt" for thread in threads.iterdir()):
                time.sleep(0.001)
            while any(state != "T" for state in _thread_states(pid)):  # a busy thread takes a moment to notice
                time.sleep(0.001)

    def resume(self) -> None:
        for pid in self._pids():
            with suppress(ProcessLookupError):  # one that served a client which has gone
                os.kill(pid, signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """Of all its threads since it started."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize()


def _thread_states(pid: int) -> list[str]:
    return [_state(stat) for stat in Path(f"/proc/{pid}/task").glob("*/stat")]


def _state(stat: Path) -> str:
    """The kernel's letter for what a thread does."""
    return stat.read_text().rpartition(")")[2].split()[0]
