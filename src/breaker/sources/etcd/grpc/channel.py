"""An `etcd3.Etcd3Client` with a channel as the loop needs it: limits, pings, certificates. And where a given one
speaks to. No I/O yet."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from breaker.errors import Refused
from breaker.sources.etcd.gateway.connection import tls_context
from breaker.sources.etcd.grpc.import_etcd3 import Library
from breaker.sources.etcd.transport import Access, Endpoint, Limits


def endpoint_of(library: Library, client: Any, access: Access) -> Endpoint:
    """Where a client of the program's speaks to. Raises `TypeError` or `ValueError` as `ClientTransport` says."""
    if not isinstance(client, library.etcd3.Etcd3Client):
        raise TypeError(f"client must be an etcd3.Etcd3Client, got {type(client).__name__}")
    host, _, port = str(client._url).rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"the given client's address is not host:port but {client._url!r}; pass its address instead")
    if client.uses_secure_channel and access.ca is None:
        raise ValueError(
            "the given client uses TLS and, as etcd3 clients do, has forgotten the certificates; "
            "pass ca= too (and cert= and key=, if it has them)"
        )
    return Endpoint(host.strip("[]"), int(port), bool(client.uses_secure_channel))


def make_client(library: Library, endpoint: Endpoint, access: Access, limits: Limits) -> Any:
    """Raises `Refused` for certificates that cannot be used."""
    kind = library.etcd3.Etcd3Client
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    files = {}
    if endpoint.tls:
        credentials = _credentials(library, endpoint, access)
        # It takes certificates by the names of files only, and TLS only with one for the authority.
        kind = type("Client", (kind,), {"_get_secure_creds": lambda *_: credentials})
        files = {"ca_cert": ""}
    return kind(host, endpoint.port, grpc_options=_options(access, limits), **files)


def _credentials(library: Library, endpoint: Endpoint, access: Access) -> Any:
    try:
        authorities = tls_context(access).get_ca_certs(binary_form=True)
        roots = "".join(map(ssl.DER_cert_to_PEM_cert, authorities)).encode()
        cert = Path(access.cert).read_bytes() if access.cert else None
        key = Path(access.key).read_bytes() if access.key else cert
    except OSError as error:
        raise Refused(f"cannot connect to etcd at {endpoint}: {error}; check ca=, cert= and key=") from error
    return library.grpc.ssl_channel_credentials(roots or None, key, cert)


def _options(access: Access, limits: Limits) -> list[tuple[str, int | str]]:
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", limits.answer),
        (
            "grpc.compression_enabled_algorithms_bitset",
            1,
        ),  # none: the limit above is of what comes, not of what it holds
        # A peer that is gone is noticed in 15 s. etcd ends connections that ask more often than every 5 s.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.ping_timeout_ms", 5_000),  # without this one 68 s, whatever the one above says
        ("grpc.http2.max_pings_without_data", 0),
        # The limit of an attempt to connect, which outlives its channel: by default that could not be closed for 20 s.
        ("grpc.min_reconnect_backoff_ms", round(limits.connect * 1000)),
        ("grpc.use_local_subchannel_pool", 1),  # or a new channel takes over the dead connection of the last one
        ("grpc.enable_http_proxy", 0),  # as over the gateway: etcd is inside
    ]
    if access.server_name is not None:
        options.append(("grpc.ssl_target_name_override", access.server_name))
    return options
