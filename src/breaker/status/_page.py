"""The page: one file, made of the files in ``page/``, that asks nobody but the server it is from."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from breaker.status._requests import Answer

_SCRIPTS = ("text.js", "rows.js", "page.js")  # one script, in this order


@cache
def resource(name: str) -> bytes:
    """A file of the package."""
    return files("breaker.status").joinpath(*name.split("/")).read_bytes()


@cache
def page() -> Answer:
    """The page. Its policy lets nothing run but the script that is in it, and no text be taken for markup."""
    style = resource("page/page.css").decode()
    script = "".join(resource(f"page/{name}").decode() for name in _SCRIPTS)
    html = resource("page/page.html").decode().replace("/*style*/", style).replace("/*script*/", script)
    policy = [
        "default-src 'none'",
        f"style-src {_hash(style)}",
        f"script-src {_hash(script)}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(policy),
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }
    return Answer(200, headers, html.encode())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
