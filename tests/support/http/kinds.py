"""The table of clients: a library is added here, and every test of the suite runs with it."""

from support.http.clients import Kind
from support.libraries import MISSING

KINDS: list[Kind] = []

if "httpx" not in MISSING:
    from support.http import httpx_kinds

    KINDS += httpx_kinds.kinds_of("httpx")
    KINDS += httpx_kinds.kinds_of("httpx2")

if "requests" not in MISSING:
    from support.http import requests_kind, urllib3_kind

    KINDS += [requests_kind.KIND, urllib3_kind.KIND]

if "aiohttp" not in MISSING:
    from support.http import aiohttp_kind

    KINDS += [aiohttp_kind.KIND]
