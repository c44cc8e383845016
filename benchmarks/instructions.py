"""Instructions per call, counted by valgrind's callgrind: repeatable where time is not.

``python -m benchmarks.instructions`` compares with the committed counts and fails when a path has become
longer; ``--update`` writes the counts of this interpreter into ``instructions.json``.

Each path is run with two lengths of the same loop. The difference of the two counts, divided by that of the
lengths, is one call's: starting the interpreter, importing and warming up are in both and cancel.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

from benchmarks import report

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "benchmarks" / "instructions.json"
SHORT, LONG = 2_000, 6_000
TOLERANCE = 0.005  # where none is committed
SLACK = 2.0  # instructions: what an allocator's state may differ by
PATHS = ("closed/do-0-args-def", "closed/do-1-arg", "closed/do-keywords", "decorated/function-1-arg",
         "decorated/method", "acquire/with-acquire", "rejected/do", "failing/do", "await/do",
         "rates/do, last 100 calls", "rates/do, last 24 hours", "rates/do, slow calls, 10 s",
         "rates/decorated, slow calls, 10 s", "rates/with-acquire, slow calls, 10 s",
         "rates/await-do, slow calls, 10 s",
         "rates/failure and success, last 100 calls", "rates/failure and success, last 24 hours")  # fmt: skip


class Counts(TypedDict):
    """What was counted on one interpreter. A count depends on it, so others are not compared."""

    python: str
    compiler: str
    built: str
    counts: dict[str, dict[str, float]]


class Committed(TypedDict):
    tolerance: float
    interpreters: dict[str, Counts]


def run_path(path: str, kind: str, calls: int) -> None:
    """What valgrind watches: one loop of one subject. The floor of a policy with rates is one without."""
    from benchmarks import cases, rates

    group, _, name = path.partition("/")
    if group == "rates":
        statement, _, policy = name.partition(", ")
        rates.loop_under(statement, rates.NONE if kind == "floor" else policy).run(calls)
        return
    case = next(case for case in cases.ALL if (case.group, case.name) == (group, name))
    cases.ready(case).loops[kind].run(calls)


def _command(path: str, kind: str, calls: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.instructions", "--run", path, kind, str(calls)]


def _collected(path: str, kind: str, calls: int, environment: dict[str, str]) -> int:
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command = [*tool, *_command(path, kind, calls)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if done.returncode != 0 or found is None:
        raise RuntimeError(f"valgrind failed on {path} ({kind}):\n{done.stderr[-2000:]}")
    return int(found[1])


def _per_call(path: str, kind: str, environment: dict[str, str]) -> float:
    long, short = (_collected(path, kind, calls, environment) for calls in (LONG, SHORT))
    return round((long - short) / (LONG - SHORT), 2)


def _environment(bytecode: str) -> dict[str, str]:
    """The same for every run: a fixed hash seed, and every module compiled already."""
    fixed = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": bytecode}
    fixed.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(_command(PATHS[0], "floor", 1), cwd=ROOT, env=fixed, check=True)
    return fixed


def count(paths: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Instructions per call by path and subject."""
    from benchmarks.floor.build import build

    build()
    jobs = [(path, kind) for path in paths for kind in ("floor", "breaker")]
    with tempfile.TemporaryDirectory() as bytecode, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        environment = _environment(bytecode)
        numbers = list(pool.map(lambda job: _per_call(job[0], job[1], environment), jobs))
    counts: dict[str, dict[str, float]] = {path: {} for path in paths}
    for (path, kind), number in zip(jobs, numbers, strict=True):
        counts[path][kind] = number
    return counts


def here(counts: dict[str, dict[str, float]]) -> Counts:
    facts = report.machine()
    return {
        "python": facts["python"],
        "compiler": facts["compiler"],
        "built": facts["python built with"],
        "counts": counts,
    }


def committed() -> Committed:
    if not COMMITTED.exists():
        return {"tolerance": TOLERANCE, "interpreters": {}}
    read: Committed = json.loads(COMMITTED.read_text())
    return read


def incomparable(known: Counts | None) -> str:
    """Why the counts of this interpreter are not compared with the committed ones; empty: they are."""
    found = here({})
    if known is None:
        return f"no counts are committed for Python {report.tag()}"
    ours = (found["python"], found["compiler"], found["built"])
    theirs = (known["python"], known["compiler"], known["built"])
    return "" if ours == theirs else f"the committed counts are of {theirs}, this is {ours}"


def table(counts: dict[str, dict[str, float]], known: Counts | None) -> str:
    rows = []
    for path, found in counts.items():
        before = known["counts"].get(path, {}).get("breaker") if known else None
        added = found["breaker"] - found["floor"]
        cells = [f"{found['floor']:.1f}", f"{found['breaker']:.1f}", f"{added:+.1f}"]
        rows.append([path, *cells, "" if before is None else f"{before:.1f}", ""])
    return report.table(rows, ["path", "floor", "breaker", "added", "committed", ""])


def longer(counts: dict[str, dict[str, float]], known: Counts, tolerance: float) -> list[str]:
    """The paths that execute more than the committed count, by over the tolerance and over a few instructions."""
    limits = {path: found["breaker"] * (1 + tolerance) + SLACK for path, found in known["counts"].items()}
    return [path for path, found in counts.items() if path in limits and found["breaker"] > limits[path]]


def check(update: bool, paths: tuple[str, ...]) -> int:
    stored = committed()
    known = stored["interpreters"].get(report.tag())
    counts = count(paths)
    print(table(counts, known))
    if update:
        merged = {**known["counts"], **counts} if known and not incomparable(known) else counts
        stored["interpreters"][report.tag()] = here(merged)
        COMMITTED.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
        print(f"wrote {COMMITTED.name}")
        return 0
    if known is None or incomparable(known):
        print(f"not compared: {incomparable(known)}")
        return 0
    grown = longer(counts, known, stored["tolerance"])
    for path in grown:
        print(f"LONGER than committed by more than {stored['tolerance']:.1%}: {path}")
    print("ok" if not grown else "if it is meant: run again with --update and commit instructions.json")
    return 1 if grown else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="*", default=PATHS, metavar="PATH", help=f"any of {PATHS}")
    parser.add_argument("--update", action="store_true", help="keep these counts as the committed ones")
    parser.add_argument("--run", nargs=3, metavar=("PATH", "SUBJECT", "CALLS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run_path(options.run[0], options.run[1], int(options.run[2]))
        return 0
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: no instructions counted (apt-get install valgrind)")
        return 0
    return check(options.update, tuple(options.paths))


if __name__ == "__main__":
    sys.exit(main())
