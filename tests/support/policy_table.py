"""The table of a policy's fields, as the documentation shows it. ``python -m support.policy_table`` writes it there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from breaker import Policy
from breaker.policies.fields import Field, OptionalTime

ROOT = Path(__file__).parents[2]
PLACE = re.compile(r"(?<=<!-- policy fields: begin -->\n).*?(?=<!-- policy fields: end -->)", re.DOTALL)


def table(fields: Mapping[str, Field[Any, Any]]) -> str:
    """One line per field: key, values, default, meaning."""
    lines = ["| key | values | default | meaning |", "|---|---|---|---|"]
    lines += (f"| `{field.key}` | {field.values} | {_default(field)} | {field.means} |" for field in fields.values())
    return "\n".join(lines) + "\n"


def _default(field: Field[Any, Any]) -> str:
    if isinstance(field, OptionalTime) and not field.nullable:
        return field.unset
    written = field.write_json(field.read(field.name, field.default))
    if written is None:
        return "`null`: " + field.off
    return f"{written:g}" if isinstance(written, int | float) else f"`{json.dumps(written)}`"


def pages() -> Iterator[Path]:
    """The pages that have a place for the table."""
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]):
        if PLACE.search(page.read_text(encoding="utf-8")):
            yield page


if __name__ == "__main__":
    for page in pages():
        text = page.read_text(encoding="utf-8")
        page.write_text(PLACE.sub(lambda _: table(Policy.fields), text), encoding="utf-8")
