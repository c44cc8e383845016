"""``breaker demo``: circuit breakers protect real HTTP calls while the called service falls ill and recovers.

One process, loopback only. The times are parts of ``--seconds``::

    0      healthy     workers call two endpoints through Breaker.do()
    0.20   outage      /inventory fails: the breaker opens, a fallback answers
    0.25   policy      openStateTimeout is shortened in its document while the breaker is OPEN
    0.60   recovery    /inventory answers again: the next probes close the breaker
    0.80   policy      failureThreshold is raised in default.json, from which both breakers inherit it
    1      the table, and a picture of the run
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from breaker._core import Breaker
from breaker.cli.demo import report
from breaker.cli.demo.history import History
from breaker.cli.demo.picture import draw
from breaker.cli.demo.policies import DemoPolicies
from breaker.cli.demo.service import CALL_ERRORS, INVENTORY, PRICING, Condition, DemoService, fetch
from breaker.cli.signals import stop_signals
from breaker.cli.trouble import Code, Mistake
from breaker.config import get_default_config
from breaker.errors import BreakerError, BreakerOpenError, SourceError
from breaker.events import PolicyUpdated, StateChanged
from breaker.logs import configure_json
from breaker.provider import Provider
from breaker.snapshot import Snapshot
from breaker.sources import EtcdSource, FileSource
from breaker.states import State
from breaker.status import serve

_INVENTORY_BREAKER = "http:inventory-api"
_PRICING_BREAKER = "http:pricing-api"
_CONFIG = get_default_config("demo", "development")
_TICK_SECONDS = 0.05


def run(args: argparse.Namespace) -> int:
    """Run the demo to its end or until SIGINT or SIGTERM; the table is printed in either case."""
    with stop_signals() as stopped_by, contextlib.ExitStack() as stack:
        output = report.Output()
        configure_json(cast(TextIO, output))
        try:
            policies = _policies(args, stack)
        except (BreakerError, ValueError) as error:
            away = args.etcd is not None and isinstance(error, SourceError)
            raise Mistake(str(error), Code.SOURCE if away else Code.USAGE) from None
        demo = _Demo(args.seconds, args.workers, policies, output, stopped_by)
        try:
            demo.run()
        finally:
            policies.restore()
        output.write(demo.summary() + "\n" + demo.picture(args.picture) + "\n")
        if output.gone is not None:
            raise output.gone
        return 128 + stopped_by[0] if stopped_by else 0


def _policies(args: argparse.Namespace, stack: contextlib.ExitStack) -> DemoPolicies:
    initial, path = _initial_policies(args.seconds), _CONFIG.policies_path
    if args.etcd is not None:
        return DemoPolicies(EtcdSource(args.etcd, policies_path=path), _CONFIG, initial)
    try:
        root = args.policies
        if root is None:
            root = stack.enter_context(tempfile.TemporaryDirectory(prefix="breaker-demo-"))
        files = FileSource(root, poll_interval=min(max(args.seconds / 40, 0.05), 0.5), policies_path=path)
        return DemoPolicies(files, _CONFIG, initial)
    except (OSError, SourceError) as error:
        where = f"--policies {args.policies}" if args.policies else "temporary directory"
        raise SourceError(f"{where}: cannot keep policies there: {error}") from error


def _initial_policies(seconds: float) -> dict[str, dict[str, object]]:
    """The documents at the start, with the times of a run of ``seconds``."""
    everywhere = {"failureThreshold": 5, "successThreshold": 2, "openStateTimeout": _duration(0.2 * seconds)}
    return {"default": everywhere, _INVENTORY_BREAKER: {"openStateTimeout": _duration(0.3 * seconds)}}


def _duration(seconds: float) -> str:
    return f"{round(seconds, 3):g}s"


_Calls = list[tuple[Breaker, str]]
"""What a worker calls: the breaker and the path."""


@dataclass
class _Failures:
    """What one worker's failing calls of one breaker cost."""

    calls: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Step:
    """Something that happens at a part of the run; it waits for ``when`` until ``latest``."""

    at: float
    act: Callable[[], None]
    when: Callable[[], bool] = lambda: True
    latest: float = 0.0


class _Demo:
    """One run: the service, the breakers, the workers, and the main loop that takes the steps."""

    def __init__(
        self,
        seconds: float,
        workers: int,
        policies: DemoPolicies,
        output: report.Output,
        stopped_by: list[int],
    ) -> None:
        self._seconds = seconds
        self._workers = workers
        self._policies = policies
        self._output = output
        self._stopped_by = stopped_by
        self._log: Any = structlog.get_logger("breaker.demo")
        # Between two rounds of a worker. It grows with their number, or many workers would overload this
        # process itself and the time limits would blame the service.
        self._pause = max(0.005, 0.0025 * workers)
        self._call_timeout = min(max(seconds / 40, 0.2), 0.5)
        self._stop = threading.Event()
        self._started = self._elapsed = 0.0
        self._breakers: dict[str, Breaker] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._changes: list[report.PolicyChange] = []
        self._failures: list[dict[str, _Failures]] = []
        self._spared_text = ""
        self._history = History(seconds)

    def run(self) -> None:
        """Make calls until the time is over, a signal comes or nobody reads the output."""
        logger = structlog.get_logger("breaker")
        with DemoService(stall=2 * self._call_timeout) as service:
            with (
                Provider(_CONFIG, logger=logger, policy_source=self._policies.store) as provider,
                serve(provider) as page,
            ):
                self._started = time.monotonic()
                provider.subscribe(self._happened)
                self._announce_start(service)
                self._history.conditions.append((0.0, service.condition.value))
                self._announce("demo: the status page is there while this runs", url=page.url)
                targets = {_INVENTORY_BREAKER: INVENTORY, _PRICING_BREAKER: PRICING}
                self._breakers = {name: provider.get_breaker(name) for name in targets}
                self._snapshots = self._look()
                calls = [(self._breakers[name], path) for name, path in targets.items()]
                with ThreadPoolExecutor(self._workers, thread_name_prefix="demo-worker") as pool:
                    workers = range(self._workers)
                    futures = [pool.submit(self._work, service.address, calls, number) for number in workers]
                    try:
                        self._take_steps(self._steps(service), futures)
                    finally:
                        self._stop.set()
                self._elapsed = time.monotonic() - self._started
                self._failures = [future.result() for future in futures]
                self._snapshots = self._look()
            self._spared_text = self._outage(service)
        self._output.progress("")

    def _work(self, address: tuple[str, int], calls: _Calls, number: int) -> dict[str, _Failures]:
        """Call each endpoint in turn until the demo stops: what an application's request threads do."""
        failures = {breaker.name: _Failures() for breaker, _ in calls}
        self._stop.wait(self._pause * number / self._workers)
        while not self._stop.is_set():
            for breaker, path in calls:
                begun = time.monotonic()
                try:
                    breaker.do(fetch, address, path, timeout=self._call_timeout)
                except BreakerOpenError:
                    pass  # here an application takes its fallback: a cached answer, a default, an apology
                except CALL_ERRORS:
                    failures[breaker.name].calls += 1
                    failures[breaker.name].seconds += time.monotonic() - begun
            self._stop.wait(self._pause)
        return failures

    def _steps(self, service: DemoService) -> list[_Step]:
        inventory = self._breakers[_INVENTORY_BREAKER]

        def condition(value: Condition) -> Callable[[], None]:
            def change() -> None:
                service.condition = value
                self._history.conditions.append((self._now(), value.value))
                self._announce(f"demo: the inventory service is {value.value}")

            return change

        def edit_while_open() -> None:
            target = 0.15 * self._seconds
            if _duration(inventory.policy.open_state_timeout) == _duration(target):
                target /= 2  # a document of the user's has this value already: another one shows the change
            self._edit(_INVENTORY_BREAKER, "openStateTimeout", _duration(target))

        def edit_default() -> None:
            threshold = self._breakers[_PRICING_BREAKER].policy.failure_threshold
            self._edit("default", "failureThreshold", 5 if threshold is None else min(2 * threshold, 2**31 - 1))

        return [
            _Step(0.20, condition(Condition.FAILING)),
            _Step(0.25, edit_while_open, when=lambda: inventory.state is State.OPEN, latest=0.45),
            _Step(0.60, condition(Condition.RECOVERED)),
            _Step(0.80, edit_default),
        ]

    def _take_steps(self, steps: list[_Step], futures: list[Future[dict[str, _Failures]]]) -> None:
        while not (self._stopped_by or self._output.gone or any(future.done() for future in futures)):
            part = (time.monotonic() - self._started) / self._seconds
            if part >= 1:
                return
            if steps and part >= steps[0].at and (steps[0].when() or part >= steps[0].latest):
                steps.pop(0).act()
            self._snapshots = self._look()
            self._history.look(self._now(), self._snapshots)
            self._show_progress(part)
            time.sleep(_TICK_SECONDS)

    def _edit(self, name: str, field: str, value: object) -> None:
        place = self._policies.place(name)
        self._announce("demo: editing a policy", document=place, **{field: value})
        try:
            self._policies.edit(name, field, value)
        except (ValueError, BreakerError) as error:
            self._announce("demo: the policy stays as it is", document=place, error=str(error))

    def _happened(self, event: object) -> None:
        """Listener: runs on the thread in which it happens, of policies on the one that watches the documents."""
        at = self._now()
        if isinstance(event, StateChanged):
            self._history.states.append((at, event.name, event.to_state))
        elif isinstance(event, PolicyUpdated) and event.name in self._snapshots:
            after = self._breakers[event.name].snapshot()
            before = self._snapshots[event.name]
            self._changes.append(report.PolicyChange(at, event.old, event.new, before, after))
            self._history.edits.append((at, event.name, report.changed_fields(event.old, event.new)))

    def _now(self) -> float:
        return time.monotonic() - self._started

    def _look(self) -> dict[str, Snapshot]:
        return {name: breaker.snapshot() for name, breaker in self._breakers.items()}

    def _announce(self, message: str, **keys: object) -> None:
        self._log.info(message, at=round(self._now(), 2), **keys)

    def _announce_start(self, service: DemoService) -> None:
        self._announce(
            "demo: started",
            seconds=self._seconds,
            workers=self._workers,
            service="http://{}:{}".format(*service.address),
            policies=self._policies.path,
            hint="edit the policies while this runs: the breakers obey",
        )

    def _show_progress(self, part: float) -> None:
        states = "  ".join(
            f"{name} {shot.state}" + (f" (next try in {shot.retry_after:.1f} s)" if shot.retry_after else "")
            for name, shot in self._snapshots.items()
        )
        self._output.progress(f"{part * self._seconds:.1f} of {self._seconds:g} s  {states}")

    def _outage(self, service: DemoService) -> str:
        got = service.received(INVENTORY, Condition.FAILING)
        spared = self._snapshots[_INVENTORY_BREAKER].rejected
        if not got:
            return "The service never failed in this run."
        if not spared:
            return f"The inventory service got {got} requests while it failed: its breaker rejected none."
        return (
            f"The inventory service got {got} requests while it failed; {spared} calls did not reach it. The\n"
            f"fallback answered those at once; a failing call took {self._mean_failure(_INVENTORY_BREAKER):.2f} s."
        )

    def summary(self) -> str:
        """The table and the sentences around it."""
        length = f"{self._elapsed:.1f} s"
        if self._stopped_by:
            length = f"stopped after {length} of {self._seconds:g} s"
        reports = [
            report.BreakerReport(
                shot,
                failed_seconds=self._mean_failure(name),
                policy_changes=sum(change.after.name == name for change in self._changes),
            )
            for name, shot in self._snapshots.items()
        ]
        return "\n".join(
            [
                "",
                f"Result: {self._workers} worker{'s' if self._workers > 1 else ''}, {length}",
                "",
                report.table(reports, self._elapsed),
                self._spared_text,
                "",
                report.changes(self._changes),
                "",
            ]
        )

    def picture(self, file: Path) -> str:
        """Draw the run, and say in which file."""
        title = f"breaker demo: {self._workers} workers, {self._elapsed:.1f} s"
        try:
            file.write_text(draw(self._history, list(self._snapshots), title), encoding="utf-8")
        except OSError as error:
            return f"There is no picture of the run: {error}"
        return f"A picture of the run: {file.absolute()}"

    def _mean_failure(self, name: str) -> float:
        failures = [worker[name] for worker in self._failures]
        calls = sum(each.calls for each in failures)
        return sum(each.seconds for each in failures) / calls if calls else 0.0
