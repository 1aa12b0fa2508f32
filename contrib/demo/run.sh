#!/bin/sh
# Says what to try, then becomes the proxy in the foreground. Usage: run.sh BINARY
set -eu
binary=$1
config=$(dirname "$0")/demo.cfg

"$binary" -c -q -f "$config"
cat <<'TEXT'

The demo listens on http://127.0.0.1:8080/ with two nodes behind it. Try, in another terminal:

  curl http://127.0.0.1:8080/                                    node1 and node2 in turn
  curl -H 'Host: proxy.example.test' http://127.0.0.1:8080/      always node2
  curl 'http://127.0.0.1:8080/haproxy?stats;csv'                 statistics, or the page in a browser:
                                                                 http://127.0.0.1:8080/haproxy?stats
  echo 'show info' | socat stdio /tmp/epoxy-demo.sock            the runtime socket; also 'help',
  echo 'disable server nodes/node1' | socat stdio /tmp/epoxy-demo.sock
  echo 'enable server nodes/node1' | socat stdio /tmp/epoxy-demo.sock

Each request is logged below. Ctrl-C ends it.

TEXT
exec "$binary" -db -f "$config"
