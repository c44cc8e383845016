"""Calls of boto3 over loopback, and messages and tasks of Celery in this process: with and without a breaker.

``bare`` is the client, the app or the task without one, the floor; ``breaker`` has one, closed; ``rejected`` has one,
open. A task calls nothing: what is measured is the base class.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Any

import boto3
from botocore.config import Config
from celery import Celery
from celery.app.trace import build_tracer

from benchmarks.http_clients import Subjects, calling, server
from benchmarks.measure import Loop
from benchmarks.subjects import CLOSED, provider
from breaker.integrations.boto3 import protect as protect_client
from breaker.integrations.celery import BreakerTask
from breaker.integrations.celery import protect as protect_app

Make = Callable[[], Any]


@contextmanager
def _protected(make: Make, protect: Callable[..., Any], call: Callable[[Any], Callable[[], Any]]) -> Iterator[Subjects]:
    with provider(CLOSED) as closed, provider(CLOSED) as opened, ExitStack() as stack:
        opened.get_breaker("one").force_open()
        made = {
            "bare": make(),
            "breaker": protect(make(), closed, name="one"),
            "rejected": protect(make(), opened, name="one"),
        }
        for each in made.values():
            stack.enter_context(closing(each))
        loops = {kind: Loop(calling(call(each)), kind) for kind, each in made.items()}
        yield Subjects(loops, closed.breakers["one"], opened.breakers["one"])


@contextmanager
def _boto3() -> Iterator[Subjects]:
    with server() as address:

        def client() -> Any:
            return boto3.client(
                "s3",
                endpoint_url=f"http://{address}",
                region_name="eu-west-1",
                aws_access_key_id="id",
                aws_secret_access_key="secret",
                config=Config(s3={"addressing_style": "path"}, proxies={}),
            )

        with _protected(client, protect_client, lambda made: lambda: _head(made)) as subjects:
            yield subjects


def _head(client: Any) -> None:
    client.get_object(Bucket="bucket", Key="key")["Body"].read()


def _app() -> Any:
    app = Celery("benchmarks", broker="memory://", set_as_current=False)
    app.conf.task_ignore_result = True
    return app


def _publishing() -> AbstractContextManager[Subjects]:
    def sending(app: Any) -> Callable[[], Any]:
        def send() -> None:
            app.send_task("load", (1,))

        return send

    return _protected(_app, protect_app, sending)


@contextmanager
def _tasks() -> Iterator[Subjects]:
    with closing(_app()) as app, provider(CLOSED) as closed:

        def load(number: int) -> int:
            return number

        def traced(kind: str, base: Any) -> Loop:
            app.task(base=base, name=kind, shared=False)(load)
            app.finalize()
            tracer = build_tracer(kind, app.tasks[kind], app=app)
            return Loop(calling(lambda: tracer("id", (1,), {}, {"id": "id", "delivery_info": {}})), kind)

        loops = {"bare": traced("bare", None), "breaker": traced("breaker", BreakerTask)}
        unused = closed.get_breaker("one")
        yield Subjects(loops, unused, unused)


JOBS: dict[str, Callable[[], AbstractContextManager[Subjects]]] = {
    "boto3, GetObject": _boto3,
    "Celery, a message": _publishing,
    "Celery, a task": _tasks,
}
