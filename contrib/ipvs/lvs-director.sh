#!/bin/sh
# Makes this machine a director behind IPVS in direct routing: it takes packets for the service's address,
# and never says in ARP that the address is here. Run at boot, before epoxy.
#
#   lvs-director.sh start|stop ADDRESS

case "$1:$2" in
    start:?*)
        # First silence, then the address: in the other order a neighbour could ask in between.
        # 1: answer only for addresses of the interface that was asked. 2: ask with such an address only.
        sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
        ip addr replace "$2/32" dev lo
        ;;
    stop:?*)
        ip addr del "$2/32" dev lo
        ;;
    *)
        echo "usage: $0 start|stop ADDRESS" >&2
        exit 2
        ;;
esac
