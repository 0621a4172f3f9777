#!/bin/bash
# Make this Mac report to AWS IoT Device Defender: install the service, or upgrade it.
# Here a Python is found; what it does then is told in device/publisher.py, and for macOS in device/macos.py.
[ -n "${BASH_VERSION-}" ] || { echo "this needs bash: sudo bash $0 ..." >&2; exit 2; }
unset CDPATH BASH_ENV ENV "${!PYTHON@}"
case " $* " in
*" --prefix"*) ;;
*) PATH=/usr/bin:/bin:/usr/sbin:/sbin ;; # macOS's own tools, not those that somebody has put before them
esac
here=$(cd "$(dirname "$0")" && pwd)
name=amazon-defender-publisher
# shellcheck source=installers/start.bash
. "$here/start.bash"
# shellcheck source=installers/mac-python.bash
. "$here/mac-python.bash"
platform=macos
default_python="the first of 3.9 or later of Apple, python.org, Homebrew"

check_system() {
    [ "$(uname -s)" = Darwin ] || fail "this is for macOS; on Linux there is install-rpi.bash"
}

# Below a prefix that has tools of its own the whole system is there.
find_python() {
    local below=''
    if [ -n "$prefix" ] && [ -x "$prefix/bin/xcode-select" ]; then below=$prefix; fi
    find_mac_python "$below"
}

bring_python() {
    fail "Python 3.9 or later is needed: xcode-select --install brings Apple's; another one can be named by --python"
}

start "$@"
