# shellcheck shell=bash
# Which Python a Mac has: Apple's, python.org's, Homebrew's; those that only root can change come first.
# Sourced by install-osx.bash, and by the start of the service, which looks for another one when its own is gone.
pythons="/usr/bin/python3 /Library/Frameworks/Python.framework/Versions/Current/bin/python3 /opt/homebrew/bin/python3
    /usr/local/bin/python3"

# Whether a Python is there and new enough. Without Apple's developer tools /usr/bin/python3 only opens a window.
is_usable() {
    case $1 in
    */usr/bin/python3) xcode-select -p >/dev/null 2>&1 || return ;;
    esac
    command -v "$1" >/dev/null 2>&1 && "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1
}

# Print the first that is usable; below a directory that stands for / in tests.
find_mac_python() {
    local each
    for each in $pythons; do
        if is_usable "${1-}$each"; then
            printf '%s\n' "${1-}$each"
            return
        fi
    done
}
