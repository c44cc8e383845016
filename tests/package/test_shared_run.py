"""Two processes share a run of pytest (support/beside.py): the one that was called tells what both found."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CONFTEST = """
from pathlib import Path
from support import beside

def pytest_collection_finish(session):
    beside.set_up(session, Path(__file__).parent / "etcd")
"""
# The first file ends when the last one, which the other process takes, has ended as well.
FIRST = """
import os, time
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test_first(number): pass

def test_waits():
    until = time.monotonic() + 30
    while not os.path.exists("over") and time.monotonic() < until: time.sleep(0.01)

def test_fails(): assert "in the first" == "process"
"""
LAST = """
import os
import pytest
from pathlib import Path

@pytest.mark.parametrize("thing", [object(), object()], ids=repr)
def test_address_in_its_id(thing): pass
def test_last(capfd): Path("pid").write_text(str(os.getpid()))
def test_fails_too():
    print("printed by the last")
    assert "in the last" == "process"
"""
OVER = 'def teardown_module(): open("over", "w").close()\n'

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: nothing is shared")


def run(folder: Path, last: str, *arguments: str, tests: int = 200) -> tuple[int, str]:
    """A run of these files, in a process of its own: how it ended and what it said."""
    for name, text in {"conftest": CONFTEST, "test_a": FIRST.format(tests=tests), "test_b": last + OVER}.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {TESTS}\naddopts = -p no:hypothesispytest\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_last_line_is_the_sum_and_each_failure_has_its_traceback(tmp_path: Path) -> None:
    code, said = run(tmp_path, LAST)
    assert code == 1
    assert said.splitlines()[-1].startswith("2 failed, 204 passed in ")
    assert 'assert "in the first" == "process"' in said
    assert 'assert "in the last" == "process"' in said
    assert "printed by the last" in said
    assert (tmp_path / "pid").exists()


def test_a_crash_of_the_other_process_fails_its_test(tmp_path: Path) -> None:
    code, said = run(
        tmp_path, LAST + "def test_crashes():\n    teardown_module(); os.abort()\ndef test_after(): pass\n"
    )
    assert code == 1
    assert "the process of this test ended with -6" in said
    assert "Fatal Python error: Aborted" in said
    assert re.search("4 failed, 204 passed in ", said.splitlines()[-1]), said


def test_an_error_after_the_last_test_of_the_other_process_is_a_failure(tmp_path: Path) -> None:
    at_the_end = "import atexit\ndef test_registers(): atexit.register(os._exit, 3)\n"
    code, said = run(tmp_path, "import os\n" + at_the_end, "-k", "not fails")
    assert code == 1
    assert "the process of this test ended with 3" in said


def test_few_tests_are_not_shared(tmp_path: Path) -> None:
    same = 'import os\nfrom pathlib import Path\ndef test_pid(): Path("parent").write_text(str(os.getppid()))\n'
    code, said = run(tmp_path, same, "-k", "not fails and not waits", tests=20)
    assert code == 0, said
    assert int((tmp_path / "parent").read_text()) == os.getpid()


def test_a_run_that_ends_at_the_first_failure_is_not_shared(tmp_path: Path) -> None:
    code, said = run(tmp_path, LAST, "-x", "-k", "not waits")
    assert code == 1
    assert said.splitlines()[-1].startswith("1 failed, 200 passed")
    assert not (tmp_path / "pid").exists()
