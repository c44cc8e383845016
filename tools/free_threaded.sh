#!/bin/sh
# Build a free-threaded CPython 3.13 from Debian's source package into a cache folder, about three minutes on two cores.
# usage: free_threaded.sh [CACHE]      default: ~/.cache/cybreaker/python3.13t
# Needs a Debian machine with gcc, make, dpkg-dev and the headers that Python's own modules want.
set -eu
cache=${1:-${FREE_THREADED_CACHE:-$HOME/.cache/cybreaker/python3.13t}}
if [ -x "$cache/bin/python3.13t" ]; then
    echo "already there: $cache/bin/python3.13t"
    exit 0
fi
suite=trixie # the first Debian whose python3.13 has --disable-gil
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"

# The archive that this machine uses already, for sources of the newer suite, beside the system's own lists.
archive=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -n 1)
[ -n "$archive" ] || { echo "no Debian archive is configured for apt; run apt-get update first" >&2; exit 1; }
printf 'deb-src %s %s main\n' "$archive" "$suite" >"$work/sources.list"
apt() {
    apt-get -qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root \
        -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" "$@"
}
cd "$work"
apt update
apt source --download-only python3.13
tar xf python3.13_*.orig.tar.xz
cd Python-3.13*
echo "building in $work, log beside it"
./configure --disable-gil --prefix="$cache" --with-ensurepip=install >"$work/configure.log" 2>&1 ||
    { tail -n 20 "$work/configure.log" >&2; exit 1; }
make -j"$(nproc)" >"$work/make.log" 2>&1 || { tail -n 20 "$work/make.log" >&2; exit 1; }
make install >"$work/install.log" 2>&1 || { tail -n 20 "$work/install.log" >&2; exit 1; }
echo "built: $cache/bin/python3.13t"
