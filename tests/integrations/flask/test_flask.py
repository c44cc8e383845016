"""Flask: blueprints, handlers, test and debug modes, what runs around a view."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from flask import Blueprint, Flask
from flask.sessions import SecureCookieSession, SessionInterface

from breaker import BreakerError, BreakerOpenError, Provider
from breaker.integrations.flask import install
from support.drive import Boom
from support.web.client import Seen, ask
from support.web.servers import wsgiref_server
from support.web.sites import refused

NAME = "http:internal.example"


@pytest.fixture
def app(provider: Provider) -> Flask:
    return with_views(Flask("shop"), provider)


def with_views(app: Flask, provider: Provider) -> Flask:
    @app.route("/shop")
    def shop() -> str:
        raise refused(provider, NAME)

    @app.route("/bug")
    def bug() -> str:
        raise Boom("a bug")

    @app.route("/group")
    def group() -> str:
        raise ExceptionGroup("both", [refused(provider, NAME), refused(provider, NAME)])

    @app.route("/mixed")
    def mixed() -> str:
        raise ExceptionGroup("both", [refused(provider, NAME), Boom("a bug")])

    return app


def seen_of(app: Flask, path: str = "/shop", method: str = "GET") -> Seen:
    with wsgiref_server(app) as address:
        return ask(address, path, method)


def teapot(error: Exception) -> Any:
    return type(error).__name__, 418


@pytest.mark.parametrize("setting", ["TESTING", "DEBUG", "PROPAGATE_EXCEPTIONS", "TRAP_HTTP_EXCEPTIONS", None])
def test_the_answer_is_the_same_in_every_mode(provider: Provider, app: Flask, setting: str | None) -> None:
    if setting is not None:
        app.config[setting] = True
    install(app, provider)
    seen = seen_of(app)
    assert (seen.status, seen.headers["retry-after"]) == (503, "60")
    assert app.test_client().get("/group").status_code == 503
    if setting in ("TESTING", "DEBUG", "PROPAGATE_EXCEPTIONS"):
        with pytest.raises(Boom):
            app.test_client().get("/bug")
        with pytest.raises(ExceptionGroup):
            app.test_client().get("/mixed")
    else:
        assert app.test_client().get("/bug").status_code == 500
        assert app.test_client().get("/mixed").status_code == 500


@pytest.mark.parametrize("kind", [BreakerOpenError, BreakerError])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_wins_whenever_it_was_registered(
    provider: Provider, app: Flask, kind: type[Exception], when: str
) -> None:
    if when == "before":
        app.register_error_handler(kind, teapot)
    install(app, provider)
    if when == "after":
        app.register_error_handler(kind, teapot)
    assert app.test_client().get("/shop").text == "BreakerOpenError"


def test_a_handler_that_is_a_coroutine_wins_too(provider: Provider, app: Flask) -> None:
    pytest.importorskip("asgiref")

    async def handler(error: Exception) -> Any:
        return "later", 418

    app.register_error_handler(BreakerError, handler)
    assert install(app, provider).test_client().get("/shop").text == "later"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_of_everything_does_not_get_rejections_but_all_else(
    provider: Provider, app: Flask, when: str
) -> None:
    if when == "before":
        app.register_error_handler(Exception, teapot)
    install(app, provider)
    if when == "after":
        app.register_error_handler(Exception, teapot)
    client = app.test_client()
    assert [client.get(path).status_code for path in ("/shop", "/group")] == [503, 503]
    assert [client.get(path).text for path in ("/bug", "/mixed", "/nowhere")] == ["Boom", "ExceptionGroup", "NotFound"]


def test_a_handler_of_groups_wins(provider: Provider, app: Flask) -> None:
    app.register_error_handler(ExceptionGroup, teapot)
    client = install(app, provider).test_client()
    assert [client.get(path).status_code for path in ("/group", "/mixed", "/shop")] == [418, 418, 503]


def test_blueprints_are_answered_and_their_handlers_win(provider: Provider, app: Flask) -> None:
    for name, handled in (("plain", None), ("own", BreakerOpenError), ("all", Exception)):
        blueprint = Blueprint(name, __name__, url_prefix=f"/{name}")
        blueprint.add_url_rule("/shop", "shop", view_func=app.view_functions["shop"])
        if handled is not None:
            blueprint.register_error_handler(handled, teapot)
        app.register_blueprint(blueprint)
    client = install(app, provider).test_client()
    found = {name: client.get(f"/{name}/shop").status_code for name in ("plain", "own", "all")}
    assert found == {"plain": 503, "own": 418, "all": 418}  # Flask asks a blueprint first, for every class


def test_what_runs_before_a_view_is_answered(provider: Provider, app: Flask) -> None:
    @app.before_request
    def login() -> None:
        raise refused(provider, NAME)

    assert seen_of(install(app, provider), "/nothing-here").status == 503


def test_an_asynchronous_view_is_answered(provider: Provider, app: Flask) -> None:
    pytest.importorskip("asgiref")

    @app.route("/later")
    async def later() -> str:
        raise refused(provider, NAME)

    assert seen_of(install(app, provider), "/later").status == 503


def test_functions_after_a_request_see_the_answer(provider: Provider, app: Flask) -> None:
    statuses: list[int] = []

    @app.after_request
    def note(response: flask.Response) -> flask.Response:
        statuses.append(response.status_code)
        response.headers["X-Request"] = "1"
        return response

    assert seen_of(install(app, provider)).headers["x-request"] == "1"
    assert statuses == [503]


class SessionsElsewhere(SessionInterface):
    """Sessions that are kept in a store whose breaker is open: ``fails`` is what asks it."""

    def __init__(self, fails: str, rejected: BreakerOpenError) -> None:
        self.fails, self.rejected = fails, rejected

    def open_session(self, app: Flask, request: flask.Request) -> SecureCookieSession:
        if self.fails == "open":
            raise self.rejected
        return SecureCookieSession()

    def save_session(self, app: Flask, session: Any, response: flask.Response) -> None:
        raise self.rejected


AROUND = ["after_request", "open", "save"]


def rejected_around(app: Flask, what: str, rejected: BreakerOpenError) -> Flask:
    app.add_url_rule("/fine", view_func=lambda: "fine")
    if what != "after_request":
        app.session_interface = SessionsElsewhere(what, rejected)
        return app

    @app.after_request
    def note(response: flask.Response) -> flask.Response:
        raise rejected

    return app


@pytest.mark.parametrize("mode", ["TESTING", None])
@pytest.mark.parametrize("what", AROUND)
def test_what_is_raised_around_a_view_is_answered(provider: Provider, app: Flask, what: str, mode: str | None) -> None:
    if mode is not None:
        app.config[mode] = True
    crashes: list[Exception] = []

    def crashed(sender: Flask, exception: Exception) -> None:
        crashes.append(exception)

    install(rejected_around(app, what, refused(provider, NAME)), provider)
    with flask.got_request_exception.connected_to(crashed, app):
        seen = seen_of(app, "/fine")
    assert (seen.status, seen.headers["retry-after"]) == (503, "60")
    assert crashes == []


@pytest.mark.parametrize("what", AROUND)
def test_what_is_raised_around_a_view_goes_to_a_handler(provider: Provider, app: Flask, what: str) -> None:
    app.register_error_handler(BreakerOpenError, teapot)
    install(rejected_around(app, what, refused(provider, NAME)), provider)
    answer = app.test_client().get("/fine")
    assert (answer.status_code, answer.text) == (418, "BreakerOpenError")


def test_a_handler_that_is_rejected_itself_is_answered(provider: Provider, app: Flask) -> None:
    @app.errorhandler(404)
    def ask_elsewhere(error: Exception) -> Any:
        raise refused(provider, NAME)

    assert seen_of(install(app, provider), "/nowhere").status == 503


def test_other_errors_around_a_view_stay_500(provider: Provider, app: Flask) -> None:
    @app.after_request
    def note(response: flask.Response) -> flask.Response:
        raise Boom("a bug")

    assert install(app, provider).test_client().get("/nowhere").status_code == 500


def test_a_rejection_is_no_crash_for_those_who_listen(provider: Provider, app: Flask) -> None:
    crashes: list[Exception] = []

    def crashed(sender: Flask, exception: Exception) -> None:
        crashes.append(exception)

    install(app, provider)
    with flask.got_request_exception.connected_to(crashed, app):
        assert app.test_client().get("/shop").status_code == 503
        assert app.test_client().get("/bug").status_code == 500
    assert [type(error) for error in crashes] == [Boom]


def test_install_gives_the_application_back_and_notes_the_provider(provider: Provider, app: Flask) -> None:
    assert install(app, provider) is app
    assert app.extensions["breaker"] is provider


def test_twice_is_once_too_often(provider: Provider, app: Flask) -> None:
    install(app, provider)
    with pytest.raises(ValueError, match="an application that has it already"):
        install(app, provider)


def test_an_application_that_runs_is_refused(provider: Provider, app: Flask) -> None:
    before = app.wsgi_app
    assert seen_of(app).status == 500
    with pytest.raises(AssertionError, match="can no longer be called"):
        install(app, provider)
    assert app.wsgi_app == before
    assert "breaker" not in app.extensions


def test_what_is_no_application_is_refused(provider: Provider, app: Flask) -> None:
    wrong: Any
    for wrong, got in ((Flask, "the class Flask"), (Blueprint("b", "b"), "Blueprint"), (app.wsgi_app, "method")):
        with pytest.raises(TypeError, match=rf"install takes an instance of flask\.Flask, got {got}"):
            install(wrong, provider)
