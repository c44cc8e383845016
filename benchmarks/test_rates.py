"""The section ``rates`` measures what it says: every path under every policy, with breakers that stay closed."""

from benchmarks.rates import NONE, PATHS, POLICIES, rate_rows


def test_each_path_is_measured_under_each_policy() -> None:
    rows = list(rate_rows(1))
    expected = [f"{path}, {policy}" for path in PATHS for policy in POLICIES if policy != NONE]
    assert [row.path for row in rows] == [*expected, "copying a ring of 1,000,000"]
    assert all(row.measured > 0 and (row.floor or 0) > 0 for row in rows[:-1])
