"""Publishing: what a broker that is away counts as, what is rejected, what never reaches the broker."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import pytest
from celery import Celery, signals
from celery.app.trace import build_tracer
from celery.exceptions import OperationalError
from kombu.exceptions import EncodeError, LimitExceeded

from breaker import Breaker, BreakerOpenError, Provider, State
from breaker.integrations.celery import BreakerOpenOperationalError, BreakerTask, protect
from support.drive import HangUp, Providers, cool
from support.reading import counts
from support.servers.redis import Redis

NUMBERS = itertools.count()
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # by Celery


def app_of(url: str, **settings: Any) -> Celery:
    app = Celery(f"publishing{next(NUMBERS)}", broker=url, set_as_current=False)
    app.conf.update(task_publish_retry=False, **settings)

    @app.task(name="ship", shared=False)
    def ship(order: int) -> int:
        return order

    return app


@pytest.fixture
def own(broker: Redis, tmp_path: Path) -> Iterator[Redis]:
    """A broker of the test's own, which it may stop."""
    with Redis(tmp_path / "own") as running:
        yield running


def url_of(broker: Redis) -> str:
    return f"redis://127.0.0.1:{broker.port}/0"


def of(provider: Provider, broker: Redis) -> Breaker:
    return provider.breakers[f"broker:127.0.0.1:{broker.port}"]


# What counts, and what a rejection is.


def test_a_broker_that_goes_and_comes_back(own: Redis, provider: Provider, clock: Any) -> None:
    app = protect(app_of(url_of(own)), provider)
    app.tasks["ship"].delay(1)
    breaker = of(provider, own)
    assert counts(breaker) == {"successes": 1}
    own.stop()
    with pytest.raises(OperationalError) as caught:
        app.tasks["ship"].delay(2)
    assert not isinstance(caught.value, BreakerOpenError)
    assert breaker.state is State.OPEN
    own.start()
    with pytest.raises(BreakerOpenOperationalError):
        app.tasks["ship"].delay(3)
    assert own.seen("lpush") == 0  # a new server, which nobody has asked
    cool(breaker, clock)
    app.tasks["ship"].delay(4)
    assert breaker.state is State.CLOSED
    assert own.seen("lpush") == 1
    app.close()


WAYS: dict[str, Any] = {
    "delay": lambda app: app.tasks["ship"].delay(1),
    "apply_async": lambda app: app.tasks["ship"].apply_async((1,), countdown=5, queue="other"),
    "send_task": lambda app: app.send_task("unknown.task", [1]),
    "signature": lambda app: app.tasks["ship"].s(1).apply_async(),
    "chain": lambda app: (app.tasks["ship"].s(1) | app.tasks["ship"].s()).apply_async(),
    "group": lambda app: celery.group([app.tasks["ship"].s(1)], app=app).apply_async(),
    "by a signature without a task": lambda app: app.signature("unknown.task", (1,)).delay(),
    "in a block of a producer": lambda app: _with_a_producer(app),
}


def _with_a_producer(app: Celery) -> None:
    with app.producer_or_acquire() as producer:
        app.tasks["ship"].apply_async((1,), producer=producer)


@pytest.mark.parametrize("way", WAYS)
def test_whatever_publishes_is_protected(way: str, broker: Redis, provider: Provider) -> None:
    app = protect(app_of(url_of(broker)), provider)
    provider.get_breaker(f"broker:127.0.0.1:{broker.port}").force_open()
    before = broker.seen("lpush")
    for family in (BreakerOpenOperationalError, BreakerOpenError, OperationalError):
        with pytest.raises(family) as caught:
            WAYS[way](app)
        assert type(caught.value) is BreakerOpenOperationalError
    assert broker.seen("lpush") == before
    assert counts(of(provider, broker)) == {"rejected": 3}
    app.close()


def test_celery_tries_again_within_one_call(own: Redis, patient: Provider) -> None:
    app = protect(app_of(url_of(own)), patient)
    own.stop()
    with pytest.raises(OperationalError):
        app.tasks["ship"].apply_async(
            (1,), retry=True, retry_policy={"max_retries": 2, "interval_start": 0, "interval_step": 0.01}
        )
    assert counts(of(patient, own)) == {"failures": 1}
    app.close()


def test_a_backend_of_results_that_is_asked_first(own: Redis, patient: Provider) -> None:
    """Its error is none of the broker's: a bare ``RuntimeError`` because of one of the client's."""
    app = app_of("memory://", result_backend=url_of(own))
    app.conf.result_backend_transport_options = {
        "retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    }
    protect(app, patient)
    own.stop()
    with pytest.raises(RuntimeError, match="Retry limit exceeded while trying to reconnect"):
        app.tasks["ship"].delay(1)
    assert counts(patient.breakers["broker:memory"]) == {"failures": 1}
    app.tasks["ship"].apply_async((1,), ignore_result=True)
    assert counts(patient.breakers["broker:memory"]) == {"failures": 1, "successes": 1}
    app.close()


def _pool_used_up() -> OperationalError:
    """As Celery raises it where all of its own connections are in use."""
    error = OperationalError("Timed out waiting for a broker producer")
    error.__cause__ = LimitExceeded(1)
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OperationalError("away"), "failures"),
        (ConnectionResetError("reset"), "failures"),
        (TimeoutError("late"), "failures"),
        (LookupError("no such queue"), "ignored"),
        (BreakerOpenError("another", "OPEN"), "ignored"),
        (RuntimeError("mine"), "ignored"),
        (_pool_used_up(), "ignored"),
        (HangUp(), "ignored"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_ends_a_message_counts_as(error: BaseException, expected: str, patient: Provider) -> None:
    app = protect(app_of("memory://"), patient)

    def send_task_message(*args: Any, **kwargs: Any) -> None:
        raise error

    app.amqp.send_task_message = send_task_message  # the step that speaks with the broker
    with pytest.raises(type(error)):
        app.tasks["ship"].delay(1)
    assert counts(patient.breakers["broker:memory"]) == {expected: 1}


def test_what_cannot_be_encoded_is_the_callers(patient: Provider) -> None:
    app = protect(app_of("memory://"), patient)
    with pytest.raises(EncodeError):
        app.tasks["ship"].delay(object())
    assert counts(patient.breakers["broker:memory"]) == {"ignored": 1}


def test_arguments_that_a_task_does_not_take_are_no_message(patient: Provider) -> None:
    app = protect(app_of("memory://"), patient)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        app.tasks["ship"].delay()
    assert patient.breakers == {}


def test_eager_mode_publishes_nothing(provider: Provider) -> None:
    app = protect(app_of("memory://", task_always_eager=True), provider, name="broker")
    provider.get_breaker("broker").force_open()
    assert app.tasks["ship"].delay(7).get() == 7


# Inside tasks.


def sending(app: Celery) -> Any:
    """A task that sends another."""

    @app.task(name="sends", shared=False, base=BreakerTask)
    def sends() -> None:
        app.tasks["ship"].delay(1)

    return app.tasks["sends"]


def test_what_a_task_sends_that_is_no_workers_is_rejected(provider: Provider) -> None:
    app = protect(app_of("memory://"), provider)
    task = sending(app)
    provider.get_breaker("broker:memory").force_open()
    with pytest.raises(BreakerOpenOperationalError):
        task()
    assert type(task.apply().result) is BreakerOpenOperationalError


def test_what_a_workers_task_sends_counts_and_is_not_rejected(provider: Provider) -> None:
    app = protect(app_of("memory://"), provider)
    task = sending(app)
    breaker = provider.get_breaker("broker:memory")

    def as_a_worker_does() -> None:
        tracer = build_tracer("sends", task, app=app)
        ended = tracer("id", (), {}, {"delivery_info": {}, "id": "id"})
        assert ended.info is None, ended

    as_a_worker_does()
    assert counts(breaker) == {"successes": 1}
    breaker.force_open()
    as_a_worker_does()
    assert counts(breaker) == {"successes": 1, "rejected": 1}


def test_a_message_that_is_sent_while_one_is_sent(patient: Provider, clock: Any, provider: Provider) -> None:
    app = protect(app_of("memory://"), provider)
    breaker = provider.get_breaker("broker:memory")
    with pytest.raises(OperationalError), breaker.acquire():
        raise OperationalError("away")
    cool(breaker, clock)

    def another(sender: str, **_: Any) -> None:  # the only slot of a probe is the outer message's
        if sender == "ship":
            app.send_task("audit")

    signals.before_task_publish.connect(another)
    try:
        app.tasks["ship"].delay(1)
    finally:
        signals.before_task_publish.disconnect(another)
    assert breaker.state is State.CLOSED
    assert counts(breaker)["successes"] == 2


# Names.


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("memory://", "broker:memory"),
        ("filesystem://", "broker:filesystem"),
        ("redis://Cache.internal", "broker:cache.internal:6379"),
        ("redis://:secret@h:6380/3", "broker:h:6380"),
        ("rediss://h", "broker:h:6379"),
        ("amqp://user:secret@rabbit//", "broker:rabbit:5672"),
        ("amqp://a:1;amqp://b:2", "broker:a:1"),
        ("sqla+postgresql://user:secret@db/x", "broker:sqla"),
        ("redis+socket:///tmp/redis.sock", "broker:redis"),
    ],
)
def test_the_default_name(url: str, expected: str, provider: Provider) -> None:
    app = protect(app_of(url), provider)
    provider.get_breaker(expected).force_open()
    with pytest.raises(BreakerOpenError) as caught:
        app.tasks["ship"].apply_async((1,), ignore_result=True)
    assert caught.value.name == expected


def test_an_app_may_be_configured_after_it_was_protected(provider: Provider) -> None:
    app = protect(Celery(f"publishing{next(NUMBERS)}", set_as_current=False), provider)
    app.conf.update(broker_url="memory://")
    app.send_task("ship")
    assert list(provider.breakers) == ["broker:memory"]


def test_a_callable_gets_the_tasks_name(patient: Provider) -> None:
    app = protect(app_of("memory://"), patient, name=lambda task: None if task == "audit" else f"broker:{task}")
    app.tasks["ship"].delay(1)
    app.send_task("audit")
    assert {name: counts(each) for name, each in patient.breakers.items()} == {"broker:ship": {"successes": 1}}


# Bad input.


def test_what_is_no_app_is_refused(provider: Provider) -> None:
    wrong: Any
    for wrong, got in ((Celery, "the class Celery"), (None, "NoneType"), ("redis://", "str"), (object(), "object")):
        with pytest.raises(TypeError, match=rf"protect takes an instance of celery\.Celery, got {got}"):
            protect(wrong, provider)


def test_an_app_is_protected_once(patient: Provider) -> None:
    app = protect(app_of("memory://"), patient)
    with pytest.raises(ValueError, match="protected already; each message would count twice"):
        protect(app, patient)
    app.tasks["ship"].delay(1)
    assert counts(patient.breakers["broker:memory"]) == {"successes": 1}


def test_a_provider_and_a_name_are_what_they_must_be(provider: Provider, provider_of: Providers) -> None:
    app = app_of("memory://")
    with pytest.raises(TypeError, match=r"protect takes a breaker\.Provider, got the class Provider"):
        protect(app, Provider)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name= of protect must be a callable"):
        protect(app, provider, name=5)  # type: ignore[arg-type]
    protect(app, provider, name=lambda task: 5)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match=r"name= of protect must return the name of a breaker \(text\), got int"):
        app.tasks["ship"].delay(1)


def test_the_method_looks_as_before(provider: Provider) -> None:
    plain = app_of("memory://")
    assert inspect.signature(protect(app_of("memory://"), provider).send_task) == inspect.signature(plain.send_task)
