#!/bin/sh
# Install Debian's etcd beside the one of the wheel, so that the suite tests against both; nginx and haproxy, which it
# puts before an etcd; PostgreSQL, MariaDB and Redis for the integrations; promtool for the alert rules; Chromium for the
# status page; zsh for its completion. Root on Debian only; any other machine tests against what it has, and says so. The
# tests start their own servers: none is started here.
set -eu
missing=""
[ -x /usr/bin/etcd ] || missing="$missing etcd-server"
[ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
[ -x /usr/sbin/haproxy ] || missing="$missing haproxy"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
[ -x /usr/sbin/mariadbd ] || missing="$missing mariadb-server-core"
[ -x /usr/bin/redis-server ] || missing="$missing redis-server"
[ -x /usr/bin/promtool ] || missing="$missing prometheus"
[ -x /usr/bin/chromium ] || missing="$missing chromium"
[ -x /usr/bin/chromedriver ] || missing="$missing chromium-driver"
[ -x /usr/bin/zsh ] || missing="$missing zsh"
if [ -z "$missing" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not tested here: Debian's$missing (needs root and apt-get)"
    exit 0
fi
# A package that starts its service is asked to refrain, unless the machine has a rule of its own.
rule=/usr/sbin/policy-rc.d
if [ ! -e "$rule" ]; then
    trap 'rm -f "$rule"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$rule"
    chmod +x "$rule"
fi
apt-get update -qq || true
for package in $missing; do
    # The wheel's etcd is what every machine tests against; a mirror that is away is no fault of the project.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
        echo "not tested here: Debian's $package (apt-get could not install it)"
done
