"""nginx and haproxy as people put them before an etcd. Debian's; tools/debian_servers.sh installs them for CI."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from support.daemon import spawn
from support.etcd.ports import HOST, free_ports

NGINX, HAPROXY = (shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") for name in ("nginx", "haproxy"))
_TRIES = 5  # a port that was free may be taken by another process

_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen {host}:{port}{http2}; location / {{ {pass_to}{host}:{target}; {options} }} }}
}}
"""
_HAPROXY = """
global
  maxconn 256
defaults
  mode {mode}
  timeout connect 2s
  timeout client 1m
  timeout server 1m
  {options}
frontend front
  bind {host}:{port}
  default_backend etcd
backend etcd
  server etcd {host}:{target}
"""


class Front:
    """A proxy before ``target``, a port on the loopback; its own is in ``endpoint``. Ends with its block."""

    def __init__(self, folder: Path, command: list[str], config: str, target: int, **words: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._command, self._config = folder, command, config
        self._words = {"host": HOST, "target": str(target), "folder": str(folder)} | words
        self._log = folder / "log"
        self._start()

    def _start(self) -> None:
        for _ in range(_TRIES):
            (port,) = free_ports(1)
            file = self._folder / "config"
            file.write_text(self._config.format(**self._words, port=port))
            self._process = spawn([*self._command, str(file)], self._log, os.environ)
            deadline = time.monotonic() + 20
            while self._process.poll() is None and time.monotonic() < deadline:
                try:
                    socket.create_connection((HOST, port), timeout=1).close()
                    self.endpoint = f"{HOST}:{port}"
                    return
                except OSError:
                    time.sleep(0.02)
            self._end()
        raise AssertionError(f"{self._command[0]} did not start: {self._log.read_text(errors='replace')[-2000:]}")

    def __enter__(self) -> "Front":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


def nginx(folder: Path, target: int, options: str = "") -> Front:
    """nginx with these options in its location; none: as it is by default."""
    assert NGINX is not None
    return Front(folder, [NGINX, "-c"], _NGINX, target, http2="", pass_to="proxy_pass http://", options=options)


def nginx_of_grpc(folder: Path, target: int, options: str = "") -> Front:
    """nginx that speaks gRPC on both sides."""
    assert NGINX is not None
    return Front(folder, [NGINX, "-c"], _NGINX, target, http2=" http2", pass_to="grpc_pass grpc://", options=options)


def haproxy(folder: Path, target: int, mode: str, options: str = "") -> Front:
    """haproxy in a mode (``tcp`` or ``http``), with these options among its defaults, which are patient."""
    assert HAPROXY is not None
    return Front(folder, [HAPROXY, "-db", "-f"], _HAPROXY, target, mode=mode, options=options)
