"""A small real proxy on loopback: it tunnels what it is asked to, by CONNECT or by SOCKS 5, to one server."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Wherever a tunnel is asked to go, it leads to ``port`` here. ``asked`` has the hosts: ``"shop.example:80"``."""

    def __init__(self, port: int, scheme: str) -> None:
        self._port = port
        self._opened = {"http": _connect, "socks5h": _socks}[scheme]
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self.asked.append(self._opened(client))
            with socket.create_connection(("127.0.0.1", self._port)) as server:
                self._pass_on(client, server)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        while not self._over.is_set():
            for ready in select.select([one, other], [], [], 0.05)[0]:
                data = ready.recv(65536)
                if not data:
                    return
                (other if ready is one else one).sendall(data)


def _connect(client: socket.socket) -> str:
    with client.makefile("rb", buffering=0) as stream:
        method, target, _ = stream.readline().decode().split()
        assert method == "CONNECT"
        while stream.readline() not in (b"\r\n", b""):
            pass
    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
    return target


def _socks(client: socket.socket) -> str:
    """RFC 1928: no authentication, CONNECT to a name or an address."""
    with client.makefile("rb", buffering=0) as stream:
        _, methods = stream.read(2) or b"\0\0"
        stream.read(methods)
        client.sendall(b"\5\0")
        kind = (stream.read(4) or b"\0\0\0\0")[3]
        if kind == 3:
            host = (stream.read((stream.read(1) or b"\0")[0]) or b"").decode()
        else:
            host = socket.inet_ntoa(stream.read(4) or b"\0\0\0\0")
        port = int.from_bytes(stream.read(2) or b"\0\0", "big")
    client.sendall(b"\5\0\0\1\0\0\0\0\0\0")
    return f"{host}:{port}"
