"""Random faults, for a long time: what no single test thinks of. Run by `make test-chaos`; the seed is printed.

One server behind a proxy, one provider per transport, a writer that never stops, and every few seconds a fault. After
each the providers must come to exactly the server's state within the largest bound of any; at the end there may be no
more threads than at the beginning.
"""

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from etcd.conftest import NAMES, Follow, fill, random_document, shuffle
from support.etcd.proxy import Proxy
from support.etcd.server import Server
from support.etcd.subjects import PATH
from support.processes import fork_and_check
from support.watching import eventually

BOUND = 30.0  # seconds: the largest of the table of faults
SECONDS = float(os.environ.get("CHAOS_SECONDS", "200"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


class Chaos:
    """The faults. Each leaves the server running and the network whole."""

    def __init__(self, server: Server, proxy: Proxy, folder: Path) -> None:
        self.server, self.proxy, self.folder = server, proxy, folder
        self.snapshots = 0

    def faults(self) -> list[Callable[[], None]]:
        return [
            self.proxy.cut,
            self.proxy.finish,
            self.refused,
            self.blackholed,
            self.old_blackholed,
            self.killed,
            self.restarted,
            self.hung,
            self.compacted_away,
            self.wiped,
            self.restored,
            self.burst,
            self.flood,
            self.emptied,
            self.cut_again_and_again,
        ]

    def write(self) -> None:
        for _ in range(random.randrange(1, 4)):
            shuffle(self.server)

    def refused(self) -> None:
        self.proxy.refuse()
        self.write()
        time.sleep(random.uniform(0, 4))
        self.proxy.heal()

    def blackholed(self) -> None:
        self.proxy.blackhole()
        self.write()
        time.sleep(random.uniform(0, 12))
        self.write()
        self.proxy.heal()

    def old_blackholed(self) -> None:
        self.proxy.blackhole(old_only=True)
        self.write()

    def killed(self) -> None:
        self.server.kill()
        time.sleep(random.uniform(0, 3))
        self.server.start()

    def restarted(self) -> None:
        self.server.restart()

    def hung(self) -> None:
        self.server.pause()
        time.sleep(random.uniform(0, 12))
        self.server.resume()

    def compacted_away(self) -> None:
        self.proxy.refuse()
        self.write()
        self.server.api.compact(self.server.api.revision())
        time.sleep(random.uniform(0, 2))
        self.proxy.heal()

    def wiped(self) -> None:
        self.server.wipe()
        self.server.start()
        if random.random() < 0.7:
            fill(self.server)

    def restored(self) -> None:
        self.snapshots += 1
        file = self.folder / f"snapshot-{self.snapshots}"
        self.server.snapshot(file)
        self.write()
        self.server.restore(file)
        self.server.start()

    def burst(self) -> None:
        self.server.api.burst((f"{PATH}{random.choice(NAMES)}.json", random_document()) for _ in range(300))

    def flood(self) -> None:
        """Many keys of others, then none."""
        for part in range(20):
            self.server.api.transaction((f"{PATH}below/{part}-{number}", b"x" * 500) for number in range(100))
        self.server.api.delete_below(f"{PATH}below/")

    def emptied(self) -> None:
        self.server.api.delete_below(PATH)

    def cut_again_and_again(self) -> None:
        for _ in range(10):
            self.proxy.cut()
            self.server.api.put(f"{PATH}{random.choice(NAMES)}.json", random_document())
            time.sleep(random.uniform(0, 0.3))


@pytest.fixture
def chaos(server: Server, proxy: Proxy, tmp_path: Path) -> Chaos:
    return Chaos(server, proxy, tmp_path)


@pytest.mark.timeout(SECONDS + 300)
def test_chaos(chaos: Chaos, server: Server, proxy: Proxy, follow: Follow) -> None:
    print(f"\nchaos for {SECONDS:.0f} s; the same again: make test-chaos SECONDS={SECONDS:.0f} SEED={SEED}")
    random.seed(SEED)
    fill(server)
    subjects = follow(proxy.endpoint)
    subjects.converge(server.api, 10)
    began, longest = time.monotonic(), 0.0
    threads, native = threading.active_count(), len(os.listdir("/proc/self/task"))
    while time.monotonic() < began + SECONDS:
        fault = random.choice(chaos.faults())
        print(f"{time.monotonic() - began:6.1f} s  {fault.__name__:<20}", end="", flush=True)
        fault()
        chaos.write()
        healed = time.monotonic()
        subjects.converge(server.api, BOUND, since=healed)
        took = time.monotonic() - healed
        print(f" converged after {took:.2f} s", flush=True)
        longest = max(longest, took)
        if random.random() < 0.2:
            server.api.close()
            fork_and_check(lambda: eventually(lambda: all(s.status.connected for s in subjects), 30), 60)
    subjects.record("chaos: the longest until both transports had converged", round(longest, 1))
    for subject in subjects:
        assert len(subject.losses) - len(subject.returns) in (0, 1)
    eventually(lambda: threading.active_count() <= threads + 2, 20)
    assert len(os.listdir("/proc/self/task")) <= native + 30, "native threads were left"
