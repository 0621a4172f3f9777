#!/bin/sh
# The component's install step: an environment of its own in its work directory, from the wheels that it brought along.
# Where it brought none for this machine (32-bit ARM) they are built from the sources that the lock names.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
work=$1

python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 9))' || {
    echo "amazon-defender-publisher needs Python 3.9 or later as python3 on this core" >&2
    exit 1
}
rm -rf "$work/venv"
python3 -I -m venv "$work/venv" || {
    echo "no virtual environment can be made; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2
    exit 1
}
set -- --quiet --disable-pip-version-check --no-input --no-deps
if [ -f "$here/wheels/complete" ]; then
    set -- "$@" --no-index
fi
"$work/venv/bin/python" -I -m pip install "$@" --find-links "$here/wheels" --requirement "$here/wheels/requirements.txt"
