"""A page that shows the breakers of a program while it runs, worst first. Internal: it shows errors, names, policies.

`asgi` and `wsgi` are applications for a server that is there, below any path; `serve` is a server of its own. All three
answer alike:

- ``GET /``: the page, one file that asks nobody but this server
- ``GET /breakers``: what it shows, as JSON; with ``?lines=1`` two minutes of calls per second for each breaker
- ``GET /breakers.schema.json``: the JSON Schema of that
- ``GET /events``: what happens, as server-sent events
- ``POST /actions``: override or reset a breaker, if the program has said who may

A program pays for none of it until somebody looks. docs/status.md says more.
"""

from __future__ import annotations

from breaker.status._asgi import asgi
from breaker.status._requests import Request
from breaker.status._server import StatusServer, serve
from breaker.status._wsgi import wsgi

__all__ = ["Request", "StatusServer", "asgi", "serve", "wsgi"]
