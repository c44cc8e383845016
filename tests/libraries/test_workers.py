"""Queues, schedulers and pools: they find a function by its name, or send it elsewhere."""

import pickle
import sys
from pathlib import Path
from typing import Any

import celery
import cloudpickle
import dill
import dramatiq
import huey
import loky
import pytest
import redis
from apscheduler.schedulers.background import BackgroundScheduler
from dramatiq.brokers.stub import StubBroker
from rq.job import Job

from breaker import Breaker, Policy
from support.drive import Make
from support.reading import counts

sys.path.insert(0, str(Path(__file__).parent))
import jobs


@pytest.fixture
def breaker(make_breaker: Make) -> Breaker:
    return make_breaker(Policy(100))


def test_celery_runs_decorated_tasks(breaker: Breaker) -> None:
    app = celery.Celery("shop", broker="memory://", backend="cache+memory://")
    app.conf.task_always_eager = True

    @app.task
    @breaker
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(bind=True)
    @breaker
    def named(self: Any, x: int) -> Any:
        return self.name, x

    app.finalize()
    assert add.name in app.tasks
    assert add.delay(1, 2).get() == 3
    assert named.delay(1).get() == (named.name, 1)
    with pytest.raises(TypeError, match=r"missing a required argument: 'y'|missing 1 required positional argument"):
        add.delay(1)
    assert counts(breaker) == {"successes": 2}


def test_rq_stores_the_name() -> None:
    stored = Job.create(jobs.job, args=(1,), connection=redis.Redis())
    assert (stored.func_name, stored.func) == ("jobs.job", jobs.job)


@pytest.mark.parametrize(
    ("function", "reference"), [(jobs.job, "jobs:job"), (jobs.Jobs.of_the_class, "jobs:Jobs.of_the_class")]
)
def test_apscheduler_stores_the_name(function: Any, reference: str) -> None:
    scheduler = BackgroundScheduler()
    scheduler.start(paused=True)
    stored = scheduler.add_job(function, "interval", seconds=1, args=(1,)).__getstate__()
    scheduler.shutdown(wait=False)
    assert stored["func"] == reference


def test_dramatiq_and_huey_take_it(breaker: Breaker) -> None:
    dramatiq.set_broker(StubBroker())
    assert dramatiq.actor(breaker(lambda x: x), actor_name="actor")(5) == 5
    assert huey.MemoryHuey(immediate=True).task()(breaker(lambda x: x))(5)() == 5


def test_a_pool_of_processes_gets_it_by_its_name() -> None:
    pool = loky.get_reusable_executor(max_workers=1, env={"PYTHONPATH": str(Path(__file__).parent)})
    assert pool.submit(jobs.job, 1).result(50) == 2
    pool.shutdown()


@pytest.mark.parametrize("module", [cloudpickle, dill], ids=lambda module: module.__name__)
def test_what_has_a_name_is_pickled_by_it(module: Any) -> None:
    assert pickle.loads(module.dumps(jobs.job)) is jobs.job
    assert pickle.loads(module.dumps(jobs.Jobs.alone)) is jobs.Jobs.alone


def test_what_has_no_name_says_what_to_send_instead(breaker: Breaker) -> None:
    with pytest.raises(TypeError, match=r"cannot be pickled or copied, .* pass its name and call provider.get_breaker"):
        cloudpickle.dumps(breaker(lambda: 1))
    with pytest.raises(pickle.PicklingError):
        dill.dumps(breaker(lambda: 1))
