"""The table of ratios: each path beside its floor, measured in turns in one process.

``python -m benchmarks.ratios`` prints it, ``--write`` also keeps it under ``results/``. No timing makes
it fail: a goal that is not met is shown, not asserted.
"""

import argparse
from collections.abc import Iterator, Sequence

from benchmarks import cases, footprint, report
from benchmarks.measure import Loop, interleaved, sync_loop
from benchmarks.rates import rate_rows
from benchmarks.report import Row, at_most
from benchmarks.sections import (
    construction_rows,
    grpc_rows,
    guard_rows,
    http_rows,
    job_rows,
    registry_rows,
    store_rows,
    thread_rows,
    web_rows,
)

BARE_GOAL = {"closed": 2.2}


def _case_loops(prepared: Sequence[cases.Ready]) -> list[tuple[cases.Ready, str, Loop]]:
    return [(made, kind, loop) for made in prepared for kind, loop in made.loops.items()]


def case_rows(selected: Sequence[cases.Case], repeats: int) -> Iterator[Row]:
    """All cases of a group in the same repeats: their floors are then comparable too."""
    prepared = [cases.ready(case) for case in selected]
    loops = _case_loops(prepared)
    medians = interleaved([loop for _, _, loop in loops], repeats)
    found = {(made.case.name, kind): median for (made, kind, _), median in zip(loops, medians, strict=True)}
    for made in prepared:
        case = made.case
        measured, floor = found[case.name, "breaker"], found[case.name, "floor"]
        yield Row(case.group, case.name, measured, "ns", floor, case.floor_is, at_most(case.goal))
        if (bare := found.get((case.name, "bare"))) is not None:
            goal = at_most(BARE_GOAL.get(case.group))
            yield Row(case.group, f"{case.name} / bare", measured, "ns", bare, "the bare call", goal)
        made.close()


def memory_rows(growth_calls: int) -> Iterator[Row]:
    per_breaker = footprint.in_process("per-breaker", "200000")
    yield Row("memory", "one breaker", per_breaker, "B", goal=at_most(512, "B"))
    for path in footprint.GROWTH:
        grown = footprint.in_process("growth", path, str(growth_calls)) / 1024
        # A page or two moves in any interpreter; a leak of one byte a call would be thousands of them.
        yield Row("growth", f"{path}, {growth_calls:.0e} calls", grown, "KiB", goal=at_most(64, "KiB"))


def import_rows(repeats: int) -> Iterator[Row]:
    cold, beside, unwanted = footprint.import_times(repeats)
    yield Row("import", "cold", cold, "ms", goal=at_most(15, "ms"))
    yield Row("import", f"beside {footprint.PRELOADED}", beside, "ms", goal=at_most(3, "ms"))
    path = f"unwanted modules ({', '.join(unwanted) or 'none'})"
    yield Row("import", path, float(len(unwanted)), "modules", goal=at_most(0, "modules"))


def loop_row(repeats: int) -> Row:
    """What an empty turn of the measuring loop costs; it is contained in every number above it."""
    (empty,) = interleaved([sync_loop("pass", {})], repeats)
    return Row("loop", "empty turn, contained in every number", empty)


SECTIONS = ("closed", "decorated", "acquire", "rejected", "failing", "probe", "await",
            "threads", "registry", "construction", "memory", "import")  # fmt: skip


# Asked for by name: rates are compared with each other, the others measure with a server in another process and want a
# machine that does nothing else.
ON_REQUEST = ("rates", "grpc", "guard", "http", "stores", "jobs", "web", "scrape")


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """The sections asked for, each as soon as it is measured."""
    repeats: int = options.repeats
    for section in options.sections:
        selected = [case for case in cases.ALL if case.group == section]
        if selected:
            yield from case_rows(selected, repeats)
        elif section == "threads":
            yield from thread_rows(max(3, repeats // 5), options.thread_seconds)
        elif section == "registry":
            yield from registry_rows(repeats, options.names)
        elif section == "construction":
            yield from construction_rows(repeats)
        elif section == "memory":
            yield from memory_rows(options.growth_calls)
        elif section == "import":
            yield from import_rows(max(5, repeats // 2))
        elif section == "rates":
            yield from rate_rows(repeats)
        elif section == "grpc":
            yield from grpc_rows(repeats)
        elif section == "http":
            yield from http_rows(repeats)
        elif section == "web":
            yield from web_rows(repeats)
        elif section == "jobs":
            yield from job_rows(repeats)
        elif section == "stores":
            yield from store_rows(repeats)
        elif section == "scrape":
            from benchmarks.scrapes import scrape_rows

            yield from scrape_rows(repeats)
        elif section == "guard":
            yield from guard_rows(repeats)
    yield loop_row(repeats)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    every = SECTIONS + ON_REQUEST
    parser.add_argument("sections", nargs="*", default=SECTIONS, metavar="SECTION", help=f"any of {every}")
    parser.add_argument("--repeats", type=int, default=51)
    parser.add_argument("--thread-seconds", type=float, default=0.15, help="of work that threads divide")
    parser.add_argument("--names", type=int, default=1_000_000, help="size of the largest registry")
    parser.add_argument("--growth-calls", type=int, default=10_000_000)
    parser.add_argument("--quick", action="store_true", help="a rough table in seconds")
    parser.add_argument("--write", action="store_true", help="keep the table under benchmarks/results/")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(every):
        parser.error(f"unknown section: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    if options.quick:
        options.repeats, options.thread_seconds = 7, 0.05
        options.names, options.growth_calls = 10_000, 100_000
    return options


def main() -> None:
    options = _arguments()
    found: list[Row] = []
    for row in rows(options):
        found.append(row)
        report.progress(f"measured {row.section}: {row.path}")
    report.progress("")
    text = report.table([row.cells() for row in found])
    print(f"\n{report.describe(report.machine())}\n\n{text}")
    missed = [f"{row.section}: {row.path}" for row in found if row.verdict == "NO"]
    print(f"\n{len(missed)} of {sum(row.goal is not None for row in found)} goals not met here")
    if options.write:
        # A part of the table is kept under its own name, beside the whole.
        name = "ratios" if tuple(options.sections) == SECTIONS else "-".join(options.sections)
        print("wrote", *report.write(name, "Ratios to the floors", text, report.as_data(found)))


if __name__ == "__main__":
    main()
