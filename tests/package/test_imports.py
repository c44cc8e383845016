"""The map of docs/architecture.md is the tree, and imports go the ways that it allows."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/breaker"
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
SUFFIXES = {".py", ".pyi", ".pyx", ".pxi", ".h", ".typed", ".json", ".html", ".css", ".js"}


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


def module_of(file: str) -> str:
    """The module that a file is, or is included into."""
    if not file.endswith(".py"):
        return "breaker._core"
    return f"breaker.{file[:-3].replace('/', '.')}".removesuffix(".__init__")


FILE_OF = {module_of(file): file for file in files_of_the_tree() if file.endswith(".py")} | {
    "breaker._core": "_core.pyx"
}


def imports_of(file: Path, module: str) -> set[str]:
    """Every module of ours that a file imports anywhere: at the top, in a function, for types alone."""
    text = file.read_text(encoding="utf-8")
    if file.suffix in (".pyx", ".pxi"):  # Cython: as text
        found = re.findall(r"^\s*(?:from (breaker[\w.]*) c?import ([^#\n]+)|c?import (breaker[\w.]*))", text, re.M)
        pairs = [(origin or plain, [name.split()[0] for name in names.split(",")]) for origin, names, plain in found]
    else:
        pairs = []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: relative imports are not used here"
                pairs.append((node.module or "", [alias.name for alias in node.names]))
            elif isinstance(node, ast.Import):
                pairs += [(alias.name, []) for alias in node.names]
    ours: set[str] = set()
    for origin, names in pairs:
        if origin.partition(".")[0] == "breaker":
            inside = {f"{origin}.{name}" for name in names if f"{origin}.{name}" in FILE_OF}
            ours |= inside or {origin}
            if origin == "breaker" or (inside and len(inside) < len(names)):
                ours.add(origin)  # `from breaker import logs` asks the front door for a module
    return ours - {module}


def graph() -> dict[str, set[str]]:
    """Module → modules of ours that it imports."""
    edges: dict[str, set[str]] = {}
    for file in sorted(files_of_the_tree()):
        if file.endswith((".py", ".pyx", ".pxi")):
            edges.setdefault(module_of(file), set()).update(imports_of(PACKAGE / file, module_of(file)))
    return edges


def test_each_file_has_its_line_and_each_line_its_file() -> None:
    files = files_of_the_tree() - {"_core.c"}
    assert sorted(files - LAYER_OF.keys()) == [], "give each of them a line in its layer of docs/architecture.md"
    assert sorted(LAYER_OF.keys() - files) == [], "docs/architecture.md has lines of files that are gone"


def test_modules_import_what_their_layer_may() -> None:
    wrong = []
    for module, imported in graph().items():
        layer = LAYER_OF.get(FILE_OF[module])
        for other in sorted(imported):
            theirs = LAYER_OF.get(FILE_OF[other])
            if layer and theirs and theirs not in ALLOWED[layer]:
                wrong.append(f"{module} ({layer}) imports {other} ({theirs})")
    assert wrong == []


def test_nothing_inside_comes_through_the_front_door() -> None:
    edges = graph().items()
    assert sorted(module for module, imported in edges if "breaker" in imported) == [], (
        "import from where it is defined"
    )


def test_modules_form_no_circle() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))
