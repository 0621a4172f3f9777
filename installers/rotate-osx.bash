#!/bin/bash
# Replace this Mac's certificate and key by newer ones, where that is due. Run by launchd as root: once a day, and when the
# service notes that it was asked for. The service stops for the seconds that it takes, because both report as the same
# client; whatever comes of it, it is started again.
umask 077
name=amazon-defender-publisher
label=com.amazonaws.$name
second=com.amazonaws.amazon-defender-cloudwatch
here=${0%/*}
program=${here%/installers}
root=${program%/*}
prefix=${root%/opt/aws/*}
config=$root/etc/$name.json
python=$program/venv/bin/python
mark=$root/stopped-to-rotate # the service is to be started again, also after this was killed
spread=3600                  # seconds over which the Macs of a fleet that were started together are spread
leaves_within=30             # seconds in which a job that was booted out is gone; launchd kills it after 20 (ExitTimeOut)
bootstraps=20                # how often a bootstrap is tried, once a second: after a bootout it fails for 5 s and more
account=_amazon-defender
export AMAZON_DEFENDER_COMMANDS_AS=$account # whose the commands of a configuration are

say() {
    printf '%s\n' "$*" >&2 # which is stderr-rotation.log
}

run() {
    "$python" -EsB "$program/$name" "$@"
}

is_loaded() {
    launchctl print "system/$label" >/dev/null 2>&1
}

# launchctl comes back before the job has ended.
stop() {
    local waited=0
    : >"$mark"
    launchctl bootout "system/$label"
    while is_loaded && [ $waited -lt $leaves_within ]; do
        waited=$((waited + 1))
        sleep 1
    done
}

start() {
    local tried=0
    chown $account:$account "$root/etc/private.key" # of the pair that is in force: launchd hands over no key
    until is_loaded || launchctl bootstrap system "$prefix/Library/LaunchDaemons/$label.plist"; do
        tried=$((tried + 1))
        if [ $tried -ge $bootstraps ]; then
            say "the service cannot be started again; install again: sudo bash $here/install-osx.bash"
            return
        fi
        sleep 1
    done
    rm -f "$mark"
    launchctl kickstart -k "system/$second" 2>/dev/null # which reads the new pair then, where it is installed
}

# The environment that the service builds in its state, where an update of macOS took its Python away, is none for root.
if [ ! -x "$python" ]; then
    say "the Python of this version is gone; install again: sudo bash $here/install-osx.bash"
    exit 1
fi
if [ -d "$prefix/var/run/$name.install" ]; then exit 0; fi # an installer works
trap 'if [ -e "$mark" ]; then start; fi' EXIT
trap 'exit 1' INT TERM HUP
run --rotation-due "$config" || exit 0
if [ ! -e "$root/state/rotation-wanted.json" ]; then
    sleep $((RANDOM % spread)) &
    wait # so that a signal ends it
fi
if is_loaded; then stop; fi
run --rotate --if-due "$config"
