#!/bin/sh
# Run the suite on each Python that the machine has, each in an environment of its own with the package as installed.
# usage: test_all.sh [pytest arguments]
set -u
cd "$(dirname "$0")/.."
failed=
found=
for version in 3.11 3.12 3.13 3.14; do
    python=$(command -v "python$version") && "$python" -c '' 2>/dev/null || { echo "python$version: not on this machine"; continue; }
    found=yes
    venv=.venv-$version
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || { failed="$failed $version"; continue; }
    echo "python$version: building and testing"
    rm -rf build
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps . &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check '.[test]' &&
        "$venv/bin/python" -m pytest "$@" || failed="$failed $version"
done
[ -n "$found" ] || { echo "no Python from 3.11 on was found"; exit 1; }
[ -z "$failed" ] || { echo "failed on:$failed"; exit 1; }
