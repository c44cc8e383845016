#!/bin/sh
# The tests of the core and of calls under AddressSanitizer and UndefinedBehaviorSanitizer, on a build beside the normal
# one. Usage: sanitized.sh PYTHON [tests …]
set -eu
python=$1
shift
target=build/sanitized
flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined"
rm -rf "$target"
CFLAGS="-O1 -g $flags" LDFLAGS="$flags" "$python" -m pip install --quiet --no-deps --target "$target" .
# Leaks are counted by the tests themselves; the interpreter keeps memory until it ends.
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
    PYTHONMALLOC=malloc PYTHONPATH="$target" "$python" -m pytest "${@:-tests/core}"
