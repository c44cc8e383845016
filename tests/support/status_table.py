"""The table of ``GET /breakers`` in docs/status.md, made of the schema.

``PYTHONPATH=tests python -m support.status_table`` writes it into the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.status import SCHEMA

PAGE = Path(__file__).parents[2] / "docs/status.md"
PLACE = re.compile(r"(?<=<!-- breakers: begin -->\n).*?(?=<!-- breakers: end -->)", re.DOTALL)


def table() -> str:
    """One row for each key, in the order of the schema."""
    rows = [f"| `{path}` | {kind} | {text} |\n" for path, kind, text in _rows("", SCHEMA)]
    return "| key | value | what it says |\n|---|---|---|\n" + "".join(rows)


def _rows(path: str, schema: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key, given in schema.get("properties", {}).items():
        place = f"{path}{key}"
        target = _target(given)
        kind = _kind(target)
        text = " ".join(dict.fromkeys(each["description"] for each in (given, target) if "description" in each))
        if target is not given and given.get("description") and target.get("type") in ("number", "integer"):
            text = given["description"]
        yield place, kind, text
        inner = target
        if target.get("type") == "array":
            inner, place = _target(target["items"]), f"{place}[]"
        if not place.startswith("breakers[].measures."):
            yield from _rows(f"{place}.", inner)


def _target(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found = SCHEMA["$defs"][reference.rpartition("/")[2]]
    assert isinstance(found, dict)
    return found


def _kind(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join("null" if each is None else f"`{each}`" for each in schema["enum"])
    if "anyOf" in schema:
        return ", ".join(_kind(_target(each)) for each in schema["anyOf"])
    kinds = schema.get("type", "any")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


if __name__ == "__main__":
    PAGE.write_text(PLACE.sub(lambda _: table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
