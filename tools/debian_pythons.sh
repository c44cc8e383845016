#!/bin/sh
# The Pythons that this machine's Debian is too old for, out of Debian's unstable archive: a folder made by debootstrap,
# about three minutes and 700 MB. Nothing of the machine is changed, so nothing has to be undone but the folder.
# usage: debian_pythons.sh make               make the folder, unless it is there
#        debian_pythons.sh run COMMAND ...    run a command with the folder's /usr in place of the machine's
# The folder: $DEBIAN_CACHE, default ~/.cache/cybreaker/debian-unstable. Root on a Debian machine with debootstrap only.
set -eu
cache=${DEBIAN_CACHE:-$HOME/.cache/cybreaker/debian-unstable}
versions='3.12 3.13 3.14 3.15' # those that the archive has; unstable moves on, and drops the old ones

make_folder() {
    if [ -e "$cache/.complete" ]; then
        echo "already there: $(pythons)"
        return
    fi
    [ "$(id -u)" = 0 ] || { echo "debootstrap needs root" >&2; exit 1; }
    command -v debootstrap >/dev/null || { echo "missing: debootstrap (apt-get install debootstrap)" >&2; exit 1; }
    # The archive that this machine uses already.
    archive=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -n 1)
    [ -n "$archive" ] || { echo "no Debian archive is configured for apt; run apt-get update first" >&2; exit 1; }
    rm -rf "$cache"
    mkdir -p "$cache"
    log=$(mktemp)
    echo "making $cache, log in $log"
    debootstrap --variant=minbase --include=gcc,libc6-dev unstable "$cache" "$archive" >"$log" 2>&1 || failed "$log"
    packages=
    for version in $versions; do
        chroot "$cache" apt-cache show "python$version-venv" >/dev/null 2>&1 || continue
        packages="$packages python$version python$version-dev python$version-venv"
    done
    # shellcheck disable=SC2086  # a list of packages
    DEBIAN_FRONTEND=noninteractive chroot "$cache" apt-get install -y -qq --no-install-recommends $packages \
        >>"$log" 2>&1 || failed "$log"
    chroot "$cache" apt-get clean
    touch "$cache/.complete"
    rm -f "$log"
    echo "made: $(pythons)"
}

failed() {
    tail -n 20 "$1" >&2
    exit 1
}

pythons() {
    for python in "$cache"/usr/bin/python3.??; do printf '%s ' "${python##*/}"; done
}

# Its own mount namespace: the command sees the machine as it is (home, /etc, /tmp, network), with another /usr.
run_inside() {
    [ -e "$cache/.complete" ] || { echo "no folder at $cache: $0 make" >&2; exit 1; }
    # shellcheck disable=SC2016  # expanded by the inner shell
    exec unshare --mount sh -c '
        mount --bind "$0/etc/ld.so.cache" /etc/ld.so.cache && mount --rbind "$0/usr" /usr && exec "$@"
    ' "$cache" "$@"
}

case ${1:-} in
make) make_folder ;;
run) shift && run_inside "$@" ;;
*) sed -n '2,6s/^# //p' "$0" >&2 && exit 2 ;;
esac
