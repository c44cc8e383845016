"""Side by side with other libraries, in one interleaved run, in an environment of their own.

``python -m benchmarks.peers`` makes the environment (``benchmarks/.venv-peers``), installs the peers from the
package index and this project from the checkout, and runs ``peer_table`` there with the arguments given here.
"""

import hashlib
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / "benchmarks" / ".venv-peers"
DISTRIBUTIONS = ("pybreaker", "circuitbreaker", "aiobreaker", "purgatory", "interlock-cb", "pyresilience")


def _sources() -> Iterator[Path]:
    yield ROOT / "pyproject.toml"
    yield ROOT / "setup.py"
    for pattern in ("*.py", "*.pyx", "*.pxi", "*.pxd", "*.h"):
        yield from sorted((ROOT / "src").rglob(pattern))


def _source_key() -> str:
    """Changes with anything that an installation of this project depends on."""
    digest = hashlib.sha256(sys.version.encode())
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def prepare() -> Path:
    """The environment's interpreter. Peers are installed once, this project whenever its source changed."""
    python = ENVIRONMENT / "bin" / "python"
    installed = ENVIRONMENT / "installed"
    key = _source_key()
    if installed.exists() and installed.read_text() == key:
        return python
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if not installed.exists():
        print("making an environment for the peers …", flush=True)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        (ENVIRONMENT / ".gitignore").write_text("*\n")
        subprocess.run([*pip, *DISTRIBUTIONS], check=True)
    # Its version stays the same while its source changes, so an installed one must be forced out.
    subprocess.run([*pip, str(ROOT)], check=True)
    subprocess.run([*pip, "--force-reinstall", "--no-deps", str(ROOT)], check=True)
    installed.write_text(key)
    return python


def main() -> int:
    command = [str(prepare()), "-m", "benchmarks.peer_table", *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
