# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # what is set here is used in the files that source it, and the other way round
# The switch to another version: it starts, or what was in force before is brought back.

settle=3 # seconds in which a version that ends right after its start shows that

start() {
    begin start
    old=$(readlink "$root/previous" || readlink "$root/current") || old=
    started_at=$(date +%s)
    switching=yes
    if [ -n "$old" ] && [ "$root/$old" != "$program" ]; then device point "$root/previous" "$old"; fi
    device point "$root/current" "versions/${program##*/}" || fail "$root/current cannot be written"
    if ! can_start; then
        switching=
        finish "not below a prefix"
        return
    fi
    if ! start_service || ! { run sleep "$settle" && service_lives; }; then
        bring_back "does not start"
    fi
    switching=
    forget_old
    finish "running"
}

# Let the version and the configuration be in force again that were before, and end.
bring_back() {
    switching=
    tell_why >&2
    failed=${program##*/}
    back=
    if [ -d "$before" ]; then
        device place-files "$before" "$etc" && back="the configuration of before"
    fi
    if [ -n "$old" ] && [ "$root/$old" != "$program" ] && [ -d "$root/$old" ]; then
        device point "$root/current" "$old"
        write_service "$root/$old"
        program=$root/$old
        back=${old#versions/}
    fi
    if [ -n "$back" ] && share_configuration && start_service; then
        forget_old
        fail "$failed $1; $back is back and runs"
    fi
    fail "$failed $1; $(tell_service)"
}

# Remove what only an upgrade that fails would need.
forget_old() {
    run rm -rf "$root/previous" "$before"
    for version_directory in "$root/versions"/*; do
        if [ "$version_directory" != "$program" ] && [ -d "$version_directory" ]; then
            run rm -rf "$version_directory"
        fi
    done
}
