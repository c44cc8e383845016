"""One watch over gRPC, read with a limit on every wait.

grpc's own ``next`` waits for ever, so it has to be called by somebody else. A thread is there already: for every stream
grpc starts one that asks for the next request to send. There is only one to send, so what that thread does when it asks
for the second one is to read the answers, until the stream ends. It does not ask where the call ends before the first
one is sent; that end is noted by the call's own callback.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from breaker.sources.etcd.grpc import fork_safety
from breaker.sources.etcd.grpc.endings import Ended
from breaker.sources.etcd.grpc.methods import Answer

# What is taken from grpc before the owner has asked for it; then the server has to wait. An owner that rests between
# two looks finds this much at each and publishes it together: with eight, six hundred changes a second piled up unread.
_AHEAD, _AHEAD_BYTES = 128, 1 << 20  # answers, and bytes of them, but one of any size


class Stream:
    """The answers of one call, in order, and then what ended it."""

    def __init__(self, method: Any, request: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._changed = threading.Condition()  # its lock is re-entrant: a signal handler may stop the stream
        self._answers: deque[Answer] = deque()  # guarded by _changed
        self._bytes = 0  # of them; guarded by _changed
        self._end: tuple[str, object] | None = None  # guarded by _changed
        self._reading = False
        self._called = threading.Event()
        self._call = fork_safety.begin(lambda: method(self._requests(request), metadata=metadata), patient=False)
        self._called.set()
        if not self._call.rpc.add_callback(self._note_end):
            self._note_end()

    def next(self, seconds: float) -> Answer | None:
        """The next answer, or None when none has come in time. Raises `Ended`."""
        with self._changed:
            self._changed.wait_for(self._anything, seconds)
            if self._answers:
                self._changed.notify_all()
                answer = self._answers.popleft()
                self._bytes -= answer.size
                return answer
            if self._end is not None:
                raise Ended(*self._end)
            return None

    def _anything(self) -> bool:
        return bool(self._answers) or self._end is not None

    def stop(self) -> None:
        """End the call and wake whoever waits. From any thread."""
        self._finish("", "closed")
        self._call.cancel()

    @property
    def interrupted(self) -> bool:
        """Whether a fork has ended it."""
        return self._call.interrupted

    def _finish(self, code: str, details: object) -> None:
        with self._changed:
            self._end = self._end or (code, details)
            self._changed.notify_all()

    # -- in threads of grpc's --

    def _note_end(self) -> None:
        """The call has ended. Who reads it notices by itself, after what has come before; else nobody will read."""
        if not self._reading:
            self._finish(self._call.rpc.code().name, self._call.rpc.details())

    def _requests(self, request: Any) -> Iterator[Any]:
        """What is to be sent. Nothing may be raised in here: grpc would print it."""
        yield request
        self._reading = True
        self._called.wait()
        rpc = self._call.rpc
        try:
            for answer in rpc:
                if not self._keep(answer):
                    return
        except BaseException as error:
            # The call is itself the error that it raises. Its traceback would tie it to the frames that refer to it.
            error.with_traceback(None)
            rpc.cancel()  # no more than a formality, unless it was an error of another kind
        self._finish(rpc.code().name, rpc.details())

    def _keep(self, answer: Answer) -> bool:
        """Keep an answer for the owner. False: nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_room_for(answer) or self._end is not None)
            self._answers.append(answer)
            self._bytes += answer.size
            self._changed.notify_all()
            return self._end is None

    def _has_room_for(self, answer: Answer) -> bool:
        kept = len(self._answers)
        return not kept or (kept < _AHEAD and self._bytes + answer.size <= _AHEAD_BYTES)
