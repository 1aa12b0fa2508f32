#!/bin/sh
# The same balancer by hand, without keepalived's checks: ipvs-balancer.sh ADDRESS:PORT DIRECTOR...
# `ipvsadm -e -t ADDRESS:PORT -r DIRECTOR -g -w 0` drains a director, `-w 1` brings it back.

service=${1:?usage: $0 ADDRESS:PORT DIRECTOR...}
shift
ip addr replace "${service%:*}/32" dev eth0
ipvsadm -A -t "$service" -s mh
for director in "$@"; do
    ipvsadm -a -t "$service" -r "$director" -g -w 1
done
# Connections are known to the balancer from one side only; this long without a packet ends one there.
ipvsadm --set 900 120 300
