"""Real workers with each pool: rejected tasks come back, chains and chords go on, results keep what was rejected.

What the tests look at is sent at once to all workers: most of it waits for an open breaker, and waits together.
"""

from __future__ import annotations

import time
from typing import Any

import celery
import pytest

from breaker import BreakerOpenError, State
from support.celery_worker import Worker
from support.drive import CONFIG, document
from support.http.server import Server


def paths(worker: Worker, case: str) -> tuple[str, str, str]:
    """The name of a breaker and two paths, for one case with one pool."""
    mark = f"{worker.pool}-{case}"
    return f"http:{mark}", f"/status/503?{mark}", f"/status/200?{mark}"


def rejected_first(worker: Worker, case: str, task: str) -> Any:
    """The dependency fails and the breaker opens, then the task is rejected."""
    name, fails, works = paths(worker, case)
    return worker.signature(task, name, works, fails)


def messages(worker: Worker) -> dict[str, Any]:
    forced, _, never = paths(worker, "forced")
    plain, _, plainly = paths(worker, "plain")
    free, _, works = paths(worker, "free")
    header = [rejected_first(worker, "chord", "ask"), worker.signature("ask", free, works)]
    after = rejected_first(worker, "chain", "ask") | worker.signature("first", immutable=False)
    return {
        "ask": rejected_first(worker, "ask", "ask").apply_async(),
        "ask_bound": rejected_first(worker, "bound", "ask_bound").apply_async(),
        "ask_with_autoretry": rejected_first(worker, "auto", "ask_with_autoretry").apply_async(),
        "chain": after.apply_async(),
        "chord": celery.chord(header, app=worker.app)(worker.signature("add", immutable=False)),
        "forced": worker.send("ask_forced", forced, never),
        "plain": worker.send("ask_plainly", plain, plainly),
        "sends_another": worker.send("sends_another"),
    }


@pytest.fixture(scope="session")
def sent_to(workers: dict[str, Worker]) -> dict[str, dict[str, Any]]:
    return {pool: messages(worker) for pool, worker in workers.items()}


@pytest.fixture
def sent(worker: Worker, sent_to: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return sent_to[worker.pool]


@pytest.mark.parametrize("task", ["ask", "ask_bound", "ask_with_autoretry"])
def test_a_rejected_task_comes_back_when_it_may(
    task: str, sent: dict[str, Any], worker: Worker, dependency: Server
) -> None:
    assert worker.get(sent[task]) == [200, 1]
    case = {"ask": "ask", "ask_bound": "bound", "ask_with_autoretry": "auto"}[task]
    _, fails, works = paths(worker, case)
    seen = [request for request in dependency.requests if request in (f"GET {fails}", f"GET {works}")]
    assert seen == [f"GET {fails}", f"GET {works}"]


def test_a_chain_goes_on_after_it(sent: dict[str, Any], worker: Worker) -> None:
    assert worker.get(sent["chain"]) == 200


def test_a_chord_is_complete_after_it(sent: dict[str, Any], worker: Worker) -> None:
    assert worker.get(sent["chord"]) == 400


def test_after_the_last_retry_the_rejection_is_the_result(
    sent: dict[str, Any], worker: Worker, dependency: Server
) -> None:
    with pytest.raises(BreakerOpenError) as caught:
        worker.get(sent["forced"])
    assert type(caught.value) is BreakerOpenError
    assert caught.value.args == (paths(worker, "forced")[0], State.OPEN, 2.0, "operator", None)
    assert sent["forced"].state == "FAILURE"
    assert not any("forced" in request for request in dependency.requests)


def test_another_task_has_the_rejection_as_its_result_at_once(sent: dict[str, Any], worker: Worker) -> None:
    with pytest.raises(BreakerOpenError) as caught:
        worker.get(sent["plain"])
    assert (caught.value.name, caught.value.retry_after) == (paths(worker, "plain")[0], 2.0)


def test_what_a_worker_sends_is_not_rejected(sent: dict[str, Any], worker: Worker) -> None:
    another = worker.get(sent["sends_another"])
    assert worker.get(worker.app.AsyncResult(another)) == 7


def test_a_policy_reaches_the_process_that_runs_tasks(worker: Worker, dependency: Server) -> None:
    name = f"http:{worker.pool}-policy"
    before = worker.get(worker.send("here", name))
    assert before["connected"]
    assert before["threshold"] == 1
    assert (before["parent"] if worker.pool == "prefork" else before["pid"]) == worker.pid
    folder = worker.policies / CONFIG.policies_path.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "default.json").write_bytes(document(failureThreshold=1, successThreshold=1, openStateTimeout="2s"))
    (folder / f"{name}.json").write_bytes(document(failureThreshold=9))
    deadline = time.monotonic() + 20
    while worker.get(worker.send("here", name))["threshold"] != 9:
        assert time.monotonic() < deadline, worker.log.read_text()[-3000:]
        time.sleep(0.02)


def test_a_task_that_waits_says_why(worker: Worker) -> None:
    waiting = rejected_first(worker, "says", "ask").apply_async()
    deadline = time.monotonic() + 20
    while waiting.state not in ("RETRY", "SUCCESS"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert waiting.state == "RETRY"
    assert isinstance(waiting.result, BreakerOpenError)
    assert str(waiting.result.last_error).startswith("HTTPStatusError: Server error '503 Told'")
    waiting.revoke()


def test_a_soft_time_limit_in_a_call_is_a_failure(worker: Worker) -> None:
    if worker.pool != "prefork":  # the only pool that has them
        return
    ended = worker.get(worker.send("hang", "http:hangs"))
    assert ended["failures"] == 1
    assert ended["pid"] != worker.pid
