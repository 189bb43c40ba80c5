#!/bin/sh
# Makes what the image holds below a folder, without Docker, and serves from it: as a user without rights, from a tree that cannot
# be written, until /readyz says so. Needs root (mounts), and Python with venv; FOLDER is outside of homes, so that the user without
# rights can read it.
#   sh deploy/image/try.sh FOLDER [EXTRA...]
set -eu
root=$1
shift
[ $# -gt 0 ] || set -- console envoy jwt redis
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$root/opt" "$root/audit"
root=$(cd "$root" && pwd)
cd "$here/../.."
# What the base of the image has: `python`, pip, and the program that builds wheels.
[ -e "$root/build" ] || { "${PYTHON:-python3}" -m venv "$root/build" && "$root/build/bin/pip" install --quiet hatchling; }
PATH=$root/build/bin:$PATH
[ -e "$root/opt/guardproxy/packages" ] || { rm -rf "$root/opt/guardproxy" && sh "$here/steps.sh" dependencies "$root/opt/guardproxy" "$@"; }
rm -rf "$root/opt/guardproxy/packages" && mkdir "$root/opt/guardproxy/packages" # pip replaces nothing there
for project in ./models .; do sh "$here/steps.sh" package "$root/opt/guardproxy/packages" "$project"; done
chmod -R go+rX "$root"
du -sm "$root/opt/guardproxy" "$root/opt/guardproxy/packages"
unshare --mount sh -eu -c '
    mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"
    mount -t tmpfs -o uid=10001,gid=10001,mode=0750 audit "$1/audit"
    cd "$1"
    exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs env -i HOME=/tmp PYTHONDONTWRITEBYTECODE=1 \
        PATH="$1/opt/guardproxy/bin:/usr/bin:/bin" LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" bash -c "
            python -m guardproxy serve --upstream http://127.0.0.1:9 --policies strict --audit audit --port 28471 --admin-port 28472 &
            served=\$!
            printf \"%s\\0\" serve --admin-port 28472 >/tmp/guardproxy-cmdline
            for _ in {1..120}; do
                HEALTH_CMDLINE=/tmp/guardproxy-cmdline bash $2 2>/dev/null && found=1 && break
                kill -0 \$served && sleep 1
            done
            grep VmRSS /proc/\$served/status; id; touch x 2>&1 || true
            kill \$served; wait \$served; exit \$((1 - \${found:-0}))"
' sh "$root" "$here/health.sh"
