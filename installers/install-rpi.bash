#!/usr/bin/env bash
# Make this device, any Linux with systemd, report to AWS IoT Device Defender: install the service, or upgrade it.
# Here a Python is found or brought; what it does then is told in device/publisher.py, and for Linux in device/linux.py.
[ -n "${BASH_VERSION-}" ] || { echo "this needs bash: sudo bash $0 ..." >&2; exit 2; }
unset CDPATH BASH_ENV ENV "${!PYTHON@}"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # the system's tools, and where useradd is, which a plain su leaves out
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=amazon-defender-publisher
# shellcheck source=installers/start.bash
. "$here/start.bash"
# shellcheck source=installers/linux-python.bash
. "$here/linux-python.bash"
later_steps="identity program configuration keys user service start verdict"

check_system() {
    [ "$(uname -s)" = Linux ] || fail "this is for Linux with systemd; on macOS there is install-osx.bash"
}

start "$@"
