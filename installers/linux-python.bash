# shellcheck shell=bash disable=SC2034,SC2154 # what is set here is used in the files that source it, and the other way round
# How an installer brings a Python to a Linux that has none: by the distribution's own packages.
# Sourced by the installers for Linux, which say what their steps are called after these two (later_steps).
platform=linux
default_python=/usr/bin/python3

find_python() {
    printf '%s\n' "$default_python"
}

# Install the distribution's Python; below a prefix only by tools that are there.
bring_python() {
    command -v "$python" >/dev/null 2>&1 && refuse_old_python
    if [ -n "$dry_run" ]; then foretell; fi
    [ "$(id -u)" -eq 0 ] || [ -n "$prefix" ] || { step=platform && fail "this needs root: sudo bash $0 ..."; }
    [ -n "$prefix$first_boot" ] || [ -d /run/systemd/system ] || { step=platform && fail "systemd does not run here"; }
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
    is_usable "$python" || [ -n "$prefix" ] || refuse_old_python
    installed="${packages[*]}"
}

refuse_old_python() {
    said=$("$python" -I -c 'import sys; print("Python %d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
    fail "Python 3.$oldest or later is needed, $python is ${said:-none}$instead"
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
    local number=3 each
    [ -z "$claim" ] || later_steps=${later_steps/ service/ provision service}
    # shellcheck disable=SC2086 # they are words
    set -- $later_steps
    printf '%2d/%d  platform\n%2d/%d  python\n       + %s\n' 1 $(($# + 2)) 2 $(($# + 2)) "${advice/ && /$'\n       + '}"
    for each; do
        printf '%2d/%d  %s\n' "$number" $(($# + 2)) "$each"
        number=$((number + 1))
    done
    printf 'what these steps do is told by Python, which is not here yet\n'
    exit 0
}
