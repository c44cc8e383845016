"""The ConfigMap of docs/policies.md as a kubelet mounts it: links through ``..data``, which is swapped."""

import itertools
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from breaker import Provider, get_default_config
from breaker.events import PolicyUpdated
from breaker.sources import FileSource
from support.reading import of_type
from support.watching import LineLogger, eventually

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"


def of_the_page() -> tuple[dict[str, str], dict[str, str]]:
    """The data of the page's ConfigMap, and the path of each key."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    data = dict(re.findall(r"^  ([-\w.]+): '(\{.*\})'$", block, re.MULTILINE))
    items = dict(re.findall(r"- key: (\S+)\n +path: (\S+)$", block, re.MULTILINE))
    assert data.keys() == items.keys()
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in data)  # what the API server takes
    return data, items


class Volume:
    """A volume of a ConfigMap, written as kubelet's atomic writer does."""

    def __init__(self, root: Path, items: Mapping[str, str]) -> None:
        self.root, self.items = root, items
        self._numbers = itertools.count()

    def write(self, data: Mapping[str, str]) -> None:
        """Mount these documents, or swap them in for those that are mounted."""
        folder = self.root / f"..2026_11_26_{next(self._numbers)}"
        for key, document in data.items():
            file = folder / self.items[key]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(document)
        old = (self.root / "..data").resolve()
        beside = self.root / "..data_tmp"
        beside.symlink_to(folder.name)
        beside.replace(self.root / "..data")
        for top in {Path(path).parts[0] for path in self.items.values()}:
            if not (self.root / top).is_symlink():
                (self.root / top).symlink_to(Path("..data", top))
        if old != self.root / "..data":
            shutil.rmtree(old)


@pytest.fixture
def mounted(tmp_path: Path) -> Volume:
    data, items = of_the_page()
    volume = Volume(tmp_path, items)
    volume.write(data)
    return volume


@pytest.fixture
def lines() -> LineLogger:
    return LineLogger()


@pytest.fixture
def provider(mounted: Volume, lines: LineLogger) -> Iterator[Provider]:
    config = get_default_config("my-service", "production")
    with Provider(config, policy_source=FileSource(mounted.root, 0.002), logger=lines) as made:
        yield made


def test_the_documents_of_the_page_have_their_breakers(provider: Provider, lines: LineLogger) -> None:
    thresholds = {
        name: provider.get_breaker(name).policy.failure_threshold
        for name in ("http:payment-api", "/pkg.Users/Get", "other")
    }
    assert thresholds == {"http:payment-api": 3, "/pkg.Users/Get": 10, "other": 5}
    assert provider.get_breaker("other").policy.open_state_timeout == 30.0
    assert [line for line in lines.lines if line[0] != "debug" and "policy" in line[1]] == []


def test_swaps_are_obeyed_as_a_whole_and_lose_nothing(mounted: Volume, provider: Provider, lines: LineLogger) -> None:
    # S130
    heard: list[Any] = []
    breaker = provider.get_breaker("http:payment-api")
    provider.subscribe(heard.append)
    data, _ = of_the_page()
    for number in range(1, 31):
        mounted.write(data | {"payment-api": json.dumps({"failureThreshold": 1000 + number})})
        if number % 3:
            eventually(lambda wanted=1000 + number: breaker.policy.failure_threshold == wanted)
    eventually(lambda: breaker.policy.failure_threshold == 1030)
    seen = [event.new.failure_threshold or 0 for event in of_type(heard, PolicyUpdated)]
    assert seen == sorted(seen)  # never its default in between, and never an older one
    assert lines.of("circuit breaker policy source failed") == []
    assert lines.of("circuit breaker policy rejected") == []
