"""What the errors of redis-py say of the server: is it there, and can it serve anybody?

The tree of its classes does not say so: a pool without a free connection and a wrong password are connection errors, a
server without memory is a `ResponseError`, and a broken connection is a `WatchError` where it was watching.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis import exceptions

from breaker.integrations._stores import Verdict

_UNABLE = frozenset({"BUSY", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN"})
_IN_PIPELINE = " of pipeline caused error: "


def verdict_of(error: BaseException) -> Verdict:
    """What an exception that ended a call says of the server."""
    if isinstance(error, exceptions.WatchError):
        # redis-py says so as well where the connection broke that was watching.
        broken = error.__context__
        return "success" if broken is None or verdict_of(broken) != "failure" else "failure"
    if isinstance(error, exceptions.MaxConnectionsError) or error.args[:1] == ("No connection available.",):
        return "ignored"  # the pool of the client is exhausted
    if isinstance(error, exceptions.ClusterError | exceptions.ReadOnlyError | exceptions.OutOfMemoryError):
        return "failure"
    if isinstance(error, exceptions.ResponseError):
        return "failure" if _code_of(error) in _UNABLE else "success"
    if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError | exceptions.InvalidResponse | OSError):
        return "failure"
    if isinstance(error, exceptions.RedisClusterException):
        return _verdict_of_cluster(error)
    return "ignored"


def _code_of(error: exceptions.ResponseError) -> str:
    """The first word of the server's answer, which a pipeline has put at the end of a text of its own."""
    if getattr(error, "status_code", None) is not None:  # redis-py knows it, and has taken it away
        return ""
    text = str(error)
    if text.startswith("Command # ") and _IN_PIPELINE in text:
        text = text.rpartition(_IN_PIPELINE)[2].lstrip("('\"")  # redis.asyncio puts a tuple there
    return text.partition(" ")[0]


def _verdict_of_cluster(error: BaseException) -> Verdict:
    text = str(error)
    if isinstance(error, exceptions.SlotNotCoveredError) or "slots are not covered" in text:
        return "failure"
    if (cause := error.__cause__) is not None:
        return verdict_of(cause)  # of a cluster none of whose nodes can be reached
    return "failure" if "cannot be connected" in text else "ignored"  # a command that no node is for


def failed_answer(answers: Iterable[Any]) -> BaseException | None:
    """The first of a pipeline's answers, given to its caller instead of raised, that is a failure."""
    for answer in answers:
        if isinstance(answer, Exception) and verdict_of(answer) == "failure":
            return answer
    return None
