"""A replay as a picture, drawn by matplotlib."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from breaker.replay import Call, Candidate, draw, replay

SECOND = 1_000_000_000
CALLS = [Call(at * SECOND, "http:a", 0, "failure" if 10 <= at < 20 else "success") for at in range(30)]
RESULTS = replay(CALLS, [Candidate("streak.json", {"default": b'{"failureThreshold": 3}'}), Candidate("as it is", {})])


def test_a_picture_in_svg_names_policies_states_and_outcomes(tmp_path: Path) -> None:
    draw(tmp_path / "it.svg", CALLS, RESULTS, "http:a")
    text = " ".join(ElementTree.parse(tmp_path / "it.svg").getroot().itertext())
    for word in ("http:a", "streak.json", "as it is", "OPEN", "HALF_OPEN", "CLOSED", "success", "failure"):
        assert word in text
    first = (tmp_path / "it.svg").read_bytes()
    draw(tmp_path / "it.svg", CALLS, RESULTS, "http:a")
    assert (tmp_path / "it.svg").read_bytes() == first  # the same every time, so that it may be committed


def test_a_picture_in_png(tmp_path: Path) -> None:
    draw(tmp_path / "it.PNG", CALLS, RESULTS, "http:a")
    assert (tmp_path / "it.PNG").read_bytes().startswith(b"\x89PNG")


def test_calls_of_one_moment_have_a_picture(tmp_path: Path) -> None:
    calls = CALLS[:1]
    draw(tmp_path / "it.svg", calls, replay(calls, [Candidate("a", {})]), "http:a")
    assert (tmp_path / "it.svg").exists()


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.svg or \.png, got"):
        draw(tmp_path / "it.jpg", CALLS, RESULTS, "http:a")
    with pytest.raises(ValueError, match="no call of 'http:b' was recorded"):
        draw(tmp_path / "it.svg", CALLS, RESULTS, "http:b")


def test_without_matplotlib_the_error_names_the_extra() -> None:
    program = (
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from breaker.replay import Call, draw\n"
        "try:\n"
        "    draw('it.svg', [Call(0, 'a', 0, 'success')], [], 'a')\n"
        "except ImportError as error:\n"
        "    assert \"pip install 'cybreaker[plot]'\" in str(error), error\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
