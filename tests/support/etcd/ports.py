"""Free ports on the loopback, and addresses where nobody answers."""

import os
import random
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

HOST = "127.0.0.1"
# Below the ports that the kernel gives to outgoing connections: while a server is down for some seconds, one of those
# could take its port, and a client that tries again and again could even connect to itself. Processes that run at the
# same time choose from different parts, for the same reason.
_LOW, _PART, _PARTS = 10_000, 500, 44
_given: set[int] = set()  # lately, for a server that may not listen yet


class HasSockets(Protocol):
    """A part of the tests that shares its process with what is tested."""

    def inodes(self) -> set[int]:
        """Its open sockets."""
        ...


of_the_tests: "weakref.WeakSet[HasSockets]" = weakref.WeakSet()  # not counted as sockets that were left behind


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. Another process may be faster: who starts a server must try again."""
    held: list[socket.socket] = []
    low = _LOW + os.getpid() % _PARTS * _PART
    if len(_given) > _PART // 2:
        _given.clear()
    try:
        while len(held) < count:
            port = random.SystemRandom().randrange(low, low + _PART)
            if port in _given:
                continue
            candidate = socket.socket()
            try:
                candidate.bind((HOST, port))
                held.append(candidate)
                _given.add(port)
            except OSError:
                candidate.close()
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


@contextmanager
def unanswered() -> Iterator[str]:
    """An address that does not even accept: its queue of connections is full, so packets to it are dropped."""
    with socket.socket() as listener:
        listener.bind((HOST, free_ports(1)[0]))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        try:
            yield f"{HOST}:{listener.getsockname()[1]}"
        finally:
            for each in waiting:
                each.close()
