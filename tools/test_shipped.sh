#!/bin/sh
# Run the suite on what is shipped: sdist, wheel from the sdist, wheel installed in an environment of its own, and the
# tests, documents and examples out of the unpacked sdist. Compiles only if the package has changed since the last run.
# usage: test_shipped.sh PYTHON VENV [pytest arguments]
#   WITHOUT_GRPC=allowed   where grpcio or gevent has no wheel for this Python: leave out what needs them, and say so
set -eu
cd "$(dirname "$0")/.."
root=$PWD
python=$1
venv=$root/$2
shift 2
export PIP_DISABLE_PIP_VERSION_CHECK=1
work=$root/build/${venv##*/}

# An older release that has a wheel for this Python, before a newer one that would be compiled.
install() { "$venv/bin/python" -m pip install --quiet --prefer-binary "$@"; }

[ -x "$venv/bin/python" ] || sh tools/make_venv.sh "$python" "$venv"
rm -rf "$work"
sh tools/copy_tree.sh "$work/tree"
cd "$work/tree"
sh tools/build_needs.sh "$venv/bin/python" >"$work/needs"
[ -e "$venv/.needs" ] && cmp -s "$work/needs" "$venv/.needs" || install -r "$work/needs"
cp "$work/needs" "$venv/.needs"
"$venv/bin/python" -c 'import setuptools.build_meta as b, sys; b.build_sdist(sys.argv[1])' "$work" >"$work/sdist.log" 2>&1 ||
    { cat "$work/sdist.log" >&2; exit 1; }
cd "$work"
rm -rf tree
tar -xzf cybreaker-*.tar.gz
cd cybreaker-*/

sources=$(find src setup.py pyproject.toml README.md LICENSE -type f ! -path '*.egg-info/*' | sort | xargs sha256sum)
if [ ! -e "$venv/.shipped" ] || [ "$sources" != "$(cat "$venv/.shipped")" ]; then
    echo "building the wheel from the sdist, and installing it in ${venv##*/}"
    rm -f "$venv/.shipped"
    "$venv/bin/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work" ../cybreaker-*.tar.gz
    install --force-reinstall --no-deps "$work"/cybreaker-*.whl
    extra=test
    if [ "${WITHOUT_GRPC:-}" = allowed ] && ! install --only-binary=:all: 'grpcio>=1.82' 'gevent>=25.4' 2>/dev/null; then
        extra=test-core
    fi
    install "$(echo "$work"/cybreaker-*.whl)[$extra]"
    echo "$sources" >"$venv/.shipped"
fi
"$venv/bin/python" -c 'import grpc' 2>/dev/null ||
    echo "not tested on ${python##*/}: gRPC and gevent (grpcio or gevent has no wheel for it)"

export BREAKER_SHIPPED=1 HYPOTHESIS_STORAGE_DIRECTORY="$root/.hypothesis"
exec "$venv/bin/python" -m pytest -o cache_dir="$root/.pytest_cache" "$@"
