"""Tasks without a worker: eager and direct calls, what becomes of a task's own control flow, results in backends."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import celery
import pytest
from celery import Celery
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded, TaskPredicate
from celery.result import EagerResult

from breaker import Breaker, BreakerOpenError, Policy, Provider, State
from breaker.integrations.celery import BreakerOpenOperationalError, BreakerTask
from breaker.integrations.requests import BreakerOpenConnectionError
from support.drive import Boom, Providers, fail
from support.reading import counts
from support.servers.redis import Redis

NUMBERS = itertools.count()


@pytest.fixture
def app() -> Celery:
    return Celery(f"app{next(NUMBERS)}", broker="memory://", set_as_current=False)


@pytest.fixture
def opened(provider: Provider) -> Breaker:
    breaker = provider.get_breaker("http:prices")
    fail(breaker)
    return breaker


def asking(app: Celery, breaker: Breaker, **options: Any) -> Any:
    """A task that calls through a breaker."""

    @app.task(**{"base": BreakerTask, "shared": False, "name": f"ask{next(NUMBERS)}"} | options)
    def ask(*args: Any) -> int:
        return breaker.do(int)

    return ask


class Requested:
    """A task as if a worker ran it: what it asked to be tried again for."""

    def __init__(self, task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.countdowns: list[int] = []
        self._task = task
        monkeypatch.setattr(task, "signature_from_request", self._noted)

    def _noted(self, request: Any = None, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        self.countdowns.append(options["countdown"])
        return celery.signature("never", app=self._task.app)

    def run(self, *args: Any, retries: int = 0) -> Any:
        self._task.push_request(args=args, retries=retries, called_directly=False, id="id", is_eager=False)
        try:
            return self._task.run(*args)
        finally:
            self._task.pop_request()


# A rejection.


def test_the_wait_is_whole_seconds_with_a_random_part(
    app: Celery, opened: Breaker, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = asking(app, opened)
    requested = Requested(task, monkeypatch)
    clock.advance(29.7)  # 30.3 s are left
    for _ in range(200):
        with pytest.raises(Retry) as caught:
            requested.run()
    assert caught.value.exc is not None
    assert isinstance(caught.value.exc, BreakerOpenError)
    assert set(requested.countdowns) <= set(range(31, 31 + 16 + 1))
    assert len(set(requested.countdowns)) > 8
    assert all(type(countdown) is int for countdown in requested.countdowns)


@pytest.mark.parametrize(
    ("jitter", "left", "expected"),
    [(0, 0.2, {1}), (0, 30.0, {30}), (0.5, 0.2, {1, 2}), (1, 2.0, {2, 3, 4}), (0.1, 1.0, {1, 2})],
)
def test_the_random_part_can_be_chosen(
    jitter: float,
    left: float,
    expected: set[int],
    app: Celery,
    opened: Breaker,
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = asking(app, opened, rejection_jitter=jitter)
    requested = Requested(task, monkeypatch)
    clock.advance(60.0 - left)
    for _ in range(100):
        with pytest.raises(Retry):
            requested.run()
    assert set(requested.countdowns) == expected


def test_the_last_retry_raises_the_rejection_itself(
    app: Celery, opened: Breaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = BreakerOpenConnectionError("http:prices", "OPEN", 5.0)

    @app.task(shared=False, base=BreakerTask, max_retries=2)
    def load() -> None:
        raise raised

    requested = Requested(load, monkeypatch)
    for retries in (0, 1):
        with pytest.raises(Retry):
            requested.run(retries=retries)
    with pytest.raises(BreakerOpenConnectionError) as caught:
        requested.run(retries=2)
    assert caught.value is raised


def test_a_group_of_rejections_is_one(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    rejections = [BreakerOpenError("a", "OPEN", 2.0), BreakerOpenError("b", "OPEN", 5.0)]

    @app.task(shared=False, base=BreakerTask, rejection_jitter=0)
    def fan_out(*more: Exception) -> None:
        raise ExceptionGroup("several", [*rejections, *more])

    requested = Requested(fan_out, monkeypatch)
    with pytest.raises(Retry) as caught:
        requested.run()
    assert caught.value.exc is rejections[1]
    assert requested.countdowns == [5]
    with pytest.RaisesGroup(BreakerOpenError, BreakerOpenError, Boom):
        requested.run(Boom())


def test_without_a_limit_it_is_tried_for_ever(app: Celery, opened: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    task = asking(app, opened, max_retries=None)
    with pytest.raises(Retry):
        Requested(task, monkeypatch).run(retries=10_000)


@pytest.mark.parametrize("bind", [False, True])
def test_a_task_that_is_called_directly_raises_the_rejection(bind: bool, app: Celery, opened: Breaker) -> None:
    load = asking(app, opened, bind=bind)
    with pytest.raises(BreakerOpenError):
        load()
    assert counts(opened)["rejected"] == 1


@pytest.mark.parametrize("propagates", [False, True])
def test_eager_mode_waits_for_nothing(propagates: bool, app: Celery, opened: Breaker) -> None:
    app.conf.update(task_always_eager=True, task_eager_propagates=propagates)
    load = asking(app, opened)
    if propagates:
        with pytest.raises(BreakerOpenError):
            load.delay()
    else:
        result = load.delay()
        assert isinstance(result, EagerResult)
        assert (result.state, type(result.result)) == ("FAILURE", BreakerOpenError)
    assert counts(opened)["rejected"] == 1


def test_values_and_other_errors_pass(app: Celery) -> None:
    @app.task(shared=False, base=BreakerTask, bind=True)
    def halve(self: Any, number: Any = None, by: int = 2) -> Any:
        assert self is halve or isinstance(self, BreakerTask)
        return number / by

    assert halve(8) == 4
    assert halve.apply((8,), {"by": 4}).get() == 2
    with pytest.raises(ZeroDivisionError):
        halve(8, by=0)


# The task is what it was.


def test_a_task_keeps_what_celery_looks_at(app: Celery) -> None:
    @app.task(shared=False, base=BreakerTask)
    def send(order: int, *, urgent: bool = False) -> str:
        """Sends it."""
        return "sent"

    @app.task(shared=False, base=BreakerTask, bind=True)
    def bound(self: Any, order: int) -> str:
        return "sent"

    assert send.__doc__ == "Sends it."
    assert send.__name__ == "send"
    assert str(inspect.signature(send.run)) == "(order: 'int', *, urgent: 'bool' = False) -> 'str'"
    assert str(inspect.signature(bound.run)) == "(order: 'int') -> 'str'"
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        send.apply_async()
    assert send in app.tasks.values()


def test_classes_of_tasks_and_bases_with_a_call_of_their_own(app: Celery, opened: Breaker) -> None:
    entered: list[str] = []

    class InContext(BreakerTask):
        abstract = True

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            entered.append("context")
            return super().__call__(*args, **kwargs)

    class Load(BreakerTask):
        name = "load"

        def __init__(self) -> None:
            self.number = 7  # does not call super

        def run(self, plus: int) -> int:
            return self.number + plus

    load: Any = app.register_task(Load())
    assert load.apply((1,)).get() == 8
    rejected = asking(app, opened, base=InContext)
    assert type(rejected.apply().result) is BreakerOpenError
    assert entered == ["context"]


def test_a_base_for_all_tasks_of_an_app(opened: Breaker) -> None:
    app = Celery(f"app{next(NUMBERS)}", broker="memory://", task_cls=BreakerTask, set_as_current=False)
    task: Any = asking(app, opened, base=None)
    app.finalize()
    assert type(app.tasks[task.name]).mro()[1:3] == [app.Task, BreakerTask]
    assert type(task.apply().result) is BreakerOpenError
    assert type(app.tasks["celery.backend_cleanup"].name) is str


@pytest.mark.parametrize(("wrong", "kind"), [("a lot", TypeError), (True, TypeError), (-0.1, ValueError)])
def test_a_random_part_that_is_none_is_refused(wrong: Any, kind: type[Exception], app: Celery, opened: Breaker) -> None:
    with pytest.raises(kind, match="rejection_jitter of a BreakerTask must be"):
        asking(app, opened, rejection_jitter=wrong).run()


# The control flow of tasks inside a call.


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Retry(), "ignored"),
        (Ignore(), "ignored"),
        (Reject(), "ignored"),
        (SoftTimeLimitExceeded(), "failures"),
        (Boom(), "failures"),
    ],
    ids=["Retry", "Ignore", "Reject", "SoftTimeLimitExceeded", "another"],
)
def test_what_ends_a_call_counts_as(error: Exception, expected: str, app: Celery, provider_of: Providers) -> None:
    breaker = provider_of(Policy(9)).get_breaker("http:prices", ignore_on=TaskPredicate)

    @app.task(shared=False, base=BreakerTask)
    @breaker
    def load() -> None:
        raise error

    with pytest.raises(type(error)):
        load.run()
    assert counts(breaker) == {expected: 1}


# Backends.

REJECTIONS = [
    BreakerOpenError("http:prices", State.OPEN, 4.5, "open", "TimeoutError: late"),
    BreakerOpenOperationalError("broker:a", State.OPEN, 1.0, "operator"),
    BreakerOpenConnectionError("http:prices", State.HALF_OPEN, 0.5, "half_open"),
]


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # by Celery
@pytest.mark.parametrize("serializer", ["json", "pickle"])
@pytest.mark.parametrize("rejected", REJECTIONS, ids=lambda error: type(error).__name__)
def test_a_rejection_survives_the_backend(serializer: str, rejected: BreakerOpenError, broker: Redis) -> None:
    url = f"redis://127.0.0.1:{broker.port}/0"
    app = Celery(f"app{next(NUMBERS)}", broker=url, backend=url, set_as_current=False)
    app.conf.update(result_serializer=serializer, accept_content=[serializer])
    task_id = f"{serializer}-{type(rejected).__name__}"
    app.backend.mark_as_failure(task_id, rejected)
    with pytest.raises(BreakerOpenError) as caught:
        app.AsyncResult(task_id).get(timeout=5)
    assert type(caught.value) is type(rejected)
    assert caught.value.args == rejected.args
    assert (caught.value.state, caught.value.last_error) == (rejected.state, rejected.last_error)
    assert str(caught.value) == str(rejected)
    app.close()


def test_a_task_is_pickled_by_its_name(app: Celery, opened: Breaker) -> None:
    task = asking(app, opened, name="by its name")
    app.finalize()
    assert task.__reduce__()[1][0] == "by its name"
