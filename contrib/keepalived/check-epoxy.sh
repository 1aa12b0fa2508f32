#!/bin/sh
# Whether epoxy may get the clients' connections: exit code 0, or 1 with the reason on standard error.
#
#   check-epoxy.sh SOCKET [PROXY...]
#
# SOCKET is the runtime socket (`stats socket` of the configuration; level `user` is enough). epoxy has to
# answer there within a second, must not be stopping, and every PROXY named has to be OPEN (a frontend)
# or UP (a backend). Name a backend only if another director would reach its servers better than this one:
# when all servers are dead, moving the address helps nobody.
#
# Works with HAProxy as well. Needs socat.

socket=${1:?usage: check-epoxy.sh SOCKET [PROXY...]}
shift

fail() {
    echo "check-epoxy: $*" >&2
    exit 1
}

# Ends with the answer; never later than a second, even if the process hangs.
ask() {
    echo "$1" | timeout 1 socat -t 1 - "UNIX-CONNECT:$socket" 2> /dev/null
}

info=$(ask 'show info') || fail "no answer at $socket"
case "$info" in
    *"
Stopping: 0"*) ;;
    *"
Stopping: "*) fail 'it is stopping' ;;
    *) fail "not an answer at $socket" ;;
esac

[ $# -eq 0 ] && exit 0
# 1 frontends + 2 backends: name, FRONTEND or BACKEND, ..., status as the 18th column.
proxies=$(ask 'show stat -1 3 -1') || fail "no answer at $socket"
for proxy in "$@"; do
    states=$(echo "$proxies" | awk -F, -v name="$proxy" '$1 == name { print $18 }')
    [ -n "$states" ] || fail "no proxy $proxy"
    for state in $states; do
        case "$state" in
            OPEN | UP) ;;
            *) fail "$proxy is $state" ;;
        esac
    done
done
