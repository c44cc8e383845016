"""Build and import the floors of ``_floor.c``, only when their source has changed.

The result stays in a cache folder beside the source, one subfolder per interpreter, and is never part of
a wheel. It is compiled by the interpreter's own compiler command with the optimisation of the package's core.
"""

import hashlib
import importlib.util
import os
import shlex
import subprocess
import sys
import sysconfig
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parent
SOURCE = FOLDER / "_floor.c"
CACHE = FOLDER / ".cache"
# Those of setup.py: a floor compiled with less would flatter the breaker.
OPTIMISATION = ["-O3", "-fno-semantic-interposition"]


def _words(variable: str) -> list[str]:
    return shlex.split(str(sysconfig.get_config_var(variable) or ""))


def _command(target: Path) -> list[str]:
    include = sysconfig.get_path("include")
    compiler = _words("LDSHARED") or ["cc", "-shared"]
    flags = [*_words("CFLAGS"), *_words("CCSHARED"), *OPTIMISATION]
    return [*compiler, *flags, f"-I{include}", str(SOURCE), "-o", str(target)]


def _target() -> Path:
    key = hashlib.sha256(SOURCE.read_bytes() + repr((OPTIMISATION, sys.version)).encode()).hexdigest()[:16]
    soabi = sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag
    return CACHE / str(soabi) / f"_floor-{key}.so"


def build() -> Path:
    """Compile the floors for this interpreter unless that is done already."""
    target = _target()
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # The cache ignores itself, so no list elsewhere has to name it.
    (CACHE / ".gitignore").write_text("*\n")
    unfinished = target.with_suffix(f".{os.getpid()}")
    try:
        subprocess.run(_command(unfinished), check=True)
        # Two runs at once may build the same file: the last one wins, and both are whole.
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    for stale in set(target.parent.glob("*.so")) - {target}:
        stale.unlink(missing_ok=True)
    return target


def load() -> ModuleType:
    """The extension module with ``Forward``, ``Wrapper`` and ``Empty``."""
    if (loaded := sys.modules.get("_floor")) is not None:
        return loaded
    loader = ExtensionFileLoader("_floor", str(build()))
    spec = importlib.util.spec_from_file_location("_floor", loader.path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules["_floor"] = module
    return module


if __name__ == "__main__":
    print(build())
