"""The calls over gRPC that are under way, and what a fork of this process does about them.

A child that is forked while a thread is inside gRPC cannot use gRPC safely: it hangs, or dies of a signal, a few times
in a hundred, whatever ``GRPC_ENABLE_FORK_SUPPORT`` says. So before each fork the calls of this process are brought to
an end, watches at once and others in time, and new ones wait until the fork is over. The channels stay: gRPC itself
takes an idle one over a fork, and a session goes on where it was, without a word to its owner.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

_PATIENCE = 0.2  # seconds that a fork waits for requests to be answered
_LIMIT = 0.5  # and for calls to end that it has cancelled; then it goes on regardless
_SETTLE = 0.05  # seconds that gRPC takes to end its threads after the last channel, during which a fork is not safe


class Call:
    """A call under way. ``patient``: a fork waits for it a little. ``interrupted``: a fork has ended it."""

    def __init__(self, rpc: Any, patient: bool) -> None:
        self.rpc = rpc
        self.patient = patient
        self.interrupted = False
        self.ended = threading.Event()
        if not rpc.add_callback(self._note_end):
            self._note_end()

    def _note_end(self) -> None:  # in a thread of grpc's, or at once
        _running.discard(self)
        self.ended.set()

    def cancel(self) -> None:
        with lock:
            self.rpc.cancel()


def begin(make: Callable[[], Any], *, patient: bool) -> Call:
    """Begin a call: ``make`` returns grpc's object of it."""
    with lock:
        call = Call(make(), patient)
        if not call.ended.is_set():
            _running.add(call)
            if call.ended.is_set():  # meanwhile
                _running.discard(call)
        return call


def close(channel: Any) -> None:
    """Close a channel, or what has one."""
    global _last_close
    with lock:
        channel.close()
        _last_close = time.monotonic()


lock = threading.RLock()  # held by whoever makes, begins, cancels or closes something of grpc's, and during a fork
_running: set[Call] = set()
_last_close = 0.0


def _before_fork() -> None:
    lock.acquire()
    running = list(_running)
    if running:
        deadline = time.monotonic() + _PATIENCE
        for call in sorted(running, key=lambda call: call.patient):
            if call.patient:
                call.ended.wait(max(0.0, deadline - time.monotonic()))
            if not call.ended.is_set():
                call.interrupted = True
                call.cancel()
        deadline = time.monotonic() + _LIMIT
        for call in running:
            call.ended.wait(max(0.0, deadline - time.monotonic()))
        time.sleep(0.001)  # for the thread that has noted the end to leave
    if (rest := _last_close + _SETTLE - time.monotonic()) > 0:
        time.sleep(rest)


def _after_fork_in_child() -> None:
    _running.clear()
    lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=lock.release, after_in_child=_after_fork_in_child)
