#!/bin/sh
# The steps of the image, in a folder of your choice. In: a step and its arguments. `try.sh` runs the same steps without Docker.
#   dependencies PREFIX EXTRA...   a virtual environment with what the project needs, at the versions of requirements-ci.txt
#   package FOLDER PROJECT         the wheel of a project of this checkout, built here and unpacked into FOLDER
set -eu
step=$1 folder=$2
shift 2
case $step in
dependencies)
    python -m venv --without-pip "$folder"
    python deploy/image/requirements.py pyproject.toml "$@" >"$folder/requirements.txt"
    python -m pip --python "$folder/bin/python" install --quiet --no-cache-dir --no-compile \
        --constraint requirements-ci.txt --requirement "$folder/requirements.txt"
    site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    sh deploy/image/prune.sh "$site"
    "$folder/bin/python" -m compileall -q -j 0 "$site" || true # files for other versions of Python are among them
    mkdir "$folder/packages"
    echo "$folder/packages" >"$site/guardproxy.pth"
    ;;
package)
    wheels=$(mktemp -d)
    python -m pip wheel --quiet --no-deps --no-build-isolation --no-cache-dir --wheel-dir "$wheels" "$1"
    python -m pip install --quiet --no-deps --no-index --no-compile --target "$folder" "$wheels"/*.whl
    python -m compileall -q -s "$folder" -p /opt/guardproxy/packages "$folder"
    rm -rf "$wheels"
    ;;
*)
    echo "no such step: $step" >&2
    exit 2
    ;;
esac
