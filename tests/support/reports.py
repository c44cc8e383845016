"""Reports of tests that run in another process: it writes them as lines, and this run of pytest has them as its own."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import pytest

# What a process said of one phase of a test, or in words how it ended before it said everything.
Report: TypeAlias = dict[str, Any] | str
_write = os.write  # itself, also in a test that has put something else in its place


class Reporter:
    """In a process that is started for some tests: writes each report for the run that waits, while that one lives."""

    def __init__(self, config: pytest.Config, descriptor: int) -> None:
        self.config, self.descriptor, self.parent = config, descriptor, os.getppid()
        os.set_inheritable(descriptor, False)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if os.getppid() != self.parent:
            pytest.exit("nobody waits for these reports any more")
        self.write(self.config.hook.pytest_report_to_serializable(config=self.config, report=report))

    def write(self, data: Mapping[str, Any]) -> None:
        line = (json.dumps(data, default=str) + "\n").encode()
        while line:
            line = line[_write(self.descriptor, line) :]


def replay(item: pytest.Item, reports: Iterable[Report]) -> None:
    """Hand the reports of a test to this run of pytest, up to its last one."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for data in reports:
        if isinstance(data, str):
            report = failed(item, data)
        else:
            report = item.config.hook.pytest_report_from_serializable(config=item.config, data=data)
        item.ihook.pytest_runtest_logreport(report=report)
        if isinstance(data, str) or report.when == "teardown":
            break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def failed(item: pytest.Item, how: str) -> pytest.TestReport:
    """The report of a test whose process did not end as it should."""
    return pytest.TestReport(item.nodeid, item.location, {}, "failed", f"the process of this test {how}", "call")
