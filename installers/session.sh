# shellcheck shell=sh
# shellcheck disable=SC2154 # what is used here is set in the files that source it
# A session of an installer or an uninstaller: where it runs, that it runs alone, and how it ends before its time.

check_platform() {
    begin platform
    if [ "$(id -u)" -ne 0 ] && [ -z "$dry_run$prefix" ]; then fail "this needs root: sudo $0 ..."; fi
    found=$(describe_platform) || exit 1
    python=${python:-$(find_python)}
    take_lock
    finish "$found"
}

# One at a time: whoever has the lock, which a reboot removes and the next one takes from somebody who was killed.
take_lock() {
    if [ "$dry_run" = yes ]; then return; fi
    lock=$prefix/var/run/$name.install
    make_open "$prefix/var/run"
    if ! mkdir "$lock" 2>/dev/null; then
        holder=$(cat "$lock/pid" 2>/dev/null) || holder=
        if [ -n "$holder" ] && [ "$holder" != $$ ] && kill -0 "$holder" 2>/dev/null; then
            fail "process $holder installs or removes it right now (otherwise remove $lock)"
        fi
    fi
    trap 'ended=$?; rm -rf "$lock"; exit $ended' EXIT # mksh would end with the status of rm after a signal
    echo $$ >"$lock/pid" || fail "$lock cannot be written"
}

can_start() {
    [ -z "$prefix" ] || [ "$dry_run" = yes ] || [ -x "$prefix/bin/$service_manager" ]
}

# Only an installation switches, and knows how to bring something back.
interrupted() {
    trap '' INT TERM HUP
    if [ "$switching" = yes ]; then bring_back "was interrupted"; fi
    fail "interrupted; run this again"
}
