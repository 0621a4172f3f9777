#!/bin/bash
# Start the service on a Mac, or with `--program NAME` that of another program of the same version, also after an update of
# the system has taken away the Python that it was installed with.
# Run by launchd as the service's account, which can write its state only: an environment for another Python is built
# there, from the wheels that the version was installed with, and nothing from a network.
umask 077
name=amazon-defender-publisher
if [ "$1" = --program ]; then
    name=$2
    shift 2
fi
here=${0%/*}
program=${here%/installers}
root=${program%/*}
built=$root/state/venv
# shellcheck source=installers/mac-python.bash
. "$here/mac-python.bash"

say() {
    printf '%s\n' "$*" >&2 # which is stderr.log
}

# Whether a Python is there and has all that the program needs.
runs() {
    [ -x "$1" ] && "$1" -I -c 'import AWSIoTPythonSDK, cbor2, msgspec, psutil, timeloop' >/dev/null 2>&1
}

# Print the Python of an environment in the state, which is built if there is none for this version.
build() {
    local found version
    version=$(readlink "$program")
    if [ "$(cat "$built/version" 2>/dev/null)" != "$version" ] || ! runs "$built/bin/python"; then
        if [ "$name" != amazon-defender-publisher ]; then
            say "the Python of this version is gone; amazon-defender-publisher builds its environment again"
            return 1 # and launchd tries again: two that build are in each other's way
        fi
        found=$(find_mac_python "${root%/opt/aws/*}")
        if [ -z "$found" ]; then
            say "there is no Python 3.9 or later any more; xcode-select --install brings Apple's back"
            return 1
        fi
        say "the Python of this version is gone; building its environment again, with $found"
        if ! "$found" -I -m venv --clear "$built" >&2 || ! install || ! runs "$built/bin/python"; then
            say "that failed; install again: sudo bash $here/install-osx.bash"
            return 1
        fi
        printf '%s\n' "$version" >"$built/version"
    fi
    printf '%s\n' "$built/bin/python"
}

install() {
    PIP_CONFIG_FILE=/dev/null "$built/bin/python" -I -m pip install -q --no-input --disable-pip-version-check \
        --no-cache-dir --no-index --find-links "$program/wheels" --requirement "$program/requirements.txt" >&2
}

python=$program/venv/bin/python
runs "$python" || python=$(build) || exit 1
exec "$python" -Es "$program/$name" "$@"
