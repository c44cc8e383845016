"""The site: the Markdown files of the repository as they are, and the API from docstrings (`make docs`).

The source folder is the repository, not `docs/`, so that a link from one file to another is the same on the site and
where the repository is browsed.
"""

from importlib import import_module
from typing import Any

from docutils import nodes
from pygments.lexers.data import JsonLexer
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.highlighting import lexers
from sphinx.util import logging

import breaker

project = "breaker"
author = "the authors of breaker"
version = release = breaker.__version__
language = "en-GB"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "examples/*/README.md", "benchmarks/README.md", "benchmarks/results/*.md"]
exclude_patterns = [".*", "build", "dist", "benchmarks/.venv-peers", "docs/_build"]
templates_path = ["_templates"]
html_additional_pages = {"index": "redirect.html"}  # the first page is docs/index.html, as in the repository
lexers["jsonl"] = JsonLexer()

# A name in single backticks in a docstring has to be one that the reference knows.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    # Other projects' names; their sites are not asked, so that the build needs no network.
    ("py:.*", r"(asyncio|collections|datetime|grpc|inspect|logging|os|structlog|typing)\..*"),
    ("py:.*", r"(django|fastapi|flask|starlette)\..*"),
    ("py:.*", r"(aiohttp|httpx|httpx2|redis|requests|sqlalchemy|urllib3)\..*"),
    ("py:.*", r"(opentelemetry|prometheus_client)\..*"),
    # Names of types in annotations: aliases, and what is imported for checkers only.
    (
        "py:class",
        r"(Choice|Count|Document|Event|ExceptionTypes|Given|Listener|Number|OptionalTime|Ratio|Recent|Revision"
        r"|SwitchedCount|SwitchedTime|Time|datetime|timedelta)",
    ),
    ("py:class", r"breaker\.integrations\.\w+\._(App|Client|Engine|Manager|Session)"),  # what protect gives back
    ("py:(class|exc)", r"(ImproperlyConfigured|WSGIApplication)"),  # of Django and of PEP 3333
    ("py:class", r"breaker\.status\._\w+\.\w+"),  # what asgi and wsgi give back
    ("py:class", "RetryBaseT|WaitBaseT"),  # of tenacity, imported for checkers only
    ("py:class", "ExecutionContext"),  # of SQLAlchemy, in the fields of a tuple
    ("py:obj", "timedelta"),
]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_inherit_docstrings = False  # what another library says of its methods refers to its own pages
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Thread safety"]

html_theme = "furo"
html_title = f"breaker {release}"
html_show_sourcelink = False
html_show_copyright = False

PUBLIC = (
    "breaker",
    "breaker.errors",
    "breaker.integrations.aiohttp",
    "breaker.integrations.asgi",
    "breaker.integrations.django",
    "breaker.integrations.fastapi",
    "breaker.integrations.flask",
    "breaker.integrations.grpc",
    "breaker.integrations.httpx",
    "breaker.integrations.redis",
    "breaker.integrations.requests",
    "breaker.integrations.sqlalchemy",
    "breaker.integrations.starlette",
    "breaker.integrations.urllib3",
    "breaker.integrations.wsgi",
    "breaker.policies",
    "breaker.sources",
)


def _by_its_last_part(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.reference | None:
    """A name as a docstring has it, `PolicyError` or `Provider.subscribe`, if only one documented thing ends so."""
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    found: list[tuple[str, Any]] = domain.find_obj(env, "", "", node["reftarget"], None, 1)
    places = {(entry.docname, entry.node_id) for _, entry in found if not entry.aliased}
    if len(places) != 1:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found[0][0], node, contnode)


def _no_type_before_a_colon(_: Sphinx, what: str, __: str, ___: object, ____: object, lines: list[str]) -> None:
    """Napoleon takes what stands before a colon in the first line for a type; ours have none there."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # an empty comment


def _nothing_public_is_missing(_: Sphinx, env: BuildEnvironment) -> None:
    documented = {name.rpartition(".")[2] for name in env.domains.python_domain.objects}
    for module in PUBLIC:
        for name in sorted(set(import_module(module).__all__) - documented):
            logging.getLogger(__name__).warning("%s.%s is public and not in docs/api.md", module, name)


def setup(app: Sphinx) -> None:
    app.connect("env-check-consistency", _nothing_public_is_missing)
    app.connect("autodoc-process-docstring", _no_type_before_a_colon, priority=100)  # before Napoleon
    app.connect("missing-reference", _by_its_last_part)
