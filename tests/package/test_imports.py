"""The map of docs/architecture.md is the tree."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/breaker"
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
SUFFIXES = {".py", ".pyi", ".pyx", ".pxi", ".h", ".typed", ".html"}


def read_layers() -> tuple[dict[str, str], dict[str, set[str]]]:
    """The map: file → layer, and layer → layers that it may import from (its own among them)."""
    layer_of: dict[str, str] = {}
    allowed: dict[str, set[str]] = {}
    for section in re.split(r"^### \d+\. ", PAGE.partition("\n## Six seams")[0], flags=re.MULTILINE)[1:]:
        layer = section.splitlines()[0].strip()
        named = re.search(r"May import:\s+([^.]+)\.", section)
        assert named is not None, f"layer {layer!r} does not say what it may import"
        below = set(re.split(r",\s+", named[1])) - {"nothing"}
        assert below <= allowed.keys(), f"layer {layer!r} may only name layers above it on the page"
        allowed[layer] = {layer, *below}
        for file in re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE):
            assert file not in layer_of, f"{file} has two lines in docs/architecture.md"
            layer_of[file] = layer
    return layer_of, allowed


LAYER_OF, ALLOWED = read_layers()


def files_of_the_tree() -> set[str]:
    files = (file for file in PACKAGE.rglob("*") if file.suffix in SUFFIXES and "__pycache__" not in file.parts)
    return {file.relative_to(PACKAGE).as_posix() for file in files}


def test_each_file_has_its_line_and_each_line_its_file() -> None:
    files = files_of_the_tree() - {"_core.c"}
    assert sorted(files - LAYER_OF.keys()) == [], "give each of them a line in its layer of docs/architecture.md"
    assert sorted(LAYER_OF.keys() - files) == [], "docs/architecture.md has lines of files that are gone"
