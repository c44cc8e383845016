"""Sections of the table of ratios that are not one breaker's call paths: threads, registry, construction."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import breaker
from benchmarks import report
from benchmarks.measure import WALL, Loop, interleaved, shuffled, sync_loop
from benchmarks.report import Row, at_least, at_most
from benchmarks.subjects import CLOSED, floor, names, noop, provider, subject
from benchmarks.threads import median_throughputs, waiting

THREADS = (1, 2, 4, 8)
WAITING_SECONDS = 0.8  # of one thread, a tenth of a second of eight
LOOKUP = "bench:lookup"


def _runs(statements: dict[str, str], scope: dict[str, object]) -> dict[str, Callable[[int], object]]:
    return {name: sync_loop(statement, scope).run for name, statement in statements.items()}


def _thread_goal(threads: int) -> report.Goal | None:
    if report.free_threaded():
        return at_least(1.8) if threads == 2 else None
    return at_least(0.95) if threads == 8 else None


def _shared() -> dict[str, tuple[str, str]]:
    """What threads call at once: statement and label by name. Without the interpreter's lock, what else scales how."""
    called = {"breaker": ("b.do(noop)", "one breaker")}
    if report.free_threaded():
        called["decorated"] = ("decorated()", "one decorated function")
    called["floor"] = ("forward.do(noop)", "for comparison: the forwarding floor")
    if report.free_threaded():
        called["object"] = ("service.bare()", "for comparison: a method of a Python object")
        called["bare"] = ("noop()", "for comparison: the bare call")
    return called


def thread_rows(repeats: int, seconds: float) -> Iterator[Row]:
    """Throughput beside one thread's, of the breaker and of the floor; then calls that wait."""
    made = subject("closed")
    called = _shared()
    subjects = _runs({name: statement for name, (statement, _) in called.items()}, names(made.breaker))
    found = median_throughputs(subjects, THREADS, seconds, repeats)
    for name, (_, label) in called.items():
        for count in THREADS[1:]:
            goal = _thread_goal(count) if name in ("breaker", "decorated") else None
            one, several = found[name, 1] / 1e6, found[name, count] / 1e6
            yield Row("threads", f"{count} on {label}", several, "M/s", one, "one thread", goal)
    yield _waiting_row(made.breaker, repeats)
    made.provider.close()


def _waiting_row(guard: breaker.Breaker, repeats: int) -> Row:
    wait = waiting()
    scope: dict[str, object] = {"b": guard, "wait": wait}
    statements = {"breaker": "b.do(wait)", "bare": "wait()"}
    subjects = _runs(statements, scope)
    found = median_throughputs(subjects, (8,), WAITING_SECONDS, repeats)
    measured, bare = found["breaker", 8] / 1e3, found["bare", 8] / 1e3
    goal = at_least(0.95)
    return Row("threads", "8 waiting 1 ms each call", measured, "k/s", bare, "without a breaker", goal)


def registry_rows(repeats: int, largest: int) -> Iterator[Row]:
    """``get_breaker`` of an existing name among few and among very many."""
    sizes = [size for size in (1, 1_000, 100_000, 1_000_000) if size <= largest]
    owners = [provider(CLOSED, size - 1) for size in sizes]
    loops: list[Loop] = []
    for owner in owners:
        owner.get_breaker(LOOKUP)
        scope: dict[str, object] = {"owner": owner, "table": dict(owner.breakers), "name": LOOKUP}
        loops += [sync_loop("owner.get_breaker(name)", scope), sync_loop("table.get(name)", scope)]
    medians = interleaved(loops, repeats)
    for index, size in enumerate(sizes):
        measured, dict_get = medians[2 * index : 2 * index + 2]
        yield Row("registry", f"among {size:,} names", measured, "ns", dict_get, "dict.get", at_most(2.0))
    path = f"{sizes[-1]:,} names / 1 name"
    yield Row("registry", path, medians[-2], "ns", medians[0], "among 1 name", at_most(1.1))
    for owner in owners:
        owner.close()


def construction_rows(repeats: int) -> Iterator[Row]:
    owner = provider(CLOSED)
    table: dict[str, object] = {}
    fresh = map("name:{}".format, itertools.count()).__next__
    scope: dict[str, object] = {"owner": owner, "table": table, "fresh": fresh, "Forward": floor.Forward}
    scope |= {"Policy": breaker.Policy, "guard": owner.get_breaker("bench:decorate"), "noop": noop}
    scope["Wrapper"] = floor.Wrapper
    loops = [
        sync_loop("owner.get_breaker(fresh())", scope),
        sync_loop("table[fresh()] = Forward()", scope),
        sync_loop("guard(noop)", scope),
        sync_loop("Wrapper(noop)", scope),
        sync_loop("Policy(5, 2, 60.0)", scope),
    ]
    # Every turn keeps what it made: fewer repeats, not gigabytes.
    new, stored, decorate, wrap, policy = interleaved(loops, min(repeats, 15))
    yield Row("construction", "a breaker, new name", new, "ns", stored, "C object stored in a dict")
    yield Row("construction", "a decorated function", decorate, "ns", wrap, "C vectorcall object")
    yield Row("construction", "a policy", policy, "ns")
    owner.close()


def grpc_rows(repeats: int) -> Iterator[Row]:
    """What a unary call over loopback takes without and with the interceptor, and what of it is gRPC's, what is ours.

    The time of a call that goes through two processes wanders more than the interceptor adds to it. What is added runs
    in the calling thread, so its processor time is counted, and set beside the whole call.
    """
    from benchmarks.rpc import KINDS, aio_subjects, sync_subjects

    for form, subjects in (("sync", sync_subjects), ("aio", aio_subjects)):
        with subjects() as made:
            loops = [made.loops[kind] for kind in KINDS]
            whole = dict(zip(KINDS, interleaved(loops, repeats, WALL), strict=True))
            own = dict(zip(KINDS, interleaved(loops, repeats), strict=True))
        call = whole["bare"]
        ours, grpcs = own["breaker"] - own["passing-on"], own["passing-on"] - own["bare"]
        yield Row("grpc", f"unary, {form}", whole["breaker"], "ns", call, "the channel without one", at_most(1.03))
        yield Row("grpc", f"added by the breaker, {form}", ours, "ns", call, "the whole call", at_most(0.03))
        yield Row("grpc", f"added by any interceptor, {form}", grpcs, "ns", call, "the whole call")
        yield Row("grpc", f"rejected, {form}", whole["rejected"], "ns", call, "the call that it spares")


GUARD_GOALS = {"sync": 1.02, "aio": 1.05}


def guard_rows(repeats: int) -> Iterator[Row]:
    """A whole unary call on a guarded channel and on an intercepted one beside the bare one, in the caller's thread."""
    from benchmarks.rpc import aio_subjects, sync_subjects

    kinds = ("bare", "guarded", "breaker")
    for form, subjects in (("sync", sync_subjects), ("aio", aio_subjects)):
        with subjects() as made:
            medians = shuffled([made.loops[kind] for kind in kinds], 50 * repeats, turns=4)
        bare, guarded, intercepted = medians
        goal = at_most(GUARD_GOALS[form])
        yield Row("guard", f"unary, {form}", guarded, "ns", bare, "the bare channel", goal)
        yield Row("guard", f"unary, {form}, with the interceptor instead", intercepted, "ns", bare, "the bare channel")


def http_rows(repeats: int) -> Iterator[Row]:
    """What a GET over loopback takes of its thread's processor time without and with a breaker, with each client."""
    from benchmarks.http_clients import CLIENTS

    yield from _client_rows("http", CLIENTS, 10 * repeats)


def store_rows(repeats: int) -> Iterator[Row]:
    """The same of a command of Redis and a statement of SQLAlchemy."""
    from benchmarks.store_clients import STORES

    yield from _client_rows("stores", STORES, 20 * repeats)


def job_rows(repeats: int) -> Iterator[Row]:
    """The same of a call of boto3, of a message and of a task of Celery."""
    from benchmarks.job_clients import JOBS

    yield from _client_rows("jobs", JOBS, 20 * repeats)


def _client_rows(section: str, clients: Mapping[str, Callable[[], Any]], repeats: int) -> Iterator[Row]:
    """What a breaker adds is far below what two calls differ by: the medians of many short batches are compared."""
    for client, subjects in clients.items():
        with subjects() as made:
            kinds = list(made.loops)
            medians = shuffled([made.loops[kind] for kind in kinds], repeats, turns=4)
        own = dict(zip(kinds, medians, strict=True))
        call, passing_on = own["bare"], own.get("passing-on", own["bare"])
        added = own["breaker"] - passing_on
        yield Row(section, f"added by the breaker, {client}", added, "ns", call, "the whole call", at_most(0.03))
        if passing_on is not call:
            path = f"added by any middleware, {client}"
            yield Row(section, path, passing_on - call, "ns", call, "the whole call")
        if "rejected" in own:
            yield Row(section, f"rejected, {client}", own["rejected"], "ns", call, "the call that it spares")


def web_rows(repeats: int) -> Iterator[Row]:
    """What a request takes of a web application without and with `install`, without a server."""
    from benchmarks.web_apps import APPLICATIONS, KINDS

    for application, subjects in APPLICATIONS.items():
        with subjects() as made:
            medians = shuffled([made[kind] for kind in KINDS], 10 * repeats, turns=4)
        own = dict(zip(KINDS, medians, strict=True))
        bare, added = own["bare"], own["installed"] - own["bare"]
        yield Row("web", f"added by install, {application}", added, "ns", bare, "the whole request")
        yield Row("web", f"rejected, {application}", own["rejected"], "ns", bare, "the whole request")
