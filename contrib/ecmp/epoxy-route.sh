#!/bin/sh
# Announces this director's route while epoxy serves, and withdraws it as soon as it does not.
#
#   epoxy-route.sh SOCKET [PROXY...]
#
# Every second it asks check-epoxy.sh (of contrib/keepalived; beside this script, or named by CHECK). Two
# failures in a row withdraw, three successes in a row announce. While DRAIN (/run/epoxy.drain) exists the
# route is withdrawn at once, although epoxy serves on. When this script ends, the route goes with it: nobody
# would look after it any more. If it is killed for good, its unit's ExecStopPost withdraws; see README.md.

check=${CHECK:-$(dirname "$0")/check-epoxy.sh}
drain=${DRAIN:-/run/epoxy.drain}
# The name of the static protocol in bird.conf.
protocol=${PROTOCOL:-service}
fall=2 rise=3

say() {
    echo "epoxy-route: $*" >&2
}

# BIRD itself may have been started again since: what it shall do is said every time, and said loudly only
# when it is a change.
put() {
    birdc "$1" "$protocol" > /dev/null || say "BIRD does not answer"
    [ "$state" = "$1" ] || say "$1d: $2"
    state=$1
}

trap 'put disable "the hook ends"; exit 0' TERM INT HUP
state=
failures=0 successes=0
put disable 'nothing is known of epoxy yet'
while :; do
    if [ -e "$drain" ]; then
        failures=0 successes=0
        put disable "$drain exists"
    elif reason=$("$check" "$@" 2>&1); then
        failures=0 successes=$((successes + 1))
        if [ "$state" = enable ] || [ "$successes" -ge "$rise" ]; then put enable 'epoxy serves'; fi
    else
        successes=0 failures=$((failures + 1))
        if [ "$state" = disable ] || [ "$failures" -ge "$fall" ]; then put disable "$reason"; fi
    fi
    # A sleep in the background, so that signals are heard at once.
    sleep 1 &
    wait $!
done
