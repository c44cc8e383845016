"""Every measured path of one breaker: its statement, its floor, its goal, and what it must have counted."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import Loop, async_loop, sync_loop
from benchmarks.subjects import Stage, Subject, names, subject


@dataclass(frozen=True)
class Case:
    """``name`` is stable: results of different days are compared by it."""

    group: str
    name: str
    breaker: str
    floor: str
    floor_is: str
    counts: str = "successes"
    stage: Stage = "closed"
    goal: float | None = None
    bare: str | None = None
    awaited: bool = False


@dataclass(frozen=True)
class Ready:
    """A case with its breaker and its loops: ``loops`` holds ``breaker``, ``floor`` and maybe ``bare``."""

    case: Case
    subject: Subject
    loops: dict[str, Loop]

    def total(self) -> int:
        return self.subject.total(self.case.counts)

    def close(self) -> None:
        self.subject.provider.close()


FORWARD = "C method that forwards"
WRAPPER = "C vectorcall object that forwards"
CONTEXT = "empty C context manager"
FRESH_CONTEXT = "C method returning a new empty context manager"
RAISE = "Python function that raises"
SAME = "the same without a breaker"
AWAIT = "bare await"
LATER = "C awaitable that forwards"


def _caught(statement: str, error: str) -> str:
    return f"try: {statement}\nexcept {error}: pass"


def _closed(name: str, arguments: str, goal: float, bare: str | None = None) -> Case:
    return Case("closed", name, f"b.do({arguments})", f"forward.do({arguments})", FORWARD, goal=goal, bare=bare)


CLOSED: Sequence[Case] = (
    _closed("do-0-args-def", "noop", 1.15, bare="noop()"),
    _closed("do-0-args-lambda", "noop_lambda", 1.15, bare="noop_lambda()"),
    _closed("do-1-arg", "one, 1", 1.15),
    _closed("do-3-args", "three, 1, 2, 3", 1.15),
    _closed("do-keywords", "keywords, 1, timeout=2.0, retry=True", 1.15),
    _closed("do-method", "service.bare", 1.15),
)

DECORATED: Sequence[Case] = (
    Case("decorated", "function-0-args", "decorated()", "forwarded()", WRAPPER, goal=1.25, bare="noop()"),
    Case("decorated", "function-1-arg", "decorated_one(1)", "forwarded_one(1)", WRAPPER, goal=1.25),
    Case("decorated", "keyword", "decorated_one(value=1)", "forwarded_one(value=1)", WRAPPER, goal=1.25),
    Case(
        "decorated",
        "method",
        "service.breaker_method()",
        "service.floor_method()",
        WRAPPER,
        goal=1.25,
        bare="service.bare()",
    ),
)

ACQUIRE: Sequence[Case] = (
    Case("acquire", "with-acquire", "with b.acquire(): pass", "with empty: pass", CONTEXT, goal=2.0),
    Case("acquire", "beside-fresh", "with b.acquire(): pass", "with forward.acquire(): pass", FRESH_CONTEXT),
    Case(
        "acquire",
        "acquire-success",
        "b.acquire().success()",
        "forward.pass_through(forward.acquire())",
        "two C method calls and one new object",
    ),
)


def _rejected(name: str, statement: str, floor: str, goal: float | None, awaited: bool = False) -> Case:
    return Case(
        "rejected",
        name,
        _caught(statement, "BreakerOpenError"),
        _caught(floor, "RuntimeError"),
        RAISE,
        counts="rejected",
        stage="open",
        goal=goal,
        awaited=awaited,
    )


REJECTED: Sequence[Case] = (
    _rejected("do", "b.do(noop)", "refuse()", 1.1),
    _rejected("decorated", "decorated()", "refuse()", 1.1),
    _rejected("acquire", "b.acquire()", "refuse()", 1.1),
    _rejected("await-do", "await b.do(answer, 1)", "await refuse_awaited()", None, awaited=True),
    Case(
        "rejected",
        "do-reading-the-error",
        "try: b.do(noop)\nexcept BreakerOpenError as e: e.name, e.retry_after, e.reason",
        "try: refuse()\nexcept RuntimeError as e: e.args, e.args, e.args",
        RAISE,
        counts="rejected",
        stage="open",
    ),
)


def _failing(name: str, statement: str, floor: str, goal: float | None, awaited: bool = False) -> Case:
    return Case(
        "failing",
        name,
        _caught(statement, "ValueError"),
        _caught(floor, "ValueError"),
        SAME,
        counts="failures",
        goal=goal,
        awaited=awaited,
    )


FAILING: Sequence[Case] = (
    _failing("do", "b.do(fail)", "fail()", 1.5),
    _failing("decorated", "decorated_fail()", "fail()", 1.5),
    _failing("await-do", "await b.do(fail_awaited)", "await fail_awaited()", None, awaited=True),
    Case(
        "failing",
        "failure-then-success",
        _caught("b.do(fail)", "ValueError") + "\nb.do(noop)",
        _caught("fail()", "ValueError") + "\nnoop()",
        SAME,
        counts="failures",
    ),
)

PROBE: Sequence[Case] = (
    Case("probe", "do", "b.do(noop)", "forward.do(noop)", FORWARD, stage="probing"),
    Case("probe", "with-acquire", "with b.acquire(): pass", "with empty: pass", CONTEXT, stage="probing"),
)

AWAITED: Sequence[Case] = (
    Case("await", "do", "await b.do(answer, 1)", "await answer(1)", AWAIT, goal=2.5, awaited=True),
    Case("await", "decorated", "await decorated_answer(1)", "await answer(1)", AWAIT, goal=2.5, awaited=True),
    Case("await", "beside-forwarder", "await b.do(answer, 1)", "await forward.later(answer, 1)", LATER, awaited=True),
    Case(
        "await",
        "with-acquire",
        "with b.acquire(): await answer(1)",
        "with empty: await answer(1)",
        "empty C context manager around a bare await",
        awaited=True,
    ),
)

ALL: Sequence[Case] = (*CLOSED, *DECORATED, *ACQUIRE, *REJECTED, *FAILING, *PROBE, *AWAITED)


def ready(case: Case) -> Ready:
    """A fresh breaker in the case's state, with a loop for each of its statements."""
    made = subject(case.stage)
    scope = names(made.breaker)
    loop = async_loop if case.awaited else sync_loop
    loops = {"breaker": loop(case.breaker, scope), "floor": loop(case.floor, scope)}
    if case.bare is not None:
        loops["bare"] = loop(case.bare, scope)
    return Ready(case, made, loops)
