"""The documentation's table of fields is made of the rows."""

from breaker import Policy
from support.policy_table import PLACE, pages, table


def test_the_pages_have_the_table_of_the_rows() -> None:
    shown = [found for page in pages() for found in PLACE.findall(page.read_text(encoding="utf-8"))]
    assert shown == [table(Policy.fields)], (
        "one page has it; `PYTHONPATH=tests python -m support.policy_table` writes it"
    )
