"""Functions that Cython compiled, in a module that is built here: all kinds, decorated and given to `do`."""

import asyncio
import importlib.util
import inspect
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy
from support.drive import Make
from support.reading import counts

pytest.importorskip("Cython", reason="Cython is there where the package is built: make test")

SOURCE = """# cython: language_level=3, freethreading_compatible=True
def plain(x):
    return x

async def later(x):
    return x

async def fails(x):
    raise OSError(x)

def items(x):
    yield x

async def items_later(x):
    yield x

class Client:
    async def later(self, x):
        return x

    async def __call__(self, x):
        return x

cdef class Compiled:
    async def later(self, x):
        return x
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "compiled.pyx").write_text(SOURCE, encoding="utf-8")
    library = folder / f"compiled{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run([sys.executable, "-m", "cython", "-3", str(folder / "compiled.pyx")], check=True, timeout=50)
    include = f"-I{sysconfig.get_path('include')}"
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O0", "-w", include, str(folder / "compiled.c"), "-o", str(library)],
        check=True,
        timeout=50,
    )
    return module_of(library)


def module_of(library: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compiled", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COROUTINE_FUNCTIONS = {
    "function": lambda module: module.later,
    "method": lambda module: module.Client().later,
    "object": lambda module: module.Client(),
    "method of a compiled class": lambda module: module.Compiled().later,
}


@pytest.mark.parametrize("kind", COROUTINE_FUNCTIONS)
@pytest.mark.parametrize("decorated", [False, True])
def test_a_coroutine_function_is_admitted_when_it_is_awaited(
    make_breaker: Make, compiled: ModuleType, kind: str, decorated: bool
) -> None:
    # S31
    breaker = make_breaker(Policy(1))
    function: Any = COROUTINE_FUNCTIONS[kind](compiled)

    async def main() -> None:
        def call() -> Any:
            return breaker(function)(5) if decorated else breaker.do(function, 5)

        assert await call() == 5
        unused = call()
        breaker.acquire().failure()
        with pytest.raises(BreakerOpenError):
            await unused

    asyncio.run(main())
    assert counts(breaker) == {"successes": 1, "failures": 1, "rejected": 1}


def test_each_failure_of_one_counts(make_breaker: Make, compiled: ModuleType) -> None:
    breaker = make_breaker(Policy(3))
    guarded = breaker(compiled.fails)
    assert inspect.iscoroutinefunction(guarded) == inspect.iscoroutinefunction(compiled.fails)

    async def main() -> None:
        for error in "abc":
            with pytest.raises(OSError, match=error):
                await guarded(error)
        with pytest.raises(BreakerOpenError):
            await guarded("d")

    asyncio.run(main())


def test_plain_functions_and_generators_are_of_their_kind(make_breaker: Make, compiled: ModuleType) -> None:
    # S30, S31
    breaker = make_breaker(Policy(1))

    async def all_of(items: Any) -> list[int]:
        return [item async for item in items]

    for do in (breaker.do, lambda function, x: breaker(function)(x)):
        assert do(compiled.plain, 1) == 1
        unused = do(compiled.items, 2)  # not admitted
        assert list(do(compiled.items, 2)) == [2]
        assert asyncio.run(all_of(do(compiled.items_later, 3))) == [3]
        del unused
    assert counts(breaker) == {"successes": 6}


def test_it_is_refused_as_a_listener(make_breaker: Make, compiled: ModuleType) -> None:
    # S181
    for function in (compiled.later, compiled.items, compiled.Client(), compiled.Compiled().later):
        with pytest.raises(TypeError, match=r"failed_result must be a plain function, got the (coroutine|generator)"):
            make_breaker(Policy(), failed_result=function)
