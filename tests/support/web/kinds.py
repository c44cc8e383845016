"""The table of applications: a framework is added here, and every test of the suite runs with it."""

from support.libraries import MISSING
from support.web import plain_kinds
from support.web.sites import Kind

KINDS: list[Kind] = [plain_kinds.WSGI]

if "uvicorn" not in MISSING:
    KINDS += [plain_kinds.ASGI]

if not MISSING & {"fastapi", "uvicorn"}:
    from support.web import starlette_kinds

    KINDS += [starlette_kinds.STARLETTE, starlette_kinds.FASTAPI]

if "flask" not in MISSING:
    from support.web import flask_kind

    KINDS += [flask_kind.KIND]

if not MISSING & {"django", "uvicorn"}:
    from support.web import django_kinds

    KINDS += [django_kinds.WSGI, django_kinds.ASGI]
