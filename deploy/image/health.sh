#!/bin/bash
# Asks /readyz at the admin port that the first process of the container has, without a start of Python. Exit 0: ready.
host=${GUARDPROXY_ADMIN_HOST:-127.0.0.1} port=${GUARDPROXY_ADMIN_PORT:-9090} encrypted=${GUARDPROXY_TLS_PORT:-}
case $port in *[!0-9]*) port=9090 ;; esac # a variable that Kubernetes makes for a Service
mapfile -d '' -t words <"${HEALTH_CMDLINE:-/proc/1/cmdline}"
for at in "${!words[@]}"; do
    case ${words[at]} in
    --admin-port) port=${words[at + 1]} ;;
    --admin-port=*) port=${words[at]#*=} ;;
    --admin-host) host=${words[at + 1]} ;;
    --admin-host=*) host=${words[at]#*=} ;;
    --tls-port) encrypted+=,${words[at + 1]} ;;
    --tls-port=*) encrypted+=,${words[at]#*=} ;;
    esac
done
case $host in 0.0.0.0 | :: | '') host=127.0.0.1 ;; esac
printf -v request 'GET /readyz HTTP/1.0\r\nHost: %s\r\n\r\n' "$host"
status=
case ,$encrypted, in
*,admin[,=]*) ;;
*)
    exec 3<>"/dev/tcp/$host/$port" || exit 1
    printf %s "$request" >&3
    read -r -t 3 _ status _ <&3
    ;;
esac
# The settings' file may say that the port speaks TLS. Whose certificate it is matters to nobody inside of the container.
case $status in
[0-9]*) ;;
*) read -r _ status _ < <(printf %s "$request" | timeout 3 openssl s_client -quiet -connect "$host:$port" 2>/dev/null) ;;
esac
[ "$status" = 200 ]
