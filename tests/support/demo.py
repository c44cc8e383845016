"""What a run of ``python -m breaker demo`` printed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

DOCUMENTS = "config/dev/demo/breakers"
INVENTORY = "http:inventory-api"
PRICING = "http:pricing-api"
CHANGED = "circuit breaker state changed"
UPDATED = "circuit breaker policy updated"


@dataclass(frozen=True)
class Output:
    """What a run printed: its JSON log lines, and the text that comes after them."""

    log: list[dict[str, Any]]
    table: str

    @classmethod
    def of(cls, text: str) -> Output:
        lines, separator, table = text.partition("\nResult:")
        return cls([json.loads(line) for line in lines.splitlines()], separator + table)

    def transitions(self, name: str) -> list[tuple[str, str]]:
        changes = [line for line in self.log if line["msg"] == CHANGED and line["name"] == name]
        return [(line["from"], line["to"]) for line in changes]

    def row(self, title: str) -> list[str]:
        """The cells of one row, in the order of the breakers."""
        row = re.search(rf"^ *{title}(?: \(.*\))?  +(.*)$", self.table, re.MULTILINE)
        assert row is not None, f"no row {title!r} in\n{self.table}"
        return re.split(r"  +", row[1])

    def numbers(self, title: str) -> list[float]:
        return [float(cell.split()[0]) for cell in self.row(title)]
