"""Which PostgreSQL, MariaDB and Redis to test against there are: Debian's, which tools/debian_servers.sh installs."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple


class Binary(NamedTuple):
    """One program."""

    path: Path
    version: tuple[int, ...]

    @property
    def label(self) -> str:
        return ".".join(map(str, self.version))

    def beside(self, name: str) -> str:
        """Another program of the same installation."""
        return str(self.path.with_name(name))


def _binary(path: Path | None) -> Binary | None:
    if path is None:
        return None
    # A sanitizer that this process was started with is none of another program's: postgres hangs under one.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30, env=environment)
    version = re.search(r"\d+(?:\.\d+)+", said.stdout)
    assert version is not None, said.stdout
    return Binary(path, tuple(int(part) for part in version[0].split(".")))


def _newest_postgres() -> Path | None:
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin/postgres") if path.parts[4].isdigit()]
    return max(found, key=lambda path: int(path.parts[4]), default=None)


def _program(name: str) -> Path | None:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/sbin")
    return None if found is None else Path(found)


POSTGRES = _binary(_newest_postgres())
MARIADB = _binary(_program("mariadbd"))
REDIS = _binary(_program("redis-server"))


def summary() -> str:
    """For the first lines of a run."""
    found = {"PostgreSQL": POSTGRES, "MariaDB": MARIADB, "Redis": REDIS}
    return "; ".join(f"{name}: {binary.label if binary else 'not tested here'}" for name, binary in found.items())
