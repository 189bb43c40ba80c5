#!/bin/bash
# Asks /readyz at the admin port that the first process of the container has, without a start of Python. Exit 0: ready.
host=${GUARDPROXY_ADMIN_HOST:-127.0.0.1} port=${GUARDPROXY_ADMIN_PORT:-9090}
case $port in *[!0-9]*) port=9090 ;; esac # a variable that Kubernetes makes for a Service
mapfile -d '' -t words <"${HEALTH_CMDLINE:-/proc/1/cmdline}"
for at in "${!words[@]}"; do
    case ${words[at]} in
    --admin-port) port=${words[at + 1]} ;;
    --admin-port=*) port=${words[at]#*=} ;;
    --admin-host) host=${words[at + 1]} ;;
    --admin-host=*) host=${words[at]#*=} ;;
    esac
done
case $host in 0.0.0.0 | :: | '') host=127.0.0.1 ;; esac
exec 3<>"/dev/tcp/$host/$port" || exit 1
printf 'GET /readyz HTTP/1.0\r\nHost: %s\r\n\r\n' "$host" >&3
read -r -t 3 _ status _ <&3
[ "$status" = 200 ]
