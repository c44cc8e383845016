"""One PostgreSQL on the loopback, of a user who is not root, since it refuses that one."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from support.daemon import Daemon, spawn
from support.etcd.ports import HOST, free_ports
from support.servers.accounts import somebody
from support.servers.binaries import POSTGRES

DATABASE = "postgres"
USER = "tester"
_START_LIMIT = 30.0  # seconds; 0.3 is usual
_TRIES = 5  # a port that was free may be taken by another process


class Postgres(Daemon):
    """Its port and its data stay the same over restarts. ``logged``: its log has each statement that it gets."""

    def __init__(self, *, logged: bool = True) -> None:
        assert POSTGRES is not None
        self._binary = POSTGRES
        self._user, self._logged = somebody("postgres"), logged
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))  # where another user may go, and short: a socket is in it
        self.data, self.log = self.folder / "data", self.folder / "log"
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self.port = free_ports(1)[0]
        initdb = [self._binary.beside("initdb"), "-D", str(self.data), "-U", USER]
        initdb += ["--no-sync", "--no-instructions", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        done = spawn(initdb, self.log, _environment(), user=self._user)
        assert done.wait(60) == 0, self.log.read_text(errors="replace")

    def start(self) -> "Postgres":
        """Start it on its data; returns when it takes connections."""
        for _ in range(_TRIES):
            self._process = spawn(self._command(), self.log, _environment(), user=self._user)
            if self._ready():
                return self
            if "could not bind" not in self.log.read_text(errors="replace"):
                break
            self.port = free_ports(1)[0]
        raise AssertionError(f"PostgreSQL did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": HOST,
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "20",
            "superuser_reserved_connections": "1",
            "max_prepared_transactions": "5",
            "log_statement": "all" if self._logged else "none",
            "log_line_prefix": "",
            "autovacuum": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._binary.path), "-D", str(self.data), "-p", str(self.port), *options]

    def _ready(self) -> bool:
        deadline = time.monotonic() + _START_LIMIT
        ready = "database system is ready to accept connections"
        while time.monotonic() < deadline and self._running().poll() is None:
            if ready in self.log.read_text(errors="replace"):
                socket.create_connection((HOST, self.port), timeout=5).close()
                return True
            time.sleep(0.01)
        return False

    def url(self, driver: str, *, password: str = "", database: str = DATABASE) -> str:
        """What ``create_engine`` takes."""
        secret = f":{password}" if password else ""
        return f"postgresql+{driver}://{USER}{secret}@{HOST}:{self.port}/{database}"

    @property
    def name(self) -> str:
        """The default name of its breaker."""
        return f"db:{HOST}:{self.port}/{DATABASE}"

    def seen(self, text: str) -> int:
        """How many of the statements that it got since its start hold this text."""
        lines = self.log.read_text(errors="replace").splitlines()
        return sum(text in line for line in lines if line.startswith("LOG:  statement:") or "LOG:  execute" in line)

    def _pids(self) -> list[int]:
        return [self.pid, *_children_of(self.pid)]

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self.resume()
            # Its words for "disconnect all clients" and for "as if the power had failed".
            super()._end(signal.SIGQUIT if how is signal.SIGKILL else signal.SIGINT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """For good."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _environment() -> dict[str, str]:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return settings | {"LC_ALL": "C", "TZ": "UTC"}


def _children_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in found.stdout.split()]
