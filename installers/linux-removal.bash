# shellcheck shell=bash disable=SC2034,SC2154 # what is set here is used in the files that source it, and the other way round
# What Linux does for an uninstaller: units of systemd, users of shadow.
# Sourced by the uninstallers for Linux, which say what is removed (name) and its units (units).
service_user=$name
state_directory=/var/lib/$name
unit_directory=/etc/systemd/system
service_manager=systemctl

describe_platform() {
    [ "$(uname -s)" = Linux ] || fail "this is for Linux with systemd$elsewhere"
    say "$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\).*/\1/p' /etc/os-release 2>/dev/null), $(uname -m)"
}

find_python() {
    command -v /usr/bin/python3
}

stop_service() {
    local unit
    for unit in "${units[@]}"; do
        if [ -f "$prefix$unit_directory/$unit" ]; then
            # of a template all that run
            system systemctl stop "${unit/@./@*.}" || fail "the service cannot be stopped: $refused"
        fi
    done
}

remove_service() {
    local unit
    for unit in "${units[@]}"; do
        if [ -f "$prefix$unit_directory/$unit" ] || [ "$unit$dry_run" = "$name.serviceyes" ]; then
            system systemctl -q disable "$unit"
            system systemctl reset-failed "${unit/@./@*.}"
            run rm -f "$prefix$unit_directory/$unit" "$prefix$unit_directory/$unit.new"
            system systemctl daemon-reload
        fi
    done
}

# What was added by `systemctl edit`.
purge_service() {
    local unit
    for unit in "${units[@]}"; do
        if [ -d "$prefix$unit_directory/$unit.d" ]; then
            run rm -rf "$prefix$unit_directory/$unit.d"
            system systemctl daemon-reload
        fi
        case $unit in *.timer) remove_parts "$prefix/var/lib/systemd/timers/stamp-$unit" ;; esac
    done
}

remove_user() {
    if ask_system getent passwd "$service_user" >/dev/null; then
        system userdel "$service_user" || fail "the user $service_user cannot be removed: $refused"
    fi
    if ask_system getent group "$service_user" >/dev/null; then
        system groupdel "$service_user" || fail "the group $service_user cannot be removed: $refused"
    fi
}
