#!/bin/sh
# Copy the tree without what was built in it: setuptools would ship again whatever an old egg-info lists.
# usage: copy_tree.sh TARGET
set -eu
cd "$(dirname "$0")/.."
mkdir -p "$1"
tar --exclude='.?*' --exclude='*.so' --exclude=_core.c --exclude=build --exclude=dist --exclude=_build \
    --exclude='*.egg-info' --exclude=__pycache__ -cf - -- * | tar -xf - -C "$1"
