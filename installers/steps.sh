# shellcheck shell=sh
# shellcheck disable=SC2154 # the words of the platform come from the one who sources this
# The story of installing that both installers tell: what is asked, what is put where, and in which order.
#
# Sourced by install-rpi.bash and install-osx.bash, which bring the words of their platform, as their uninstallers do:
#   here, template, default_python             the directory of these files, the example configuration, which Python
#   find_python                                print the path of that
#   service_user                               who the service runs as
#   state_directory, logfile, service_file     where things are, without the prefix; logfile is empty for none by default
#   describe_platform                          print what this is; fail with a sentence if it is not for this installer
#   name_missing                               print what is missing of the system: python, venv, nothing
#   provide NAME...                            install that, or fail with a sentence that says how
#   provide_packages                           install what Python packages need where there are no wheels, or fail
#   make_user, remove_user                     the service's account
#   write_service DIRECTORY, remove_service    the unit or the plist of the version in that directory
#   purge_service                              what an operator may have added to that
#   service_manager                            the tool that starts and stops it; below a prefix, it is there or not
#   start_service, stop_service                wait until it is ready, or gone
#   service_lives                              whether it still runs, a moment later
#   tell_service                               print how to look at it
#   tell_why                                   print the service's last words
# A subset of POSIX that bash 3.2, dash, mksh and yash run; of the tools only what Linux and macOS have in common.

# shellcheck source=installers/words.sh
. "$here/words.sh"
# shellcheck source=installers/options.sh
. "$here/options.sh"
# shellcheck source=installers/session.sh
. "$here/session.sh"
# shellcheck source=installers/program.sh
. "$here/program.sh"
# shellcheck source=installers/switch.sh
. "$here/switch.sh"

steps=10

find_missing() {
    begin python
    make_open "$root"
    open_transcript
    missing=$(name_missing)
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086 # words
        provide $missing
    fi
    if command -v "$python" >/dev/null 2>&1; then
        said=$("$python" -I -c 'import sys
print("Python %d.%d.%d" % sys.version_info[:3])
sys.exit(sys.version_info < (3, 9))' 2>/dev/null) || fail "Python 3.9 or later is needed, $python is ${said:-none}"
    elif [ "$dry_run" != yes ]; then
        fail "there is no $python"
    fi
    finish "$said, $python${missing:+; installed: $missing}"
}

open_transcript() {
    if [ "$dry_run" != yes ]; then
        transcript=$root/install.log
        rm -f "$transcript"
        : >"$transcript"
    fi
}

gather_identity() {
    begin identity
    set -- --into "$staged" --etc "$etc" --template "$template" --state-directory "$prefix$state_directory"
    if [ -n "$logfile" ]; then set -- "$@" --logfile "$prefix$logfile"; fi
    if [ -n "$bundle" ]; then set -- "$@" --bundle "$bundle"; fi
    if [ -n "$config" ]; then set -- "$@" --config "$config"; fi
    if [ -n "$endpoint" ]; then set -- "$@" --endpoint "$endpoint"; fi
    if [ -n "$thing_name" ]; then set -- "$@" --thing-name "$thing_name"; fi
    if [ -n "$certificate" ]; then set -- "$@" --certificate "$certificate"; fi
    if [ -n "$private_key" ]; then set -- "$@" --private-key "$private_key"; fi
    if [ -n "$root_ca" ]; then set -- "$@" --root-ca "$root_ca"; fi
    if [ -n "$port" ]; then set -- "$@" --port "$port"; fi
    if [ -n "$replace" ]; then set -- "$@" --replace; fi
    if [ -n "$interactive" ]; then set -- "$@" --ask; fi
    if [ "$dry_run" = yes ]; then
        run "$python" -I -B "$here/device" stage-files "$@"
        if command -v "$python" >/dev/null 2>&1; then
            "$python" -I -B "$here/device" stage-files --dry-run "$@" || exit $?
        fi
    else
        found=$("$python" -I -B "$here/device" stage-files "$@") || exit $?
    fi
    finish "$found"
}

check_configuration() {
    begin configuration
    checked=$staged/$name.json
    if [ "$dry_run" != yes ] && [ ! -f "$checked" ]; then checked=$etc/$name.json; fi
    quietly "$program/venv/bin/python" -Es "$program/$name" --check-config "$checked" || fail "it cannot be used"
    finish "$etc/$name.json"
}

install_keys() {
    begin keys
    make_open "$etc"
    if [ -n "$replace" ] && [ -f "$etc/$name.json" ] && [ ! -d "$before" ]; then
        device keep-files "$etc" "$before" || fail "what is in $etc cannot be kept"
    fi
    device place-files "$staged" "$etc" || fail "$etc cannot be written"
    finish "$etc/private.key, readable by ${key_reader:-root} only"
}

install_user() {
    begin user
    make_user
    make_open "$root/logs"
    run chmod 750 "$root/logs"
    system chown "$service_user" "$root/logs" || fail "$root/logs cannot be given to $service_user"
    share_configuration || fail "$etc/$name.json, which holds a password, cannot be given to $service_user"
    finish "$service_user, who cannot log in"
}

# Let the service read a configuration that holds a password, which only root can read so far.
share_configuration() {
    if [ "$dry_run" != yes ] && "$python" -I -B "$here/device" is-secret "$etc/$name.json" 2>/dev/null; then
        system chgrp "$service_user" "$etc/$name.json" && chmod 640 "$etc/$name.json"
    fi
}

install_service() {
    begin service
    write_service "$program"
    finish "$prefix$service_file"
}

await_verdict() {
    begin verdict
    if ! can_start; then
        finish "none below a prefix"
        return
    fi
    found=$(device wait-for-verdict "$root/bin/$name" "$etc/$name.json" "$started_at") || {
        say "$(tell_service)" >&2
        exit 1
    }
    if [ "$dry_run" = yes ]; then say "$found"; fi
    finish "$found"
}

install() {
    does=install
    switching=
    dry_run=
    read_options "$@"
    trap interrupted INT TERM HUP
    check_platform
    find_missing
    gather_identity
    install_program
    check_configuration
    install_keys
    install_user
    install_service
    start
    await_verdict
}
