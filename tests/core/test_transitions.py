"""The table of transitions: the core makes each of them, for each of its reasons, and no other."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from breaker import Breaker, Policy, Provider, State, states
from breaker.events import Reason
from breaker.sources import MemorySource
from breaker.states import TRANSITIONS
from breaker.testing import ManualClock
from support.drive import NAME, Put, drive_to, fail, succeed
from support.processes import run_python
from support.reading import transitions

ROOT = Path(__file__).parents[2]

# A program whose table lacks CLOSED → OPEN, and which then fails often enough for it.
WITHOUT_TRIPPING = f"""
import importlib.util, sys, types
spec = importlib.util.spec_from_file_location("breaker.states", {states.__file__!r})
states = importlib.util.module_from_spec(spec)
spec.loader.exec_module(states)
rest = {{moves: reasons for moves, reasons in states.TRANSITIONS.items() if "tripped" not in reasons}}
states.TRANSITIONS = types.MappingProxyType(rest)
sys.modules["breaker.states"] = states
import breaker
assert breaker.State is states.State
b = breaker.Provider(breaker.get_default_config("a", "b"), default_policy=breaker.Policy(1)).get_breaker("x")
print("made", flush=True)
try:
    b.do(int, "no number")
except ValueError:
    print(b.state, b.snapshot().failures)
"""


def test_events_tell_the_reasons_of_the_table_and_no_others() -> None:
    assert set(get_args(Reason)) == {reason for reasons in TRANSITIONS.values() for reason in reasons}


@pytest.fixture
def breaker(provider_of: Callable[..., Provider], source: MemorySource, events: list[Any]) -> Breaker:
    return provider_of(Policy(1, 2, 60), policy_source=source).get_breaker(NAME)


def test_each_transition_happens_for_each_of_its_reasons(
    breaker: Breaker, put: Put, clock: ManualClock, events: list[Any]
) -> None:
    # S11
    fail(breaker)
    breaker.reset()
    for end in (fail, Breaker.reset, lambda probed: succeed(probed, 2)):
        drive_to(breaker, clock, State.HALF_OPEN)
        end(breaker)
    drive_to(breaker, clock, State.HALF_OPEN)
    while breaker.state is State.HALF_OPEN:
        breaker.acquire().ignore()
    drive_to(breaker, clock, State.HALF_OPEN)
    succeed(breaker)
    put(successThreshold=1)
    put(failureThreshold=None, failureRateThreshold=0.5, minimumCalls=1)
    fail(breaker)
    breaker.reset()
    put(slowCallRateThreshold=0.5, slowCallDuration="1s", minimumCalls=1)
    breaker.do(clock.advance, 1)
    breaker.reset()
    heard = {((before, after), reason) for before, after, reason in transitions(events)}
    legal = {(pair, reason) for pair, reasons in TRANSITIONS.items() for reason in reasons if pair[0] is not pair[1]}
    assert heard == legal


def test_a_transition_that_the_table_lacks_does_not_happen() -> None:
    # S11
    assert run_python(WITHOUT_TRIPPING).split() == ["made", "CLOSED", "1"]


@pytest.mark.timeout(200)
def test_a_transition_that_the_table_lacks_ends_a_debug_compile(tmp_path: Path) -> None:
    # S11
    tree, site = tmp_path / "tree", tmp_path / "site"
    ignored = shutil.ignore_patterns("*.so", "_core.c", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", tree / "src", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    built = subprocess.run(
        [*install, "--target", str(site), str(tree)],
        env={**os.environ, "BREAKER_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    program = f"import sys; sys.path.insert(0, {str(site)!r})\n{WITHOUT_TRIPPING}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (-6, "made\n")
    assert (
        "Fatal Python error: bk_illegal_transition: breaker: illegal transition, state 0 to 1 for reason 0"
        in ended.stderr
    )


def test_a_core_with_another_order_of_modes_does_not_load() -> None:
    """A policy hands over the number of its mode: were two of them exchanged, `disabled` would force a breaker open."""
    program = """
import importlib.util, pathlib, sys, types
folder = importlib.util.find_spec("breaker").submodule_search_locations[0]
text = pathlib.Path(folder, "states.py").read_text()
lines = ['    FORCED_OPEN = "forced_open"\\n', '    DISABLED = "disabled"\\n']
assert "".join(lines) in text
states = types.ModuleType("breaker.states")
sys.modules["breaker.states"] = states
exec(text.replace("".join(lines), "".join(reversed(lines))), vars(states))
try:
    import breaker
except ImportError as error:
    print(error)
"""
    said = "breaker.states has other states or modes than the core, or another order of them\n"
    assert run_python(program) == said
