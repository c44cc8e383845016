#!/bin/sh
# Run the suite on a build whose lines can be traced, in a copy of the tree; print what no test reached, and the figure of
# Python and Cython lines together.
# usage: coverage.sh PYTHON VENV [pytest arguments]
#   EVERYTHING=1   with the tests that start servers and programs, and the lines that are for them
set -eu
cd "$(dirname "$0")/.."
root=$PWD
python=$1
venv=$root/$2
shift 2
export PIP_DISABLE_PIP_VERSION_CHECK=1 BREAKER_COVERAGE=1
work=$root/build/coverage

omit=
if [ -z "${EVERYTHING:-}" ]; then
    omit='--omit=*/sources/etcd/*,*/cli/*'
    set -- tests/core tests/calls tests/policies tests/provider tests/sources tests/integrations "$@"
fi
[ -x "$venv/bin/python" ] || sh tools/make_venv.sh "$python" "$venv"
rm -rf "$work"
sh tools/copy_tree.sh "$work"
cd "$work"
sh tools/build_needs.sh "$venv/bin/python" >needs.txt
"$venv/bin/python" -m pip install --quiet -r needs.txt
"$venv/bin/python" -m pip install --quiet --no-build-isolation --editable '.[test,coverage]'

# Left out: what counts objects or takes very many steps, and what a tracer makes possible where nothing else does: that a
# signal is handled, garbage collected, a process forked, or a thread or greenlet switched in the middle of a section of
# the core.
"$venv/bin/python" -m coverage run -m pytest -p no:cacheprovider --timeout 120 \
    --deselect tests/core/test_against_model.py::test_many_random_steps_equal_the_model \
    --deselect tests/core/test_fork.py::test_many_forks_under_load_hang_nobody \
    --ignore tests/core/test_reentrancy_runtime.py --ignore tests/core/test_threads.py \
    --ignore tests/core/test_delivery_turns.py \
    --ignore tests/core/test_linearizable.py --ignore tests/core/test_interleavings.py \
    -k 'not leak and not greenlets and not under_flapping' "$@"
"$venv/bin/python" -m coverage combine --quiet
touch src/breaker/native/__init__.py # Cython's plugin looks for the C file in packages above an included file alone
"$venv/bin/python" -m coverage report --include="$work/src/*" $omit
