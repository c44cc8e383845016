"""Other processes for tests: Python programs in a fresh interpreter, and forked children that must not hang."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import tally

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


def run_python(program: str, *options: str, seconds: float = 40) -> str:
    """Run a program with warnings as errors; it must end well and write nothing to standard error. Returns its output.

    Whatever the interpreter says at its exit, ``Exception ignored`` or the trace of a thread, is an error too.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", program],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


_APART = "apart"  # how a test's file is called where one of its tests runs in a process of its own
_RUN_ONE = f"""
import json, runpy, sys
file, name, arguments, tests = sys.argv[1:]
sys.path.insert(0, tests)
runpy.run_path(file, run_name={_APART!r})[name](**json.loads(arguments))
from support import tally
tally.report()
"""


def in_a_process(*options: str, seconds: float = 40) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run the decorated test in a fresh interpreter: what it meets may end the process, and must not end the suite.

    ``options``: of the interpreter. Arguments (of ``parametrize``) are handed over as JSON; there are no fixtures.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        if test.__module__ == _APART:
            return test

        @functools.wraps(test)
        def apart(**arguments: Any) -> None:
            file = test.__code__.co_filename
            done = subprocess.run(
                [
                    *(sys.executable, "-X", "faulthandler", "-W", "error", *options, "-c", _RUN_ONE),
                    *(file, test.__name__, json.dumps(arguments), str(Path(__file__).parents[1])),
                ],
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            ended = (done.returncode, done.stderr)
            tally.take(done.stdout)
            assert ended == (0, ""), f"ended with {done.returncode}\n{done.stderr[-8000:]}"

        return apart

    return decorate


def fork_and_check(work: Callable[[], object], seconds: float = 20) -> None:
    """Fork, run ``work`` in the child, and wait for it: an exception there fails the test, a child that hangs too."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():  # from 3.12 on of a fork in a process with threads, which is what is tested
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _in_the_child(work, writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        status = _wait_for(child, seconds)
        trouble = pipe.read()
    assert status == 0, trouble or f"the child ended with {status}"


def _in_the_child(work: Callable[[], object], writer: int) -> None:
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        os.write(writer, traceback.format_exc().encode()[-60_000:])
    finally:
        os._exit(code)


def _wait_for(child: int, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")
