#!/bin/sh
# Print what the build of this tree needs, one requirement a line, as pyproject.toml has it.
# usage: build_needs.sh PYTHON
cd "$(dirname "$0")/.." && "$1" -c '
import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'
