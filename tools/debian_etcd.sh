#!/bin/sh
# Install Debian's etcd beside the one of the wheel, so that the suite tests against both. Root on Debian only; any other
# machine tests against the wheel's alone, and says so. The tests start their own servers: none is started here.
set -eu
if [ -x /usr/bin/etcd ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not tested here: Debian's etcd (needs root and apt-get)"
    exit 0
fi
# A package that starts its service is asked to refrain, unless the machine has a rule of its own.
rule=/usr/sbin/policy-rc.d
if [ ! -e "$rule" ]; then
    trap 'rm -f "$rule"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$rule"
    chmod +x "$rule"
fi
if apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends etcd-server >/dev/null &&
    [ -x /usr/bin/etcd ]; then
    exit 0
fi
# The wheel's etcd is what every machine tests against; a mirror that is away is no fault of the project.
echo "not tested here: Debian's etcd (apt-get could not install etcd-server)"
