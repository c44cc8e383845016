"""Fixtures for metrics: registries of their own, scraped over HTTP."""

from collections.abc import Callable, Iterator

import pytest

from support.libraries import MISSING

if "metrics" in MISSING:
    collect_ignore_glob = ["*"]
else:
    from prometheus_client import CollectorRegistry

    from support.scraping import Scrape, served

    @pytest.fixture
    def registry() -> CollectorRegistry:
        return CollectorRegistry(auto_describe=True)

    @pytest.fixture
    def scrape(registry: CollectorRegistry) -> Iterator[Callable[..., Scrape]]:
        """Scrape ``registry`` over HTTP."""
        with served(registry) as get:
            yield get
