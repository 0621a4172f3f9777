# shellcheck shell=sh
# shellcheck disable=SC2154 # the words of the platform come from the one who sources this
# The story of taking it back, told by both uninstallers, which bring the words of their platform (listed in steps.sh).

# shellcheck source=installers/words.sh
. "$here/words.sh"
# shellcheck source=installers/options.sh
. "$here/options.sh"
# shellcheck source=installers/session.sh
. "$here/session.sh"

remove() {
    does=remove
    steps=4
    dry_run=
    switching=
    read_options "$@"
    trap interrupted INT TERM HUP
    check_platform
    begin service
    if can_start; then stop_service; fi
    remove_service
    finish "stopped and removed"
    begin program
    certificate_id=$("$python" -I -B "$here/device" certificate-id "$etc/certificate.pem" 2>/dev/null) || certificate_id=
    for part in versions bin current previous etc.new etc.old install.log; do
        if [ -e "$root/$part" ] || [ -h "$root/$part" ]; then run rm -rf "$root/$part"; fi
    done
    finish "removed"
    if [ "$purge" = yes ]; then purge_rest; else tell_rest; fi
    if [ -n "$certificate_id" ]; then remind; fi
}

purge_rest() {
    begin data
    for part in "$etc" "$root/logs" "$prefix$state_directory"; do
        if [ -d "$part" ]; then run rm -rf "$part"; fi
    done
    for part in "$root" "${root%/*}"; do
        if [ -d "$part" ] && [ "$dry_run" != yes ]; then rmdir "$part" 2>/dev/null; fi
    done
    purge_service
    remove_user
    finish "configuration, keys, state and user removed"
}

tell_rest() {
    begin data
    kept=
    for part in "$etc" "$root/logs" "$prefix$state_directory"; do
        if [ -d "$part" ]; then kept="$kept $part"; fi
    done
    finish "${kept:+kept (--purge removes it):}${kept:- none}"
}

remind() {
    say "The certificate is still active in AWS IoT. To end that:"
    say "  aws iot update-certificate --new-status INACTIVE --certificate-id $certificate_id"
}
