# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # what is set here is used in steps.sh, and the other way round
# The words of macOS, for steps.sh: Apple's Python, accounts of the directory service, a job of launchd.
# Only tools and options that every macOS since 11 has; launchctl by its commands of today, not load and unload.

template=$here/../configs/amazon-defender-publisher-osx.json
pythons="/usr/bin/python3 /Library/Frameworks/Python.framework/Versions/Current/bin/python3 /opt/homebrew/bin/python3
    /usr/local/bin/python3" # Apple's, python.org's, Homebrew's: those that only root can change come first
default_python="the first of 3.9 or later of Apple, python.org, Homebrew"
service_user=_amazon-defender # with a line in front, as macOS names accounts that are nobody's
lowest_id=400                 # ids below 500 are hidden; Apple takes those up to 300 and a little beyond
highest_id=499
known_within=15               # seconds in which a new account can be asked for by its name
state_directory=/opt/aws/amazon-defender-publisher/state
logfile=/opt/aws/amazon-defender-publisher/logs/amazon-defender-publisher.log
label=com.amazonaws.amazon-defender-publisher
service_file=/Library/LaunchDaemons/$label.plist
rotation_file=/etc/newsyslog.d/$label.conf
service_manager=launchctl
leaves_within=30   # seconds in which a job that was booted out is gone; launchd kills it after 20 (ExitTimeOut)
bootstraps=20      # how often a bootstrap is tried, once a second: after a bootout it fails for 5 s and more
starts_within=35   # seconds; launchd may put a second start off by ThrottleInterval
key_reader="root and $service_user" # launchd hands over no key as systemd does: the account has to be able to read it

describe_platform() {
    [ "$(uname -s)" = Darwin ] || fail "this is for macOS; on Linux there is install-rpi.bash"
    say "macOS $(ask_system sw_vers -productVersion 2>/dev/null || say "of an unknown version"), $(uname -m)"
}

# Python

find_python() {
    for candidate in $pythons; do
        candidate=$(below_prefix "$candidate")
        if is_usable "$candidate"; then
            say "$candidate"
            return
        fi
    done
}

# Below a prefix that has tools of its own the whole system is there.
below_prefix() {
    if [ -n "$prefix" ] && [ -x "$prefix/bin/xcode-select" ]; then say "$prefix$1"; else say "$1"; fi
}

# Whether a Python is there and new enough. Without Apple's developer tools /usr/bin/python3 only opens a window.
is_usable() {
    case $1 in
    */usr/bin/python3) xcode-select -p >/dev/null 2>&1 || return ;;
    esac
    command -v "$1" >/dev/null 2>&1 && "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1
}

name_missing() {
    is_usable "$python" || say python3
}

provide() {
    fail "Python 3.9 or later is needed: xcode-select --install brings Apple's; another one can be named by --python"
}

provide_packages() {
    return 1 # all packages have wheels for macOS
}

# The account

make_user() {
    number=$(find_number)
    [ -n "$number" ] || fail "there is no free id from $lowest_id to $highest_id for $service_user"
    give "/Groups/$service_user" PrimaryGroupID "$number"
    give "/Groups/$service_user" RealName "AWS IoT Device Defender"
    give "/Groups/$service_user" Password '*'
    give "/Users/$service_user" UniqueID "$number"
    give "/Users/$service_user" PrimaryGroupID "$number"
    give "/Users/$service_user" RealName "AWS IoT Device Defender"
    give "/Users/$service_user" NFSHomeDirectory /var/empty
    give "/Users/$service_user" UserShell /usr/bin/false
    give "/Users/$service_user" Password '*'
    give "/Users/$service_user" IsHidden 1
    wait_for_account
    refuse_power
    (umask 077 && run mkdir -p "$prefix$state_directory") || fail "$prefix$state_directory cannot be made"
    run chmod 700 "$prefix$state_directory"
    own "$prefix$state_directory"
}

# The id that the account or its group has already, or one that neither an account nor a group has.
find_number() {
    for record in /Users/$service_user:UniqueID /Groups/$service_user:PrimaryGroupID; do
        found=$(read_key "${record%:*}" "${record#*:}")
        if [ -n "$found" ]; then
            say "$found"
            return
        fi
    done
    {
        ask_system dscl . -list /Users UniqueID
        ask_system dscl . -list /Groups PrimaryGroupID
    } | awk -v low=$lowest_id -v high=$highest_id '
        { taken[$NF] = 1 }
        END { for (id = low; id <= high; id++) if (!(id in taken)) { print id; exit } }'
}

read_key() {
    ask_system dscl . -read "$1" "$2" 2>/dev/null | awk -v key="$2:" '$1 == key { print $2 }'
}

# Give an account or a group, which is made if it is not there, a key with a value.
give() {
    system dscl . -create "$@" || fail "dscl . -create $1 $2 did not work"
}

# What the directory service was told a moment ago, others who ask by name may not hear yet.
wait_for_account() {
    waited=0
    until [ "$dry_run" = yes ] || is_known; do
        [ $waited -lt $known_within ] || fail "the account $service_user was made, but is not known yet: run this again"
        waited=$((waited + 1))
        sleep 1
    done
}

is_known() {
    if [ -n "$prefix" ] && [ ! -x "$prefix/bin/id" ]; then return; fi
    [ "$(ask_system id -u "$service_user" 2>/dev/null)" = "$number" ]
}

refuse_power() {
    case " $(ask_system id -Gn "$service_user" 2>/dev/null) " in
    *" admin "* | *" wheel "*) fail "the account $service_user must not be an administrator's" ;;
    esac
}

remove_user() {
    for record in /Users/$service_user /Groups/$service_user; do
        if ask_system dscl . -read "$record" >/dev/null 2>&1; then
            system dscl . -delete "$record" || fail "$record cannot be removed"
        fi
    done
}

own() {
    system chown "$service_user:$service_user" "$1" || fail "$1 cannot be given to $service_user"
}

# The job

write_service() {
    own "$etc/private.key"
    errors=$root/stderr.log
    run cp /dev/null "$errors" || fail "$errors cannot be written"
    run chmod 600 "$errors"
    own "$errors"
    system plutil -lint -s "$1/installers/$label.plist" || fail "$label.plist is damaged"
    put "$1/installers/$label.plist" "$prefix$service_file"
    put "$1/installers/$label.conf" "$prefix$rotation_file"
}

# Put a file in place in one step, as launchd wants it: root's, and written by nobody else.
put() {
    make_open "${2%/*}"
    run cp "$1" "$2.new" || fail "$2 cannot be written"
    run chmod 644 "$2.new"
    system chown root:wheel "$2.new" || fail "$2 cannot be given to root"
    run mv -f "$2.new" "$2"
}

remove_service() {
    for file in "$prefix$service_file" "$prefix$rotation_file" "$root"/stderr.log*; do
        if [ -f "$file" ]; then run rm -f "$file"; fi
    done
}

start_service() {
    stop_service
    system launchctl enable "system/$label" || return
    bootstrap_service || return
    system launchctl kickstart -k "system/$label" || true # refused where the bootstrap is starting it just now
    wait_until_started
}

bootstrap_service() {
    attempt=1
    until system launchctl bootstrap system "$prefix$service_file"; do
        [ $attempt -lt $bootstraps ] || return 1
        attempt=$((attempt + 1))
        sleep 1
    done
}

wait_until_started() {
    waited=0
    while [ "$dry_run" != yes ] && started=$(name_process) && [ -z "$started" ]; do
        [ $waited -lt $starts_within ] || return 1
        waited=$((waited + 1))
        sleep 1
    done
}

# The id of the job's process, or nothing.
name_process() {
    ask_system launchctl print "system/$label" 2>/dev/null | awk '$1 == "pid" && $2 == "=" { print $3; exit }'
}

# launchctl comes back before the job has ended, and a bootstrap would be refused until it has.
stop_service() {
    is_loaded || return 0
    system launchctl bootout "system/$label"
    waited=0
    while [ "$dry_run" != yes ] && is_loaded; do
        [ $waited -lt $leaves_within ] || fail "the service cannot be stopped"
        waited=$((waited + 1))
        sleep 1
    done
}

is_loaded() {
    ask_system launchctl print "system/$label" >/dev/null 2>&1
}

service_lives() {
    [ "$dry_run" = yes ] || [ "$(name_process)" = "$started" ]
}

purge_service() {
    : # remove_service leaves nothing
}

tell_service() {
    say "look at: sudo launchctl print system/$label; $root/logs/$name.log; $root/stderr.log"
}

tell_why() {
    tail -n 12 "$root/stderr.log" 2>/dev/null || true
}
