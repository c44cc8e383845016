"""Fixtures for the suite of applications and servers."""

import pytest

from support.web.kinds import KINDS
from support.web.sites import Framework, Kind


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of application."""
    found: Kind = request.param
    return found


@pytest.fixture(params=[kind for kind in KINDS if isinstance(kind, Framework)], ids=lambda kind: kind.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    """Each kind of application that has handlers of its own."""
    found: Framework = request.param
    return found
