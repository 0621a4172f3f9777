#!/usr/bin/env bash
# Remove the service from this device, any Linux with systemd; with --purge everything that belongs to it.
# What happens is told in removal.bash; here is what Linux does for it.
[ -n "${BASH_VERSION-}" ] || { echo "this needs bash: sudo bash $0 ..." >&2; exit 2; }
unset CDPATH BASH_ENV ENV "${!PYTHON@}"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # the system's tools, and where userdel is, which a plain su leaves out
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=installers/removal.bash
. "$here/removal.bash"
service_user=$name
state_directory=/var/lib/$name
unit=$name.service
service_file=/etc/systemd/system/$unit
service_manager=systemctl

describe_platform() {
    [ "$(uname -s)" = Linux ] || fail "this is for Linux with systemd; on macOS there is uninstall-osx.bash"
    say "$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\).*/\1/p' /etc/os-release 2>/dev/null), $(uname -m)"
}

find_python() {
    command -v /usr/bin/python3
}

stop_service() {
    if [ -f "$prefix$service_file" ]; then
        system systemctl stop "$unit" || fail "the service cannot be stopped: $refused"
    fi
}

remove_service() {
    if [ -f "$prefix$service_file" ] || [ -n "$dry_run" ]; then
        system systemctl -q disable "$unit"
        system systemctl reset-failed "$unit"
        run rm -f "$prefix$service_file" "$prefix$service_file.new"
        system systemctl daemon-reload
    fi
}

# What was added by `systemctl edit`.
purge_service() {
    if [ -d "$prefix$service_file.d" ]; then
        run rm -rf "$prefix$service_file.d"
        system systemctl daemon-reload
    fi
}

remove_user() {
    if ask_system getent passwd "$service_user" >/dev/null; then
        system userdel "$service_user" || fail "the user $service_user cannot be removed: $refused"
    fi
    if ask_system getent group "$service_user" >/dev/null; then
        system groupdel "$service_user" || fail "the group $service_user cannot be removed: $refused"
    fi
}

remove "$@"
