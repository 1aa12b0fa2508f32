#!/bin/sh
# What keepalived runs when a director's state changes: INSTANCE VI_1 MASTER|BACKUP|FAULT|STOP PRIORITY.
#
# Writes it to the system log and, for monitoring, to /run/epoxy-vrrp: one line, `STATE since TIME`. Where there is
# a mail.conf, notify-mail.py tells people.
# Nothing has to be done to epoxy: both directors run it all the time, and connections to an address that
# has left are over for their clients; the timeouts of the configuration end them here.

kind=$1 name=$2 state=$3 priority=$4
logger -t epoxy-vrrp -- "$kind $name is $state (priority $priority)" || true
echo "$state since $(date +%Y-%m-%dT%H:%M:%S%z)" > /run/epoxy-vrrp.new && mv /run/epoxy-vrrp.new /run/epoxy-vrrp
[ ! -r /etc/keepalived/mail.conf ] || exec /etc/keepalived/notify-mail.py "$@"
