"""Rows of results, the table of them, the machine's description, and the files under ``results/``."""

import datetime
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Goal:
    """A bound on a ratio (unit ``×``) or on a measured value (its own unit)."""

    at_most: bool
    value: float
    unit: str = "×"

    def __str__(self) -> str:
        space = "" if self.unit == "×" else " "
        return f"{'<=' if self.at_most else '>='} {self.value:g}{space}{self.unit}"

    def met(self, row: "Row") -> bool:
        found = row.ratio if self.unit == "×" else row.measured
        if found is None:
            return False
        return found <= self.value if self.at_most else found >= self.value


def at_most(value: float | None, unit: str = "×") -> Goal | None:
    return None if value is None else Goal(True, value, unit)


def at_least(value: float, unit: str = "×") -> Goal:
    return Goal(False, value, unit)


@dataclass(frozen=True)
class Row:
    """``floor`` is what ``floor_is`` costs, measured in the same repeats; ratio is measured / floor."""

    section: str
    path: str
    measured: float
    unit: str = "ns"
    floor: float | None = None
    floor_is: str = ""
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        return None if not self.floor else self.measured / self.floor

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return "yes" if self.goal.met(self) else "NO"

    def cells(self) -> list[str]:
        return [
            f"{self.section}: {self.path}",
            _number(self.floor, self.unit),
            _number(self.measured, self.unit),
            "" if self.ratio is None else f"{self.ratio:.2f}",
            "" if self.goal is None else str(self.goal),
            self.verdict,
            self.floor_is,
        ]


HEADER = ["path", "floor", "breaker", "ratio", "goal", "met", "floor is"]


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:,.1f} {unit}" if abs(value) < 1000 else f"{value:,.0f} {unit}"


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> str:
    """A Markdown table, aligned so that it also reads well in a terminal."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column in (0, len(header) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(lines[0]), rule, *map(line, lines[1:])])


def free_threaded() -> bool:
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def tag() -> str:
    """``3.11``, ``3.13``, ``3.13t``: in the names of result files."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}{'t' if free_threaded() else ''}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def machine() -> dict[str, str]:
    """What the numbers depend on. No host name and no path: results are published."""
    configured = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    options = ("--enable-optimizations", "--with-lto", "--enable-shared", "--disable-gil", "--with-pydebug")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "python built with": " ".join(option for option in options if option in configured) or "no options",
        "interpreter lock": "no" if free_threaded() else "yes",
        "compiler": platform.python_compiler(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def progress(text: str) -> None:
    """One line that the next one overwrites, and only where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def describe(facts: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def write(name: str, title: str, text: str, data: object) -> list[str]:
    """``results/NAME-VERSION.json`` and ``.md``; returns the files' names."""
    RESULTS.mkdir(exist_ok=True)
    facts = machine()
    stem = f"{name}-{tag()}"
    document = {"machine": facts, "results": data}
    (RESULTS / f"{stem}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / f"{stem}.md").write_text(f"# {title}\n\n{describe(facts)}\n\n{text}\n")
    return [f"{stem}.json", f"{stem}.md"]


def as_data(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Rows for a JSON file, without digits that no measurement has."""
    data: list[dict[str, object]] = []
    for row in rows:
        plain = asdict(row) | {"ratio": row.ratio, "goal": str(row.goal or ""), "met": row.verdict}
        data.append({key: round(value, 3) if isinstance(value, float) else value for key, value in plain.items()})
    return data
