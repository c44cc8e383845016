"""Compile ``users.proto``: ``python compile_proto.py DIRECTORY``. The other programs of the example call `compiled`."""

from __future__ import annotations

import importlib.resources
import sys
from pathlib import Path

PROTO = Path(__file__).parent / "users.proto"


def compiled(directory: str) -> None:
    """Write the modules ``users_pb2`` and ``users_pb2_grpc`` into a directory and make them importable."""
    try:
        from grpc_tools import protoc
    except ImportError:
        sys.exit("this example compiles its proto with grpcio-tools: pip install grpcio-tools")
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    options = [f"-I{PROTO.parent}", f"-I{well_known}", f"--python_out={directory}", f"--grpc_python_out={directory}"]
    if protoc.main(["protoc", *options, str(PROTO)]) != 0:
        sys.exit(f"{PROTO} could not be compiled")
    sys.path.insert(0, directory)


if __name__ == "__main__":
    compiled(sys.argv[1] if len(sys.argv) > 1 else ".")
