#!/usr/bin/env bash
# Make this device, any Linux with systemd, report to AWS IoT Device Defender: install the service, or upgrade it.
# Here a Python is found or brought; what it does then is told in device/install.py, and for Linux in device/linux.py.
[ -n "${BASH_VERSION-}" ] || { echo "this needs bash: sudo bash $0 ..." >&2; exit 2; }
unset CDPATH BASH_ENV ENV "${!PYTHON@}"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # the system's tools, and where useradd is, which a plain su leaves out
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=installers/start.bash
. "$here/start.bash"
platform=linux
default_python=/usr/bin/python3

check_system() {
    [ "$(uname -s)" = Linux ] || fail "this is for Linux with systemd; on macOS there is install-osx.bash"
}

find_python() {
    printf '%s\n' "$default_python"
}

# Install the distribution's Python; below a prefix only by tools that are there.
bring_python() {
    command -v "$python" >/dev/null 2>&1 && refuse_old_python
    if [ -n "$dry_run" ]; then foretell; fi
    [ "$(id -u)" -eq 0 ] || [ -n "$prefix" ] || { step=platform && fail "this needs root: sudo bash $0 ..."; }
    [ -n "$prefix" ] || [ -d /run/systemd/system ] || { step=platform && fail "systemd does not run here"; }
    name_packages
    transcript=$prefix/opt/aws/$name/install.log
    mkdir -p "${transcript%/*}" || fail "${transcript%/*} cannot be made"
    rm -f "$transcript"
    (umask 077 && : >"$transcript") || fail "$transcript cannot be written"
    install_packages </dev/null >>"$transcript" 2>&1 || {
        printf 'python: install what is missing first: %s\nthe last lines of %s:\n' "$advice" "$transcript" >&2
        tail -n 8 "$transcript" >&2
        exit 1
    }
    command -v "$python" >/dev/null 2>&1 || [ -n "$prefix" ] || fail "there is no $python"
    installed="${packages[*]}"
}

refuse_old_python() {
    said=$("$python" -I -c 'import sys; print("Python %d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
    fail "Python 3.9 or later is needed, $python is ${said:-none}"
}

name_packages() {
    if command -v apt-get >/dev/null; then
        packages=(python3 python3-venv)
        advice="apt-get update && apt-get install --no-install-recommends ${packages[*]}"
    elif command -v dnf >/dev/null; then
        packages=(python3 python3-pip)
        advice="dnf install ${packages[*]}"
    else
        packages=()
        advice="there is neither apt nor dnf here"
    fi
}

# Package lists are brought up to date only where it does not go without, and with a wheelhouse only if one says so.
install_packages() {
    case $advice in
    apt-get*)
        by_apt && return
        [ -z "$wheelhouse" ] || [ -n "$update_lists" ] || return
        tool apt-get -q update && by_apt
        ;;
    dnf*) tool dnf -q -y install "${packages[@]}" ;;
    *) return 1 ;;
    esac
}

by_apt() {
    tool env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${packages[@]}"
}

# Run a tool of the system.
tool() {
    if [ -n "$prefix" ]; then
        [ -x "$prefix/bin/$1" ] || return
        "$prefix/bin/$1" "${@:2}"
    else
        "$@"
    fi
}

# Say what a dry run can say without a Python, and end.
foretell() {
    name_packages
    printf ' 1/10  platform\n 2/10  python\n       + %s\n' "${advice/ && /$'\n       + '}"
    local number=3 each
    for each in identity program configuration keys user service start verdict; do
        printf '%2d/10  %s\n' "$number" "$each"
        number=$((number + 1))
    done
    printf 'what these steps do is told by Python, which is not here yet\n'
    exit 0
}

start "$@"
