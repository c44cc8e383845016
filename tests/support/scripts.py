"""The same sequence of operations on a native object and on the guarded one: what comes out must be the same."""

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

Step = tuple[Any, ...]


def steps_of(target: Any, script: Iterable[Step]) -> list[tuple[str, Any]]:
    """What each operation gives: ``("value", v)``, ``("stop", v)`` or ``("error", type, text)``."""
    return [outcome(lambda step=step: getattr(target, step[0])(*step[1:])) for step in script]


def outcome(operation: Callable[..., Any]) -> tuple[Any, ...]:
    """The result of one operation in a form that can be compared."""
    try:
        return ("value", operation())
    except StopIteration as stop:
        return ("stop", stop.value)
    except StopAsyncIteration:
        return ("stop",)
    except BaseException as error:
        return ("error", type(error), str(error) if not isinstance(error, ValueError | RuntimeError) else "")


def drive(awaitable: Any, values: Iterable[Any] = ()) -> tuple[Any, ...]:
    """Run an awaitable without a loop: sends None, then ``values``; the outcome of its end."""
    iterator: Any = awaitable if inspect.iscoroutine(awaitable) else awaitable.__await__()
    answers = iter(values)

    def run() -> Any:
        iterator.send(None) if hasattr(iterator, "send") else next(iterator)
        while True:
            iterator.send(next(answers, None))

    return outcome(run)


def completed(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The value of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it has suspended")


def drive_raw(coroutine: Coroutine[Any, Any, Any]) -> None:
    """The first step of a coroutine, with nothing around it: its errors are the caller's."""
    coroutine.send(None)
