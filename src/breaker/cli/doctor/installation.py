"""The package as it is installed: its version, its compiled core, what else calls itself ``breaker``, its extras."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import breaker._core as core
from breaker.cli.doctor.findings import NOTE, OK, WRONG, Finding
from breaker.config import Config
from breaker.provider import Provider

_DISTRIBUTION, _FOREIGN, _MODULE = "cybreaker", "breaker", "breaker"
_HERE = Path(__file__).resolve().parents[2]
_OURS = frozenset({"all", "test", "test-core", "check", "libraries", "coverage", "docs"})  # no library of its own
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?([^;]*);.*\bextra\s*==\s*['\"]([\w.-]+)['\"]")


def findings() -> Iterator[Finding]:
    """All of them."""
    yield _version()
    yield _compiled_core()
    yield _fast_path()
    yield from _foreign()
    yield from _extras()


def _version() -> Finding:
    try:
        version = importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return Finding("package", NOTE, f"{_HERE}, which was not installed as a distribution", "pip install . there")
    return Finding("package", OK, f"{_DISTRIBUTION} {version} in {_HERE}")


def _compiled_core() -> Finding:
    file = Path(core.__file__)
    built = _flags(file)
    text = f"{file}, {built or 'without a record of its compiler'}"
    if "-O0" in built.split():
        return Finding("core", WRONG, text, "it was built for debugging: build it without BREAKER_DEBUG")
    if file.resolve().parent != _HERE:
        return Finding("core", WRONG, text, f"it is not the one of {_HERE}: install the package anew")
    return Finding("core", OK, text)


def _flags(file: Path) -> str:
    """The compiler and its options, as compilers write them beside the symbols; empty where there are none."""
    found = re.search(rb"GNU C\d+ [\x20-\x7e]+|clang version [\x20-\x7e]+", file.read_bytes())
    return "" if found is None else found[0].decode()


def _fast_path() -> Finding:
    """A call through a closed breaker beside the call alone: slow where it is traced, profiled or compiled badly."""
    guarded = Provider(Config("doctor", "/doctor/")).get_breaker("doctor")
    alone, through = _nanoseconds(int), _nanoseconds(guarded.do, int)
    text = f"a call through a closed breaker takes {through:.0f} ns, alone {alone:.0f} ns"
    if sys.gettrace() is not None or sys.getprofile() is not None:
        return Finding("calls", NOTE, f"{text}, while this process is traced or profiled")
    return Finding("calls", OK, text)


def _nanoseconds(function: Callable[..., object], *arguments: object) -> float:
    """Of one call, in the best of 7 rounds of 2,000."""
    best = float("inf")
    for _ in range(7):
        began = time.perf_counter_ns()
        for _ in range(2000):
            function(*arguments)
        best = min(best, (time.perf_counter_ns() - began) / 2000)
    return best


def _foreign() -> Iterator[Finding]:
    """The distribution ``breaker`` of the package index is another project, and has a module of the same name."""
    wrong = [*_foreign_distribution(), *_foreign_modules()]
    yield from wrong
    if not wrong:
        yield Finding("name", OK, "nothing else here is called breaker")


def _foreign_distribution() -> Iterator[Finding]:
    try:
        other = importlib.metadata.distribution(_FOREIGN)
    except importlib.metadata.PackageNotFoundError:
        return
    shared = [str(file) for file in other.files or () if str(file).split("/")[0] in (_MODULE, f"{_MODULE}.py")]
    text = f"the distribution {_FOREIGN} {other.version} is installed too, which is another project"
    if shared:
        text += f" and has written {shared[0]}"
    remedy = f"pip uninstall {_FOREIGN} {_DISTRIBUTION}, then install {_DISTRIBUTION} alone"
    yield Finding("name", WRONG, text, remedy)


def _foreign_modules() -> Iterator[Finding]:
    seen: set[str] = set()
    for entry in [os.getcwd(), *sys.path]:
        folder = os.path.realpath(entry or os.getcwd())
        if folder in seen or Path(folder) == _HERE.parent:
            continue
        seen.add(folder)
        for other in (os.path.join(folder, f"{_MODULE}.py"), os.path.join(folder, _MODULE, "__init__.py")):
            if os.path.isfile(other) and os.path.realpath(other) != str(_HERE / "__init__.py"):
                text = f"{other} is imported in place of this package by programs that find it first"
                yield Finding("name", WRONG, text, "rename or remove it")


def _extras() -> Iterator[Finding]:
    try:
        requirements = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return
    there: dict[str, list[str]] = {}  # extra → what of it is installed
    missing: dict[str, None] = {}
    for parsed in filter(None, map(_REQUIREMENT.match, requirements)):
        name, wanted, extra = parsed[1], parsed[2].strip(" ()"), parsed[3]
        if extra in _OURS:
            continue
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing[extra] = None
            continue
        if is_older(version, wanted):
            remedy = f"for what needs it: pip install '{name}{wanted}'"
            yield Finding("extras", NOTE, f"{extra}: {name} {version} is too old, wanted is {wanted}", remedy)
        else:
            there.setdefault(extra, []).append(f"{name} {version}")
    yield Finding("extras", OK, _listed(there, missing))


def _listed(there: Mapping[str, list[str]], missing: Iterable[str]) -> str:
    whole = [f"{extra} ({', '.join(found)})" for extra, found in there.items() if extra not in missing]
    return f"installed: {', '.join(whole) or 'none'}; not installed: {', '.join(missing) or 'none'}"


def is_older(version: str, wanted: str) -> bool:
    """Whether a version is below the ``>=`` of what is wanted. One that is no number is taken as new enough."""
    oldest, found = re.search(r">=\s*(\d+(?:\.\d+)*)", wanted), re.match(r"\d+(?:\.\d+)*", version)
    if oldest is None or found is None:
        return False
    least, have = ([int(part) for part in text.split(".")] for text in (oldest[1], found[0]))
    length = max(len(least), len(have))
    return have + [0] * (length - len(have)) < least + [0] * (length - len(least))
