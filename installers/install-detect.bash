#!/usr/bin/env bash
# Make amazon-defender-detect a service of this machine, any Linux with systemd: install it, or upgrade it.
# Here a Python is found or brought; what it does then is told in device/detect.py, and for Linux in device/linux.py.
[ -n "${BASH_VERSION-}" ] || { echo "this needs bash: sudo bash $0 ..." >&2; exit 2; }
unset CDPATH BASH_ENV ENV "${!PYTHON@}"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # the system's tools, and where useradd is, which a plain su leaves out
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=amazon-defender-detect
# shellcheck source=installers/start.bash
. "$here/start.bash"
# shellcheck source=installers/linux-python.bash
. "$here/linux-python.bash"
help=install-detect.txt
later_steps="directory program user configuration service start verdict"
oldest=10 # of amqtt, whose packets the built-in broker reads and writes
instead="; a newer one can be named by --python"

check_system() {
    [ "$(uname -s)" = Linux ] || fail "this is for Linux with systemd"
}

start "$@"
