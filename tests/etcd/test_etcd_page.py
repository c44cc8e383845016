"""docs/etcd.md is true: its commands and programs are run in order against a real etcd, as they stand there."""

import contextlib
import io
import os
import subprocess
from pathlib import Path

from support.etcd.binaries import ETCDCTL
from support.etcd.server import Server
from support.libraries import MISSING
from support.words import blocks, program

PAGE = Path(__file__).parents[2] / "docs" / "etcd.md"
ENDPOINT = "127.0.0.1:2379"  # as the page has it


def shell(text: str, endpoint: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
    environment |= {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": endpoint}
    environment["PATH"] = f"{ETCDCTL.parent}{os.pathsep}{environment['PATH']}"
    command = ["sh", "-eu", "-c", text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_and_programs_run_in_order(tmp_path: Path) -> None:
    parts = [block for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language in ("sh", "python")]
    assert [part.language for part in parts] == ["python", "sh", "sh", "python", "sh", "python", "python"]
    if "grpc" in MISSING:
        del parts[-1]  # its client
    names: dict[str, object] = {}
    said = []
    with Server(tmp_path) as etcd:
        for part in parts:
            if part.language == "sh":
                said.append(shell("\n".join(part.lines), etcd.endpoint))
                continue
            with contextlib.redirect_stdout(io.StringIO()) as output:
                text = program([part]).replace(ENDPOINT, etcd.endpoint).replace(" 2379", f" {etcd.port}")
                exec(compile(text, PAGE, "exec"), names)
            said.append(output.getvalue())
    assert "Policy(5, 2, 60.0" in said[0]
    assert "connected=True" in said[0]
    assert '{"failureThreshold": 3}' in said[1]
    assert said[2].endswith("1\n")  # one key deleted
    assert "failureThreshold must be" in said[3]
    assert "expected revision" in said[3]
    assert "Authentication Enabled" in said[4]
    assert "denies permission" in said[5]
    assert "grpc" in MISSING or etcd.endpoint in said[6]
