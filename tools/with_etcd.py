"""Run a command beside a real etcd: ``with_etcd.py COMMAND …``, where ``{endpoint}`` stands for the server's address.

The server is the one of the tests, on a free port of the loopback; it ends with the command.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.etcd.server import Server


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="breaker-etcd-") as folder, Server(Path(folder)) as server:
        print(f"etcd {server.binary.label} at {server.endpoint}", file=sys.stderr)
        command = [argument.replace("{endpoint}", server.endpoint) for argument in sys.argv[1:]]
        # Ctrl-C goes to the whole group: the command answers it, and the server is there until it has.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        child = subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        code = child.wait()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
