"""One etcd server on the loopback: started, stopped, killed, hung, wiped, restored."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from support.daemon import Daemon, spawn
from support.etcd.api import Api
from support.etcd.binaries import ETCDCTL, ETCDUTL, WHEEL, Binary
from support.etcd.ports import HOST, free_ports
from support.etcd.tls import Tls

_START_LIMIT = 30.0  # seconds; 0.2 is usual
_TRIES = 5  # a port that was free may be taken by another process


class Server(Daemon):
    """One member, by default of a cluster of its own. Its port and its data stay the same over restarts.

    ``flags``: more of etcd's. ``tls``: speak TLS on the client port; ``client_auth``: and demand a certificate.
    ``peers``: names and peer URLs of all members, ``ports`` of client and peers, where a cluster has chosen them.
    """

    def __init__(
        self,
        folder: Path,
        binary: Binary = WHEEL,
        *flags: str,
        name: str = "t",
        tls: Tls | None = None,
        client_auth: bool = False,
        peers: Mapping[str, str] | None = None,
        ports: tuple[int, int] | None = None,
    ) -> None:
        self.binary, self.name, self.tls = binary, name, tls
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / f"{name}.data"
        self.log = folder / f"{name}.log"
        self._flags = (*flags, *(tls.server_flags(client_auth=client_auth) if tls else ()))
        self._peers, self._fixed = peers, ports
        self._initial: tuple[str, ...] = ()
        self.api = self._choose_ports()

    def _choose_ports(self) -> Api:
        self.port, self._peer_port = self._fixed or tuple(free_ports(2))
        self.endpoint = f"{HOST}:{self.port}"
        self.url = f"{'https' if self.tls else 'http'}://{self.endpoint}"
        peer = f"http://{HOST}:{self._peer_port}"
        peers = self._peers or {self.name: peer}
        self._initial = (
            *("--initial-advertise-peer-urls", peers[self.name]),
            *("--initial-cluster", ",".join(f"{name}={url}" for name, url in peers.items())),
        )
        return Api(HOST, self.port, self.tls.context() if self.tls else None)

    # -- life --

    def start(self, *, wait: bool = True) -> "Server":
        """Start it on its data; returns when it is ready."""
        for left in reversed(range(_TRIES)):
            self._process = self._spawn()
            if not wait or self._ready():
                return self
            clash = "address already in use" in self.log.read_text(errors="replace")
            if not clash or self._fixed or left == 0:
                break
            self.api = self._choose_ports()
        raise AssertionError(f"etcd did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def _spawn(self) -> "subprocess.Popen[bytes]":
        peer = f"http://{HOST}:{self._peer_port}"
        command = [
            str(self.binary.path),
            *("--name", self.name, "--data-dir", str(self.data)),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer, *self._initial),
            *("--logger", "zap", "--log-level", "warn"),
            *("--heartbeat-interval", "20", "--election-timeout", "200"),
            *(("--unsafe-no-fsync",) if self.binary.version >= (3, 5) else ()),
            *self._flags,
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
        return spawn(command, self.log, environment)

    def wait_ready(self) -> None:
        assert self._ready(), self.log.read_text(errors="replace")[-3000:]

    def _ready(self) -> bool:
        deadline = time.monotonic() + _START_LIMIT
        while time.monotonic() < deadline and self._running().poll() is None:
            if self.api.healthy():
                return True
            time.sleep(0.02)
        return False

    def _end(self, how: signal.Signals) -> None:
        self.api.close()
        super()._end(how)

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    # -- data --

    def wipe(self) -> None:
        """Lose all data; to be started again."""
        self.kill()
        shutil.rmtree(self.data)

    def snapshot(self, file: Path) -> None:
        self.ctl("snapshot", "save", str(file))

    def restore(self, file: Path) -> None:
        """Put a snapshot in place of all data; to be started again."""
        self.wipe()
        command = [str(ETCDUTL), "snapshot", "restore", str(file), "--name", self.name, "--data-dir", str(self.data)]
        subprocess.run([*command, *self._initial], check=True, capture_output=True, timeout=30)

    def ctl(self, *arguments: str) -> str:
        """What etcdctl prints: for what the gateway does not do."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
        tls = self.tls.ctl_flags() if self.tls else ()
        command = [str(ETCDCTL), "--endpoints", self.url, *tls, *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=30, env=environment | {"ETCDCTL_API": "3"}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
