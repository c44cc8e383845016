#!/bin/sh
# Make the virtual environment, or say what is missing and how to get it.
# usage: make_venv.sh PYTHON VENV
set -eu
python=$1
venv=$2

say() { printf '%s\n' "$*" >&2; }

missing=
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    say "breaker needs Python 3.11 or newer, and '$python' is not; name one: make PYTHON=python3.12 ..."
    exit 1
}
command -v gcc >/dev/null 2>&1 || command -v cc >/dev/null 2>&1 || missing="$missing gcc"
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
"$python" - <<'EOF' || missing="$missing python3-dev libc6-dev"
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
EOF

if [ -n "$missing" ]; then
    # A bare container: the words "make demo" are meant to be enough there.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && [ -z "${NO_APT:-}" ]; then
        say "installing what the build needs:$missing (NO_APT=1 forbids it)"
        apt-get update -qq
        # shellcheck disable=SC2086  # a list of packages
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    else
        say "missing:$missing"
        say "on Debian: sudo apt-get install$missing"
        exit 1
    fi
fi
rm -rf "$venv"
"$python" -m venv "$venv"
