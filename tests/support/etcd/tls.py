"""Certificates for tests.

Made by the `openssl` command: it is on every machine that builds Python extensions against Debian's images, while the
`cryptography` package, which `trustme` needs, has no wheel for the free-threaded Python that the suite runs on too.
"""

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """Files of a certificate and its key."""

    cert: Path
    key: Path


class Tls:
    """An authority with what it issued: for a server at 127.0.0.1, for a client, and for one without a name."""

    def __init__(self, folder: Path, *, server_names: str = "IP:127.0.0.1,DNS:localhost") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.ca = folder / "ca.pem"
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"),
            *("-keyout", str(folder / "ca.key"), "-out", str(self.ca), "-subj", "/CN=tests"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),  # Python 3.13 demands it, and the key's identifier
        )
        self.server = self._issue("server", "/CN=etcd", server_names)
        # The gateway of a server with users refuses every request whose certificate has a CommonName.
        self.nameless = self._issue("nameless", "/O=tests", "DNS:client")

    def client(self, name: str) -> Pair:
        """A client's certificate with this CommonName."""
        return self._issue(f"client-{name}", f"/CN={name}", f"DNS:{name}")

    def _issue(self, file: str, subject: str, names: str) -> Pair:
        pair = Pair(self._folder / f"{file}.pem", self._folder / f"{file}.key")
        request, extensions = self._folder / f"{file}.csr", self._folder / f"{file}.ext"
        extensions.write_text(
            f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\nauthorityKeyIdentifier=keyid\n"
        )
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject),
            *("-keyout", str(pair.key), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.ca), "-CAkey", str(self._folder / "ca.key")),
            *("-CAcreateserial", "-days", "30", "-extfile", str(extensions), "-out", str(pair.cert)),
        )
        return pair

    def server_valid(self, begin: str, end: str) -> Pair:
        """A server's certificate that is valid from ``begin`` to ``end``, both as in ``20200101000000Z``."""
        pair = self._issue("dated", "/CN=etcd", "IP:127.0.0.1,DNS:localhost")
        work = self._folder / f"{begin}-{end}"
        work.mkdir()
        (work / "index").touch()
        (work / "serial").write_text("01")
        (work / "config").write_text(
            f"[ca]\ndefault_ca=own\n[own]\ndatabase={work}/index\nserial={work}/serial\nnew_certs_dir={work}\n"
            "default_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n"
        )
        _openssl(
            *("ca", "-batch", "-config", str(work / "config"), "-startdate", begin, "-enddate", end),
            *("-cert", str(self.ca), "-keyfile", str(self._folder / "ca.key"), "-notext"),
            *("-in", str(self._folder / "dated.csr"), "-extfile", str(self._folder / "dated.ext")),
            *("-out", str(pair.cert)),
        )
        return pair

    def server_flags(self, *, client_auth: bool) -> tuple[str, ...]:
        own = ("--cert-file", str(self.server.cert), "--key-file", str(self.server.key))
        return (*own, "--client-cert-auth", "--trusted-ca-file", str(self.ca)) if client_auth else own

    def ctl_flags(self) -> tuple[str, ...]:
        return ("--cacert", str(self.ca), "--cert", str(self.nameless.cert), "--key", str(self.nameless.key))

    def context(self) -> ssl.SSLContext:
        """For the tests' own requests: whatever name the server has, by an authority that we know."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.check_hostname = False
        context.load_cert_chain(self.nameless.cert, self.nameless.key)
        return context


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
