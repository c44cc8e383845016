"""Under gevent: a patched program in a process of its own, whose threads and sleeps are greenlets."""

from __future__ import annotations

import pytest

from support.libraries import MISSING
from support.processes import run_python

pytestmark = pytest.mark.skipif("gevent" in MISSING, reason="comes with the extra `test`, without it with `test-core`")

PATCHED = """
from gevent import monkey
monkey.patch_all()
import gevent
import breaker
from breaker import BreakerOpenError, Policy, Provider, State, get_default_config

config = get_default_config("my-service", "test")
provider = Provider(config, default_policy=Policy(3, 2, 0.05))
b = provider.get_breaker("http:prices")

def slow(value):
    gevent.sleep(0.01)
    return value

def down():
    gevent.sleep(0.001)
    raise OSError("down")

def attempt(function, *arguments):
    try:
        return function(*arguments)
    except (OSError, BreakerOpenError) as error:
        return type(error).__name__
"""


def test_greenlets_call_side_by_side_and_all_count() -> None:
    run_python(f"""{PATCHED}
inside = []
def enter(number):
    inside.append(number)
    gevent.sleep(0.01)
    return len(inside)
jobs = [gevent.spawn(b.do, enter, n) for n in range(100)]
gevent.joinall(jobs, raise_error=True)
assert {{job.value for job in jobs}} == {{100}}, "each saw all others inside"
assert b.snapshot().successes == 100
""")


def test_half_open_of_fifty_greenlets_one_probes() -> None:
    # S23
    run_python(f"""{PATCHED}
for _ in range(3):
    attempt(b.do, down)
gevent.sleep(0.06)
jobs = [gevent.spawn(attempt, b.do, slow, "ran") for _ in range(50)]
gevent.joinall(jobs, raise_error=True)
assert sorted(job.value for job in jobs) == ["BreakerOpenError"] * 49 + ["ran"]
assert b.state is State.HALF_OPEN
""")


def test_a_kill_and_a_limit_around_are_ignored_and_a_limit_inside_is_a_failure() -> None:
    # S40
    run_python(f"""{PATCHED}
job = gevent.spawn(b.do, gevent.sleep, 60)
gevent.sleep(0.01)
job.kill()
assert (b.snapshot().ignored, b.snapshot().failures) == (1, 0)
try:
    with gevent.Timeout(0.01):
        b.do(gevent.sleep, 60)
except gevent.Timeout:
    pass
assert (b.snapshot().ignored, b.snapshot().failures) == (2, 0)
def limited():
    with gevent.Timeout(0.01, TimeoutError("too slow")):
        gevent.sleep(60)
assert attempt(b.do, limited) == "TimeoutError"
assert (b.snapshot().ignored, b.snapshot().failures) == (2, 1)
""")


def test_greenlets_that_hang_are_noticed_and_none_stays_in_flight() -> None:
    # S206, S207, S208: the calls of one thread, side by side; some are given up, some are killed
    run_python(f"""{PATCHED}
rule = Policy(None, slow_call_rate_threshold=0.5, slow_call_duration=0.2, minimum_calls=10)
with Provider(config, default_policy=rule) as other:
    h = other.get_breaker("http:hanging")
    jobs = [gevent.spawn(attempt, h.do, gevent.sleep, 60) for _ in range(20)]
    while h.state is State.CLOSED:
        gevent.sleep(0.005)
        attempt(lambda: h.acquire().ignore())
    assert h.snapshot().last_error == "slow call"
    h.reset()
    gevent.killall(jobs)
    assert h.snapshot().late == 20
    given_up = [gevent.spawn(attempt, h.do, gevent.sleep, 60) for _ in range(9)]
    gevent.sleep(0.3)
    gevent.killall(given_up)
    seen = h.snapshot()
    assert (seen.window_calls, seen.window_slow_calls, seen.slow_calls_in_flight) == (9, 9, 0)
""")


def test_events_stay_in_order_while_a_listener_lets_other_greenlets_run() -> None:
    # S80
    run_python(f"""{PATCHED}
from breaker.events import StateChanged
changes = []
def listen(event):
    gevent.sleep(0.002)
    if isinstance(event, StateChanged):
        changes.append(event)
provider.subscribe(listen)
def flap():
    for _ in range(5):
        attempt(b.do, down)
        gevent.sleep(0.03)
gevent.joinall([gevent.spawn(flap) for _ in range(10)], raise_error=True)
while not changes or changes[-1].to_state is not b.state:
    gevent.sleep(0.01)
assert len(changes) >= 3
assert all(one.to_state is next.from_state for one, next in zip(changes, changes[1:]))
""")


def test_documents_in_files_apply_and_the_watch_ends_with_its_provider() -> None:
    run_python(f"""{PATCHED}
import pathlib, tempfile, threading
from breaker.sources import FileSource
root = pathlib.Path(tempfile.mkdtemp())
documents = root / config.policies_path.strip("/")
documents.mkdir(parents=True)
(documents / "default.json").write_text('{{"failureThreshold": 7}}')
with Provider(config, policy_source=FileSource(root, 0.02)) as following:
    f = following.get_breaker("f")
    assert f.policy.failure_threshold == 7
    (documents / "f.json").write_text('{{"failureThreshold": 9}}')
    while f.policy.failure_threshold != 9:
        gevent.sleep(0.01)
assert threading.active_count() == 1
""")
