"""Flask."""

from __future__ import annotations

from typing import Any

from flask import Flask

from breaker import Provider
from breaker.integrations.flask import install
from support.web.servers import wsgiref_server
from support.web.sites import Framework, Views


def flask_app(views: Views) -> Flask:
    app = Flask("shop")

    @app.route("/<name>")
    def view(name: str) -> Any:
        return views[name]()

    return app


def built(views: Views, provider: Provider, **options: Any) -> Flask:
    return install(flask_app(views), provider, **options)


def handling(views: Views, provider: Provider, kind: type[Exception]) -> Flask:
    app = install(flask_app(views), provider)
    app.register_error_handler(kind, lambda error: (type(error).__name__, 418))
    return app


KIND = Framework("flask", built, wsgiref_server, handling=handling, too_late=503)
