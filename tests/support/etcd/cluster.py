"""Three members whose traffic among each other goes through proxies, so that one can be partitioned from the rest."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from support.etcd.binaries import WHEEL, Binary
from support.etcd.ports import free_ports
from support.etcd.proxy import Proxy, owner_is
from support.etcd.server import Server

_NAMES = ("m0", "m1", "m2")


class Cluster:
    """Members `m0` … `m2`. One proxy stands before each peer port; who connects is known from the kernel's tables."""

    def __init__(self, folder: Path, binary: Binary = WHEEL, *flags: str) -> None:
        self._build = (folder, binary, flags)
        self._choose_ports()

    def _choose_ports(self) -> None:
        folder, binary, flags = self._build
        ports = free_ports(6)
        self.proxies = [Proxy(port) for port in ports[3:]]
        peers = {name: f"http://{proxy.endpoint}" for name, proxy in zip(_NAMES, self.proxies, strict=True)}
        # Elections of 200 ms, as for one member, would be called for nothing while the machine is busy.
        patience = ("--heartbeat-interval", "100", "--election-timeout", "1000")
        self.members = [
            Server(folder, binary, *patience, *flags, name=name, peers=peers, ports=(ports[number], ports[3 + number]))
            for number, name in enumerate(_NAMES)
        ]

    @property
    def endpoints(self) -> list[str]:
        return [member.endpoint for member in self.members]

    def start(self) -> "Cluster":
        for last_try in (False, False, True):
            try:
                for member in self.members:
                    member.start(wait=False)
                for member in self.members:
                    member.wait_ready()
                return self
            except AssertionError:  # a port was taken by another process meanwhile
                self.close()
                if last_try:
                    raise
                for member in self.members:
                    shutil.rmtree(member.data, ignore_errors=True)
                self._choose_ports()
        raise AssertionError

    def __enter__(self) -> "Cluster":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for member in self.members:
            member.kill()
        for proxy in self.proxies:
            proxy.close()

    def at(self, endpoint: str | None) -> Server:
        """The member with this client address, however it is written."""
        return next(member for member in self.members if endpoint and endpoint.endswith(member.endpoint))

    def others(self, one: Server) -> list[Server]:
        return [member for member in self.members if member is not one]

    def partition(self, one: Server) -> None:
        """Cut one member off from the other two, silently and both ways; returns when those have a leader.

        Its clients still reach it.
        """
        owned: Callable[[int], bool] = owner_is(one.pid)
        for member, proxy in zip(self.members, self.proxies, strict=True):
            proxy.silence((lambda port: True) if member is one else owned)
        self.wait_for_leader(self.others(one))

    def heal(self) -> None:
        for proxy in self.proxies:
            proxy.heal()

    def wait_for_leader(self, members: list[Server], seconds: float = 20) -> None:
        """Until each of these answers a read that needs a majority."""
        deadline = time.monotonic() + seconds
        for member in members:
            while not member.api.healthy():
                assert time.monotonic() < deadline, f"{member.name} found no leader in {seconds} s"
                time.sleep(0.05)
