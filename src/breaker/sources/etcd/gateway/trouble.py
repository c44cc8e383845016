"""What the system's errors of a connection mean, and how to mend them."""

from __future__ import annotations

import socket
import ssl

from breaker.errors import Refused, Unreachable
from breaker.sources.etcd.gateway.http import NoHttp
from breaker.sources.etcd.transport import Endpoint

_EXPIRED, _NOT_YET_VALID = 10, 9  # X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID


class BadFile(OSError):
    """A file of certificates cannot be used; the text says which and why. `ssl` does not name it."""


def explain(error: BaseException, what: str, endpoint: Endpoint) -> Unreachable | Refused:
    """The one place that knows it. ``what``: was tried, the beginning of the text, as in "no answer from"."""
    place = f"{what} etcd at {endpoint}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refused(f"{place}: its certificate is not accepted ({error.verify_message}); {_certificate_hint(error)}")
    if isinstance(error, ConnectionResetError | ssl.SSLEOFError):
        hint = "if it speaks no TLS, write http://" if endpoint.tls else "if it wants TLS, write https://"
        return Unreachable(f"{place}: it closed the connection; {hint}")
    if isinstance(error, ssl.SSLError):
        return Refused(f"{place}: {_tls_trouble(error)}")
    if isinstance(error, socket.gaierror):
        return Unreachable(f"{place}: the host name is not known ({error.strerror}); check the endpoint")
    if isinstance(error, BadFile):
        return Refused(f"{place}: {error}; check ca=, cert= and key=")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{place}: no answer in time; check that it runs and that no firewall is between")
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"{place}: nothing listens there; check the endpoint, and that etcd runs")
    if isinstance(error, NoHttp):
        return Refused(f"{place}: what answers there does not speak HTTP; check the endpoint, http:// or https://")
    return Unreachable(f"{place}: {getattr(error, 'strerror', None) or str(error) or type(error).__name__}")


def _certificate_hint(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _EXPIRED:
        return "renew it; if it is not that old, set the clock of this machine"
    if error.verify_code == _NOT_YET_VALID:
        return "set the clocks of this machine and of the one that issued it, or renew it"
    return "pass ca= for the authority that signed it, server_name= where its name differs from the address"


def _tls_trouble(error: ssl.SSLError) -> str:
    reason = error.reason or str(error)
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return f"it speaks no TLS there ({reason}); check the port, or write http://"
    if "EXPIRED" in reason.upper():
        return f"it does not accept our certificate ({reason}); renew it, and look at the clocks of both machines"
    if "CERTIFICATE" in reason.upper() or "ALERT" in reason.upper():
        return f"it does not accept our certificate ({reason}); pass cert= and key= of a client it knows"
    return f"TLS fails ({reason}); check ca=, cert= and key="
