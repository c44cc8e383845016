"""What many programs do to one etcd: ``python -m benchmarks.etcd_scale [--watchers 1000] [--transport gateway]``.

Watchers (`etcd_watchers`) in a few processes follow the same prefix of one real server. Measured: all of them beginning
at once, one document that changes, nothing that happens, and the server killed under all of them. The result is a table
in Markdown, for docs/policies.md. Server and watchers share one machine here, so the times are upper bounds.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from benchmarks.etcd_watchers import PATH, PROBE
from support.etcd.server import Server

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = 50
PUTS = 20
IDLE = 30.0  # seconds
LIMIT = 120.0  # seconds to wait for all watchers


class Crew:
    """The processes with the watchers."""

    def __init__(self, endpoint: str, transport: str, watchers: int, processes: int) -> None:
        self.watchers = watchers
        command = [sys.executable, "-m", "benchmarks.etcd_watchers", endpoint, transport, str(watchers // processes)]
        self._members = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]

    def ask(self, command: str) -> list[Any]:
        for member in self._members:
            assert member.stdin is not None
            member.stdin.write(command + "\n")
            member.stdin.flush()
        answers = []
        for member in self._members:
            assert member.stdout is not None
            answers.append(json.loads(member.stdout.readline()))
        return answers

    def times(self, value: str) -> list[float]:
        """When each watcher had this value: waits for all of them."""
        deadline = time.monotonic() + LIMIT
        while sum(self.ask(f"count {value}")) < self.watchers:
            assert time.monotonic() < deadline, f"{sum(self.ask(f'count {value}'))} of {self.watchers} have {value}"
            time.sleep(0.2)
        return sorted(moment for times in self.ask(f"times {value}") for moment in times)

    def cpu(self) -> float:
        return float(sum(cost[0] for cost in self.ask("cost")))

    def close(self) -> None:
        for member in self._members:
            member.communicate("end\n", timeout=60)


class Meter:
    """The server's processor and memory, looked at ten times a second."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._end = threading.Event()
        self.peak_cpu = self.peak_memory = self.used = self.seconds = 0.0

    def __enter__(self) -> "Meter":
        self._began, self._before = time.monotonic(), self._server.cpu_seconds()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        moments = [(self._began, self._before)]
        while not self._end.wait(0.1):
            moments.append((time.monotonic(), self._server.cpu_seconds()))
            self.peak_memory = max(self.peak_memory, self._server.memory() / 2**20)
            then, used = moments[-11] if len(moments) > 10 else moments[0]
            if moments[-1][0] - then >= 0.9:  # over a second: the kernel counts in hundredths
                self.peak_cpu = max(self.peak_cpu, (moments[-1][1] - used) / (moments[-1][0] - then))

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.seconds = time.monotonic() - self._began
        self.used = self._server.cpu_seconds() - self._before

    @property
    def cells(self) -> list[str]:
        mean = f"{self.used / self.seconds:.0%}"
        return [mean, f"{self.peak_cpu:.0%}" if self.peak_cpu else "–", f"{self.peak_memory:.0f} MiB"]


def requests(server: Server) -> dict[str, int]:
    """How many of each kind the server has begun since it started."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = {}
    for line in lines:
        if line.startswith("grpc_server_started_total{"):
            method = line.split('grpc_method="')[1].split('"')[0]
            if "etcdserverpb" in line:
                found[method] = found.get(method, 0) + int(float(line.rpartition(" ")[2]))
    return {method: found[method] for method in ("Range", "Watch", "Authenticate") if found.get(method)}


def spread(times: list[float], since: float) -> list[str]:
    """p50, p99 and the last, after ``since``."""
    taken = [moment - since for moment in times]
    return [_time(statistics.median(taken)), _time(statistics.quantiles(taken, n=100)[98]), _time(max(taken))]


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def put(server: Server, value: str) -> float:
    began = time.monotonic()
    server.api.put(PATH + PROBE, value)
    return began


def measure(server: Server, crew: Crew) -> list[list[str]]:
    rows = []
    put(server, "first")
    with Meter(server) as meter:
        began = time.monotonic()
        crew.ask("start")
        times = crew.times("first")
    rows.append(["all begin at once", *spread(times, began), *meter.cells])
    taken: list[float] = []
    with Meter(server) as meter:
        for number in range(PUTS):
            began = put(server, f"put-{number}")
            taken += [moment - began for moment in crew.times(f"put-{number}")]
            time.sleep(0.5)
    rows.append([f"a put ({PUTS} of them)", *spread(taken, 0.0), *meter.cells])
    before, cpu = requests(server), crew.cpu()
    with Meter(server) as meter:
        time.sleep(IDLE)
    checks = requests(server)["Range"] - before["Range"]
    own = (crew.cpu() - cpu) / IDLE
    rows.append([f"nothing: {checks / IDLE:.0f} checks a second", "–", "–", "–", *meter.cells])
    print(f"all watchers together, idle: {own:.0%} of a core", file=sys.stderr)
    server.kill()
    time.sleep(3)
    server.start()
    ready = put(server, "after")
    with Meter(server) as meter:
        times = crew.times("after")
    rows.append(["killed for 3 s", *spread(times, ready), *meter.cells])
    print(f"requests after the restart: {requests(server)}", file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--transport", default="gateway", choices=["gateway", "etcd3"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="breaker-scale-") as folder, Server(Path(folder)) as server:
        for number in range(DOCUMENTS):
            server.api.put(f"{PATH}name-{number}.json", '{"failureThreshold": 5}')
        crew = Crew(server.endpoint, options.transport, options.watchers, options.processes)
        try:
            rows = measure(server, crew)
            memory = sum(cost[1] for cost in crew.ask("cost")) / options.watchers
        finally:
            crew.close()
    print(
        f"{options.watchers} watchers ({options.transport}) in {options.processes} processes, {DOCUMENTS} documents, "
    )
    print(
        f"etcd {server.binary.label} and watchers on the same {os.cpu_count()} cores ({platform.machine()}), ", end=""
    )
    print(f"load average at the end {os.getloadavg()[0]:.1f}, {memory:.1f} MiB per watcher\n")
    print("| | p50 | p99 | last | server's CPU, mean | peak | memory |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
