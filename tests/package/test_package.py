"""What is shipped, what an import brings, and that the package builds as it is shipped."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import breaker
from support.libraries import lacks_its_library
from support.processes import run_python

ROOT = Path(__file__).parents[2]
BUILD_NEEDS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
PACKAGE = Path(breaker.__file__).parent
MODULES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
    if file.name != "__main__.py" and not lacks_its_library(file.relative_to(PACKAGE).parts)
)
UNWANTED = (
    "structlog msgspec asyncio logging grpc dataclasses json inspect typing math "
    "breaker.events breaker.sources breaker.cli breaker._view breaker.policies.origin"
)


def test_public_names_are_sorted_complete_and_there() -> None:
    assert breaker.__all__ == sorted(breaker.__all__)
    for name in breaker.__all__:
        assert getattr(breaker, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        breaker.nothing  # noqa: B018 - the read is the point


def test_what_is_tested_is_what_the_run_is_for() -> None:
    """`make test` tests the installed wheel, from the tests of the unpacked sdist; `make test-fast` the source tree."""
    if "BREAKER_SHIPPED" in os.environ:
        assert Path(sysconfig.get_path("platlib")) / "breaker" == PACKAGE
        assert not {ROOT / "src"} & {Path(entry).absolute() for entry in sys.path}
        assert not (ROOT / ".git").exists()
    else:
        assert PACKAGE == ROOT / "src" / "breaker"


def test_the_compiled_core_is_the_one_in_use() -> None:
    from breaker import _core

    assert _core.__file__.endswith(".so")
    assert {breaker.Breaker.__module__, breaker.Permit.__module__} == {"breaker._core"}


@pytest.mark.parametrize("module", MODULES)
def test_each_module_imports_alone(module: str) -> None:
    run_python(f"import {module}")


def test_an_import_brings_only_what_every_program_needs() -> None:
    program = f"""
import sys
import sysconfig
before = set(sys.modules)
import breaker
config = breaker.get_default_config("svc", "dev")
breaker.Provider(config).get_breaker("http:x").do(int)
brought = set(sys.modules) - before
print(sorted(brought & set({UNWANTED!r}.split())))
"""
    assert run_python(program, "-I").strip() == "[]"


def test_the_version_is_the_metadatas() -> None:
    assert importlib.metadata.version("cybreaker") == breaker.__version__


def pip(*arguments: str, python: str = sys.executable, **environment: str) -> None:
    """Run pip where it reaches what it may reach; its output is the failure's explanation."""
    done = subprocess.run(
        [python, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def clean_copy(target: Path) -> Path:
    """The tree without anything that was built in it, and without what has a name that starts with a dot."""
    ignored = shutil.ignore_patterns(".*", "*.so", "_core.c", "_build", "build", "dist", "*.egg-info", "__pycache__")
    return Path(shutil.copytree(ROOT, target, ignore=ignored))


class Made(NamedTuple):
    """What is shipped, and an environment with the wheel."""

    files: set[str]  # of the tree that the sdist was made of
    sdist: Path
    wheel: Path
    unpacked: Path
    python: str

    def run(self, *arguments: str) -> str:
        """Run the environment's Python elsewhere than in the tree, with warnings as errors; returns its output."""
        command = [self.python, "-W", "error", *arguments]
        done = subprocess.run(command, cwd=self.wheel.parent, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


BUILD_SDIST = "import setuptools.build_meta as b, sys; print(b.build_sdist(sys.argv[1]))"


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        subprocess.run([sys.executable, "-m", "venv", str(work / "venv")], check=True, timeout=120)
        python = str(work / "venv/bin/python")
        pip("install", *BUILD_NEEDS, "wheel", python=python)
        tree, dist = clean_copy(work / "tree"), work / "dist"
        files = {str(file.relative_to(tree)) for file in tree.rglob("*") if file.is_file()}
        subprocess.run([python, "-c", BUILD_SDIST, str(dist)], cwd=tree, check=True, timeout=120, capture_output=True)
        (sdist,) = dist.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            archive.extractall(work, filter="data")
        build = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(dist), str(sdist))
        pip(*build, python=python, BREAKER_DEBUG="1")  # to optimise takes half of the time, and is `make test`'s affair
        (wheel,) = dist.glob("*.whl")
        pip("install", str(wheel), python=python)
        yield Made(files, sdist, wheel, work / sdist.name.removesuffix(".tar.gz"), python)


@pytest.mark.timeout(400)  # it may be the one that the two are made for
def test_the_sdist_holds_every_file_of_the_tree(made: Made) -> None:
    names = {str(file.relative_to(made.unpacked)) for file in made.unpacked.rglob("*") if file.is_file()}
    assert made.files <= names
    assert {"setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "src/breaker/py.typed"} <= names
    assert not [name for name in names if name.endswith((".so", "_core.c", ".pyc"))]


@pytest.mark.timeout(400)
def test_a_wheel_is_built_from_the_sdist_and_works(made: Made) -> None:
    with zipfile.ZipFile(made.wheel) as archive_of_wheel:
        shipped = set(archive_of_wheel.namelist())
    assert {"breaker/py.typed", "breaker/_core.pyi", "breaker/sources/files.py", "breaker/cli/demo/run.py"} <= shipped
    assert "breaker/integrations/grpc/client.py" in shipped
    status = {f"breaker/status/page/{name}" for name in ("page.html", "page.css", "text.js", "rows.js", "page.js")}
    assert status | {"breaker/status/breakers.schema.json"} <= shipped
    assert not [name for name in shipped if name.endswith((".pyx", ".c", ".h", ".pxi"))]
    program = (
        "import breaker; b = breaker.Provider(breaker.get_default_config('a', 'b')).get_breaker('x'); print(b.do(int))"
    )
    assert made.run("-c", program) == "0\n"


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("example", "arguments"), [("basic", []), ("advanced", ["--files"])])
def test_examples_of_the_sdist_run_with_the_wheel(made: Made, example: str, arguments: list[str]) -> None:
    assert "OPEN" in made.run(str(made.unpacked / "examples" / example / "main.py"), *arguments)


@pytest.mark.timeout(120)
def test_a_compile_that_fails_fails_the_build(tmp_path: Path) -> None:
    tree = clean_copy(tmp_path / "tree")
    header = tree / "src/breaker/native/core.h"
    header.write_text("#error this must stop the build\n" + header.read_text())
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path / "dist"), str(tree)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode != 0
    assert "this must stop the build" in done.stdout + done.stderr
    assert not list(tmp_path.glob("dist/*.whl"))


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="an interpreter with the lock has it")
def test_a_free_threaded_interpreter_stays_without_its_lock() -> None:
    assert run_python("import breaker, sys; print(sys._is_gil_enabled())", "-W", "error").strip() == "False"
