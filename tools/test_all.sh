#!/bin/sh
# Run the suite as shipped on each Python that this machine has, and on those of a folder of Debian's unstable archive
# (tools/debian_pythons.sh), each in an environment of its own.
# usage: test_all.sh [pytest arguments]
set -u
cd "$(dirname "$0")/.."
export WITHOUT_GRPC=allowed
failed=
found=
for version in 3.11 3.12 3.13 3.14 3.15; do
    python=python$version
    inside=
    if ! "$python" -c '' 2>/dev/null; then
        inside="sh tools/debian_pythons.sh run"
        $inside "$python" -c '' 2>/dev/null || {
            echo "$python: neither on this machine nor in the folder that make debian-pythons makes"
            continue
        }
    fi
    found=yes
    echo "$python: building and testing"
    $inside sh tools/test_shipped.sh "$python" ".venv-$version" "$@" || failed="$failed $version"
done
[ -n "$found" ] || { echo "no Python from 3.11 on was found"; exit 1; }
[ -z "$failed" ] || { echo "failed on:$failed"; exit 1; }
