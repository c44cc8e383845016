"""`__all__` of each public module is what is public in it: no name is missing, none is there by accident."""

import ast
import importlib
import inspect
from types import ModuleType

import pytest

import breaker
from support.libraries import lacks_its_library

DOORS = [  # names of other modules
    "breaker",
    "breaker.policies",
    "breaker.sources",
    "breaker.status",
    "breaker.integrations.grpc",
]
MAKERS = [  # names of their own
    "breaker.config",
    "breaker.errors",
    "breaker.events",
    "breaker.integrations.aiohttp",
    "breaker.integrations.boto3",
    "breaker.integrations.celery",
    "breaker.integrations.asgi",
    "breaker.integrations.django",
    "breaker.integrations.fastapi",
    "breaker.integrations.flask",
    "breaker.integrations.httpx",
    "breaker.integrations.httpx2",
    "breaker.integrations.redis",
    "breaker.integrations.requests",
    "breaker.integrations.sqlalchemy",
    "breaker.integrations.starlette",
    "breaker.integrations.stamina",
    "breaker.integrations.tenacity",
    "breaker.integrations.urllib3",
    "breaker.integrations.wsgi",
    "breaker.logs",
    "breaker.metrics.opentelemetry",
    "breaker.metrics.prometheus",
    "breaker.policies.origin",
    "breaker.policies.policy",
    "breaker.provider",
    "breaker.snapshot",
    "breaker.states",
    "breaker.testing",
]
HTTP = ("aiohttp", "httpx", "httpx2", "requests", "urllib3")
MADE_ELSEWHERE = {
    "breaker.errors": {"BreakerError", "BreakerOpenError"},  # in C, and shown in the tree of errors
    "breaker.integrations.redis": {"RedisCall"},
    "breaker.integrations.sqlalchemy": {"FAILURE_SQLSTATES", "DatabaseCall"},
    "breaker.metrics.opentelemetry": {"Registration"},  # of both
    "breaker.metrics.prometheus": {"Registration", "exposition", "make_asgi_app", "make_wsgi_app"},
    "breaker.integrations.boto3": {"FAILURE_CODES", "FAILURE_STATUSES"},
    # the same for all HTTP clients
    **{f"breaker.integrations.{client}": {"FAILURE_STATUSES"} for client in HTTP},
}


def present(names: list[str]) -> list[str]:
    return [name for name in names if not lacks_its_library([*name.split(".")[1:], ""])]


def made_in(module: ModuleType) -> set[str]:
    """What is defined at the top of a module, by its source; imports are not."""
    made: set[str] = set()
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            made.add(node.name)
        elif isinstance(node, ast.Assign):
            made |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            made.add(node.target.id)
    return {name for name in made if not name.startswith("_")} - {"TYPE_CHECKING"}


@pytest.mark.parametrize("name", present(MAKERS))
def test_a_module_exports_what_it_makes(name: str) -> None:
    module = importlib.import_module(name)
    assert set(module.__all__) == made_in(module) | MADE_ELSEWHERE.get(name, set())
    assert all(getattr(module, public) is not None for public in module.__all__)


@pytest.mark.parametrize("name", present(DOORS))
def test_a_package_shows_what_it_exports(name: str) -> None:
    module = importlib.import_module(name)
    every = {public: getattr(module, public) for public in module.__all__}  # also what is loaded at its first use
    shown = {public for public in dir(module) if not public.startswith("_")} - {"annotations", "TYPE_CHECKING"}
    rooms = {public for public in shown - every.keys() if isinstance(getattr(module, public), ModuleType)}
    assert shown - rooms == every.keys() | made_in(module)
    assert made_in(module) <= every.keys()


@pytest.mark.parametrize("module", [breaker, breaker.sources], ids=lambda module: module.__name__)
def test_completion_shows_the_public_names_alone(module: ModuleType) -> None:
    assert [name for name in dir(module) if not name.startswith("_")] == sorted(module.__all__)
    assert {"__name__", "__doc__", "__all__"} <= set(dir(module))
