"""A TCP proxy with the faults of a network: connections cut, refused, or alive and silent."""

import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from support.etcd.ports import HOST, free_ports, of_the_tests

_CHUNK = 1 << 16
_FULL = 1 << 18  # bytes on their way in one direction, after which no more are read
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST


class _Link:
    """One connection through the proxy. ``client_port`` is the far end's own."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client_port: int = client.getpeername()[1]
        self.silent = False
        self.sockets = (client, server)
        self.waiting = {client: bytearray(), server: bytearray()}  # to be written to it
        self.ended = {client: False, server: False}  # nothing more can be read from it
        for each in self.sockets:
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def other(self, one: socket.socket) -> socket.socket:
        return self.sockets[one is self.sockets[0]]

    def close(self, *, reset: bool = False) -> None:
        for each in self.sockets:
            if reset:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            each.close()


class Proxy:
    """Passes connections on to ``target`` (a port on the loopback) in one thread, until the test says otherwise.

    What is asked of it is done when the method returns.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.connections = 0  # accepted so far
        self.received = self.sent = 0  # bytes from clients, bytes to clients
        self._silent: Callable[[int], bool] = lambda client_port: False
        self._links: list[_Link] = []
        self._lock = threading.Lock()  # over links, listener and modes; the thread waits without it
        self._closed = False
        self._wake, self._woken = socket.socketpair()
        self._listener: socket.socket | None = _listen(0)
        self.port: int = self._listener.getsockname()[1]
        self.endpoint = f"{HOST}:{self.port}"
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()
        of_the_tests.add(self)

    # -- faults --

    def cut(self) -> None:
        """Reset all connections; new ones are welcome."""
        self._end_links(reset=True)

    def finish(self) -> None:
        """End all connections in good manners; new ones are welcome."""
        self._end_links(reset=False)

    def refuse(self) -> None:
        """Reset all connections and refuse new ones."""
        with self._lock:
            if self._listener is not None:
                # A close alone would wait for the thread to leave its select().
                self._listener.shutdown(socket.SHUT_RDWR)
                self._listener.close()
                self._listener = None
        self.cut()

    def blackhole(self, *, old_only: bool = False) -> None:
        """Pass nothing on, in either direction, and end nothing. ``old_only``: new connections work."""
        with self._lock:
            for link in self._links:
                link.silent = True
            if not old_only:
                self._silent = lambda client_port: True
        self._poke()

    def silence(self, which: Callable[[int], bool]) -> None:
        """Blackhole the connections, of now and later, whose client's own port ``which`` says yes to."""
        with self._lock:
            self._silent = which
            for link in self._links:
                link.silent = which(link.client_port)
        self._poke()

    def heal(self) -> None:
        """Pass on everything again. What a silent connection held back is delivered, as after lost packets."""
        with self._lock:
            self._silent = lambda client_port: False
            for link in self._links:
                link.silent = False
            if self._listener is None:
                self._listener = _listen(self.port)
        self._poke()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._poke()  # before the thread has seen it, and closed the way to wake it
        self._thread.join(5)
        assert not self._thread.is_alive(), "the proxy hangs"

    def inodes(self) -> set[int]:
        with self._lock:
            own = [socket for link in self._links for socket in link.sockets]
            own += [self._wake, self._woken, *([self._listener] if self._listener else [])]
            return {os.fstat(each.fileno()).st_ino for each in own if each.fileno() >= 0}

    # -- the thread --

    def _end_links(self, *, reset: bool) -> None:
        with self._lock:
            for link in self._links:
                link.close(reset=reset)
            self._links.clear()
        self._poke()

    def _poke(self) -> None:
        self._wake.send(b"x")

    def _run(self) -> None:
        while not self._closed:
            readers, writers = self._interests()
            try:
                readable, writable, _ = select.select(readers, writers, [])
            except (OSError, ValueError):  # closed meanwhile by another thread
                continue
            with self._lock:
                self._serve(readable, writable)
        with self._lock:
            for link in self._links:
                link.close()
            for each in (self._wake, self._woken, self._listener):
                if each is not None:
                    each.close()

    def _interests(self) -> tuple[list[socket.socket], list[socket.socket]]:
        with self._lock:
            readers = [self._woken, *([self._listener] if self._listener else [])]
            writers = []
            for link in self._links:
                for each in () if link.silent else link.sockets:
                    if not link.ended[each] and len(link.waiting[link.other(each)]) < _FULL:
                        readers.append(each)
                    if link.waiting[each]:
                        writers.append(each)
            return readers, writers

    def _serve(self, readable: list[socket.socket], writable: list[socket.socket]) -> None:
        if self._woken in readable:
            self._woken.recv(_CHUNK)
        if self._listener is not None and self._listener in readable:
            self._accept(self._listener)
        for link in list(self._links):
            if link.silent:
                continue
            try:
                for each in link.sockets:
                    if each in readable:
                        self._read(link, each)
                    if each in writable or link.waiting[each]:
                        self._write(link, each)
            except OSError:
                link.close(reset=True)
                self._links.remove(link)
                continue
            if all(link.ended.values()) and not any(link.waiting.values()):
                link.close()
                self._links.remove(link)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        self.connections += 1
        try:
            server = socket.create_connection((HOST, self.target), timeout=1)
            link = _Link(client, server)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        link.silent = self._silent(link.client_port)
        self._links.append(link)

    def _read(self, link: _Link, one: socket.socket) -> None:
        try:
            data = one.recv(_CHUNK)
        except BlockingIOError:
            return
        other = link.other(one)
        if one is link.sockets[0]:
            self.received += len(data)
        else:
            self.sent += len(data)
        link.waiting[other] += data
        if not data:
            link.ended[one] = True
            if not link.waiting[other]:
                other.shutdown(socket.SHUT_WR)

    def _write(self, link: _Link, one: socket.socket) -> None:
        waiting = link.waiting[one]
        if waiting:
            try:
                del waiting[: one.send(waiting)]
            except BlockingIOError:
                return
            if not waiting and link.ended[link.other(one)]:
                one.shutdown(socket.SHUT_WR)


def _listen(port: int) -> socket.socket:
    """A listener on this port (0: on a free one)."""
    for last_try in [False] * 20 + [True]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port or free_ports(1)[0]))
            listener.listen(128)
            return listener
        except OSError:
            listener.close()
            if last_try:
                raise
    raise AssertionError


def owner_is(pid: int) -> Callable[[int], bool]:
    """Whether the connection whose near port is given belongs to this process, as the kernel's tables say."""

    def check(port: int) -> bool:
        wanted = f"0100007F:{port:04X}"
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        inodes = {row[9] for row in rows if row[1] == wanted}
        return any(f"socket:[{inode}]" in _open_files(pid) for inode in inodes)

    return check


def _open_files(pid: int) -> set[str]:
    names = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.add(os.readlink(entry))
        except OSError:
            continue
    return names
