#!/usr/bin/env bash
# Installs the Debian packages that the tests need and that are missing; starts none of their
# services. Never fails: without apt or root the tests that miss something say so and are skipped.
set -uo pipefail

# What a test runs, and the package that has it; `dpkg` where no program tells.
needs=(
    haproxy:haproxy dpkg:haproxy-doc
    nginx:nginx-light apache2:apache2 ab:apache2-utils wrk:wrk mariadbd:mariadb-server-core mariadb:mariadb-client-core socat:socat rsyslogd:rsyslog ip:iproute2 keepalived:keepalived bird:bird2
    pg_createcluster:postgresql redis-server:redis-server slapd:slapd exim4:exim4-daemon-light setpriv:util-linux
    logrotate:logrotate killall:psmisc pidof:sysvinit-utils python3:python3
    curl:curl ps:procps killall:psmisc pidof:sysvinit-utils python3:python3 strace:strace chromium:chromium chromedriver:chromium-driver
    dnsmasq:dnsmasq-base
    gcc:gcc make:make taskset:util-linux
)

export PATH="$PATH:/usr/sbin:/sbin"
missing=()
for need in "${needs[@]}"; do
    tool=${need%:*} package=${need##*:}
    if [[ $tool == dpkg ]]; then
        dpkg -s "$package" > /dev/null 2>&1 || missing+=("$package")
    else
        command -v "$tool" > /dev/null || missing+=("$package")
    fi
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

echo "setup: missing packages: ${missing[*]}"
if ! command -v apt-get > /dev/null; then
    echo "setup: no apt-get here; the tests that need them will be skipped"
    exit 0
fi
root=()
if [[ $(id -u) -ne 0 ]]; then
    if ! sudo -n true 2> /dev/null; then
        echo "setup: neither root nor sudo; the tests that need them will be skipped"
        exit 0
    fi
    root=(sudo -n)
fi

# While this file exists and answers 101, no package may start its service.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" > /dev/null
    "${root[@]}" chmod 755 "$policy"
    trap '"${root[@]}" rm -f "$policy"' EXIT
fi

install_packages() {
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@" \
        < /dev/null
}
"${root[@]}" apt-get update -q < /dev/null || echo "setup: apt-get update failed; trying with the old lists"
if ! install_packages "${missing[@]}"; then
    # One package that a distribution lacks must not keep the others away.
    for package in "${missing[@]}"; do
        install_packages "$package" || echo "setup: $package could not be installed"
    done
fi
exit 0
