"""One MariaDB on the loopback, of a user who is not root, since it refuses that one."""

import shutil
import socket
import tempfile
import time
from pathlib import Path

from support.daemon import Daemon, spawn
from support.etcd.ports import HOST, free_ports
from support.servers.accounts import somebody
from support.servers.binaries import MARIADB

DATABASE = "shop"
USER = "app"
PASSWORD = "secret"
CONNECTIONS = 10  # the fewest that it takes as its limit
_MESSAGES = Path("/usr/share/mysql")
_START_LIMIT = 30.0  # seconds; 0.4 is usual
_TRIES = 5  # a port that was free may be taken by another process

# Debian's package of the server alone has no program that makes a new folder of data; this is what it would run.
_TABLES = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
_BEFORE = ("CREATE DATABASE mysql;", "USE mysql;", "SET @auth_root_socket = NULL;", "SET @skip_auth_anonymous = '';")
_AFTER = (
    "FLUSH PRIVILEGES;",
    f"CREATE DATABASE {DATABASE};",
    f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}';",
    f"GRANT ALL ON {DATABASE}.* TO {USER};",
)


class MariaDB(Daemon):
    """Its port and its data stay the same over restarts. Its log has each statement that it gets."""

    def __init__(self) -> None:
        assert MARIADB is not None
        self._binary = str(MARIADB.path)
        self._user = somebody("mysql")
        self.folder = Path(tempfile.mkdtemp(prefix="my"))  # where another user may go, and short: a socket is in it
        self.data, self.log, self.statements = self.folder / "data", self.folder / "log", self.folder / "statements"
        self.data.mkdir()
        if self._user is not None:
            for folder in (self.folder, self.data):
                shutil.chown(folder, self._user)
        self.port = free_ports(1)[0]
        tables = [(_MESSAGES / name).read_text() for name in _TABLES]
        made_by = self.folder / "new.sql"
        made_by.write_text("\n".join([*_BEFORE, *tables, *_AFTER, ""]))
        done = spawn(self._command("--bootstrap"), self.log, {"LC_ALL": "C"}, user=self._user, source=made_by)
        assert done.wait(60) == 0, self._said()

    def start(self) -> "MariaDB":
        """Start it on its data; returns when it takes connections."""
        for _ in range(_TRIES):
            served = (f"--port={self.port}", f"--bind-address={HOST}", f"--max-connections={CONNECTIONS}")
            logged = ("--general-log=1", f"--general-log-file={self.statements}")
            command = self._command(*served, *logged, "--skip-name-resolve", f"--pid-file={self.folder / 'pid'}")
            self._process = spawn(command, self.log, {"LC_ALL": "C"}, user=self._user)
            if self._ready():
                return self
            if "Can't start server: Bind on TCP/IP port" not in self._said():
                break
            self.port = free_ports(1)[0]
        raise AssertionError(f"MariaDB did not start:\n{self._said()[-3000:]}")

    def _command(self, *options: str) -> list[str]:
        settings = {
            "datadir": self.data,
            "lc-messages-dir": _MESSAGES,
            "socket": self.folder / "s",
            "innodb-data-file-path": "ibdata1:4M:autoextend",
            "innodb-log-file-size": "4M",
            "innodb-buffer-pool-size": "8M",
            "innodb-flush-method": "nosync",
            "innodb-fast-shutdown": "2",
        }
        return [self._binary, "--no-defaults", *(f"--{name}={value}" for name, value in settings.items()), *options]

    def _said(self) -> str:
        return self.log.read_text(errors="replace")

    def _ready(self) -> bool:
        deadline = time.monotonic() + _START_LIMIT
        while time.monotonic() < deadline and self._running().poll() is None:
            if "ready for connections" in self._said():
                socket.create_connection((HOST, self.port), timeout=5).close()
                return True
            time.sleep(0.01)
        return False

    def url(self, driver: str, *, password: str = PASSWORD, database: str = DATABASE) -> str:
        """What ``create_engine`` takes."""
        return f"mysql+{driver}://{USER}:{password}@{HOST}:{self.port}/{database}"

    @property
    def name(self) -> str:
        """The default name of its breaker."""
        return f"db:{HOST}:{self.port}/{DATABASE}"

    def seen(self, text: str) -> int:
        """How many of the lines of its log of statements hold this text."""
        return sum(text in line for line in self.statements.read_text(errors="replace").splitlines())

    def close(self) -> None:
        """For good."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
