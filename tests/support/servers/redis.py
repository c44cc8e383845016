"""One Redis on the loopback: a server, a cluster of one node, or a Sentinel."""

import socket
import time
from pathlib import Path

from support.daemon import Daemon, spawn
from support.etcd.ports import HOST, free_ports
from support.servers.binaries import REDIS

_START_LIMIT = 30.0  # seconds; 0.05 is usual
_TRIES = 5  # a port that was free may be taken by another process


class Redis(Daemon):
    """Its port stays the same over restarts, its data does not. ``settings``: ``{"maxmemory": "1mb"}``."""

    def __init__(self, folder: Path, settings: dict[str, str] | None = None, *, sentinel_of: str = "") -> None:
        assert REDIS is not None
        self._binary = REDIS
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.log = folder, folder / "log"
        self._settings, self._sentinel_of = settings or {}, sentinel_of
        self.port = free_ports(1)[0]

    def start(self) -> "Redis":
        """Start it; returns when it answers."""
        for _ in range(_TRIES):
            self._process = spawn(self._command(), self.log, {"LC_ALL": "C"})
            if self._ready():
                return self
            if "Address already in use" not in self.log.read_text(errors="replace"):
                break
            self.port = free_ports(1)[0]
        raise AssertionError(f"Redis did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def _command(self) -> list[str]:
        settings = {"port": str(self.port), "bind": HOST, "dir": str(self.folder)}
        if self._sentinel_of:
            lines = [f"{name} {value}" for name, value in settings.items()]
            lines.append(f"sentinel monitor {self._sentinel_of} 1")
            config = self.folder / "sentinel.conf"  # it writes into it
            config.write_text("\n".join(lines) + "\n")
            return [str(self._binary.path), str(config), "--sentinel"]
        settings |= {"save": '""', "cluster-port": str(self.port + 10_000)} | self._settings
        return [str(self._binary.path), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def _ready(self) -> bool:
        deadline = time.monotonic() + _START_LIMIT
        while time.monotonic() < deadline and self._running().poll() is None:
            try:
                if self.ask("PING"):
                    return True
            except OSError:
                pass
            time.sleep(0.01)
        return False

    def ask(self, command: str) -> str:
        """The first kilobytes of what it answers to a command of words, by a connection of the test's own."""
        with socket.create_connection((HOST, self.port), timeout=5) as connection:
            connection.sendall(f"{command}\r\n".encode())
            connection.settimeout(5)
            return connection.recv(65536).decode(errors="replace")

    @property
    def name(self) -> str:
        """The default name of its breaker."""
        return f"redis:{HOST}:{self.port}"

    def seen(self, command: str) -> int:
        """How many commands of this name it has got since its start."""
        for line in self.ask("INFO commandstats").splitlines():
            if line.startswith(f"cmdstat_{command.lower()}:"):
                return int(line.partition("calls=")[2].partition(",")[0])
        return 0

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> "Redis":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
