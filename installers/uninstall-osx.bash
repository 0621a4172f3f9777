#!/bin/bash
# Remove the service from this Mac; with --purge everything that belongs to it.
# What happens is told in removal.bash; here is what macOS does for it.
[ -n "${BASH_VERSION-}" ] || { echo "this needs bash: sudo bash $0 ..." >&2; exit 2; }
unset CDPATH BASH_ENV ENV "${!PYTHON@}"
case " $* " in
*" --prefix"*) ;;
*) PATH=/usr/bin:/bin:/usr/sbin:/sbin ;; # macOS's own tools, not those that somebody has put before them
esac
here=$(cd "$(dirname "$0")" && pwd)
name=amazon-defender-publisher
# shellcheck source=installers/removal.bash
. "$here/removal.bash"
# shellcheck source=installers/mac-python.bash
. "$here/mac-python.bash"
service_user=_amazon-defender
state_directory=/opt/aws/$name/state
labels="com.amazonaws.amazon-defender-rotation com.amazonaws.$name com.amazonaws.amazon-defender-cloudwatch"
service_manager=launchctl
leaves_within=30 # seconds in which a job that was booted out is gone; launchd kills it after 20 (ExitTimeOut)

describe_platform() {
    [ "$(uname -s)" = Darwin ] || fail "this is for macOS; on Linux there is uninstall-rpi.bash"
    say "macOS $(ask_system sw_vers -productVersion 2>/dev/null || say "of an unknown version"), $(uname -m)"
}

# Below a prefix that has tools of its own the whole system is there.
find_python() {
    local below=''
    if [ -n "$prefix" ] && [ -x "$prefix/bin/xcode-select" ]; then below=$prefix; fi
    find_mac_python "$below"
}

# launchctl comes back before the job has ended.
stop_service() {
    local label waited
    for label in $labels; do
        is_loaded || continue
        waited=0
        system launchctl bootout "system/$label"
        while [ -z "$dry_run" ] && is_loaded; do
            [ $waited -lt $leaves_within ] || fail "the service cannot be stopped: $refused"
            waited=$((waited + 1))
            sleep 1
        done
    done
}

is_loaded() {
    ask_system launchctl print "system/$label" >/dev/null 2>&1
}

remove_service() {
    local label file
    for label in $labels; do
        for file in "$prefix/Library/LaunchDaemons/$label.plist" "$prefix/etc/newsyslog.d/$label.conf"; do
            if [ -f "$file" ]; then run rm -f "$file"; fi
        done
    done
    for file in "$root"/stderr.log* "$root"/stderr-cloudwatch.log* "$root"/stderr-rotation.log* "$root"/stopped-to-rotate; do
        if [ -f "$file" ]; then run rm -f "$file"; fi
    done
}

purge_service() {
    : # remove_service leaves nothing
}

# macOS lets a program delete an account only if it has Full Disk Access.
remove_user() {
    local record
    for record in "/Users/$service_user" "/Groups/$service_user"; do
        ask_system dscl . -read "$record" >/dev/null 2>&1 || continue
        system dscl . -delete "$record" || case $refused in
        *-14120*)
            fail "all is removed but $record: macOS refuses that (-14120) to a program without Full Disk Access:" \
                "allow it to Terminal, or for ssh to sshd-keygen-wrapper, in System Settings > Privacy & Security >" \
                "Full Disk Access, and run this again"
            ;;
        *) fail "$record cannot be removed: $refused" ;;
        esac
    done
}

remove "$@"
