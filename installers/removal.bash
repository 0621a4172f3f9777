# shellcheck shell=bash disable=SC2034,SC2154 # what is set here is used in the files that source it, and the other way round
# The story of taking it back, told by both uninstallers: in bash, because a Mac whose Python is gone can be cleaned, too.
# Sourced by uninstall-*.bash, which say what is removed (name), and bring what their platform does:
#   service_user, state_directory, service_manager
#   describe_platform, find_python
#   stop_service, remove_service, purge_service, remove_user

help=uninstall.txt
purged="configuration, keys, state and user removed"
step=options step_number=0 steps=4
umask 077

say() {
    printf '%s\n' "$*"
}

begin() {
    step=$1 step_number=$((step_number + 1))
    [ -z "$dry_run" ] || printf '%2d/%d  %s\n' "$step_number" "$steps" "$step"
}

finish() {
    [ -n "$dry_run" ] || printf '%2d/%d  %-14s %s\n' "$step_number" "$steps" "$step" "$*"
}

fail() {
    printf '%s: %s\n' "$step" "$*" >&2
    exit 1
}

misuse() {
    printf '%s\ntry --help\n' "$*" >&2
    exit 2
}

# Print words as a shell would read them again.
quoted() {
    local word
    for word; do
        case $word in
        '' | *[!A-Za-z0-9_./:=@%+,-]*) printf " '%s'" "$(printf '%s\n' "$word" | sed "s/'/'\\\\''/g")" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
}

# Run a command, or in a dry run print it.
run() {
    if [ -n "$dry_run" ]; then printf '       +%s\n' "$(quoted "$@")"; else "$@"; fi
}

# Run a command that changes the system itself. Below a prefix only one that is installed there is run.
system() {
    local tool=$1
    if [ -n "$prefix" ]; then
        [ -x "$prefix/bin/$tool" ] || [ -n "$dry_run" ] || return 0
        tool=$prefix/bin/$tool
    fi
    if [ -n "$dry_run" ]; then
        run "$tool" "${@:2}"
    else
        refused=$("$tool" "${@:2}" 2>&1 </dev/null)
    fi
}

# Ask the system something, in a dry run too; below a prefix only a tool that is installed there is asked.
ask_system() {
    if [ -z "$prefix" ]; then
        "$@"
    else
        [ -x "$prefix/bin/$1" ] && "$prefix/bin/$1" "${@:2}"
    fi
}

can_stop() {
    [ -z "$prefix" ] || [ -n "$dry_run" ] || [ -x "$prefix/bin/$service_manager" ]
}

read_options() {
    prefix='' dry_run='' purge=''
    while [ $# -gt 0 ]; do
        case $1 in
        --help) sed "1s|NAME|${0##*/}|" "$here/$help" && exit 0 ;;
        --dry-run) dry_run=yes ;;
        --purge) purge=yes ;;
        --prefix=?*) prefix=${1#*=} ;;
        --prefix | --prefix=)
            [ "$1" = --prefix ] && [ -n "${2-}" ] || misuse "--prefix needs a value"
            prefix=$2
            shift
            ;;
        *) misuse "there is no option $1" ;;
        esac
        shift
    done
    [ -z "$prefix" ] || [ -d "$prefix" ] || misuse "--prefix must be a directory that is there, got $prefix"
    [ -z "$prefix" ] || prefix=$(cd "$prefix" && pwd) # absolute, without a slash at the end
    root=$prefix/opt/aws/$name
}

# One at a time: whoever has the lock, which a reboot removes and the next one takes from somebody who was killed.
take_lock() {
    [ -z "$dry_run" ] || return 0
    lock=$prefix/var/run/$name.install
    [ -d "${lock%/*}" ] || (umask 022 && mkdir -p "${lock%/*}")
    if ! mkdir "$lock" 2>/dev/null; then
        holder=$(cat "$lock/pid" 2>/dev/null)
        if [ -n "$holder" ] && [ "$holder" != $$ ] && kill -0 "$holder" 2>/dev/null; then
            fail "process $holder installs or removes it right now (otherwise remove $lock)"
        fi
    fi
    trap 'rm -rf "$lock"' EXIT
    echo $$ >"$lock/pid" || fail "$lock cannot be written"
}

remove_parts() {
    local part
    for part; do
        if [ -e "$part" ] || [ -h "$part" ]; then run rm -rf "$part"; fi
    done
}

remove() {
    read_options "$@"
    trap 'trap "" INT TERM HUP; fail "interrupted; run this again"' INT TERM HUP
    begin platform
    if [ "$(id -u)" -ne 0 ] && [ -z "$dry_run$prefix" ]; then fail "this needs root: sudo bash $0 ..."; fi
    found=$(describe_platform) || exit 1
    take_lock
    finish "$found"
    begin service
    if can_stop; then stop_service; fi
    remove_service
    finish "stopped and removed"
    begin program
    certificate_id=$(print_certificate_id)
    remove_parts "$root"/{versions,bin,current,previous,etc.new,etc.old,install.log}
    finish "removed"
    if [ -n "$purge" ]; then purge_rest; else tell_rest; fi
    if [ -n "$certificate_id" ]; then remind; fi
}

# Which certificate goes on being active, as far as there is a Python that can tell.
print_certificate_id() {
    local python
    python=$(find_python)
    [ -z "$python" ] || (cd / && "$python" -I -B "$here/device" certificate-id "$root/etc/certificate.pem" 2>/dev/null)
}

# Print where configuration and keys are.
identity() {
    printf '%s\n' "$root/etc"
}

purge_identity() {
    remove_parts "$root/etc"
}

purge_rest() {
    begin data
    purge_identity
    remove_parts "$root/logs" "$prefix$state_directory"
    for part in "$root" "${root%/*}"; do
        if [ -d "$part" ] && [ -z "$dry_run" ]; then rmdir "$part" 2>/dev/null; fi
    done
    purge_service
    remove_user
    finish "$purged"
}

tell_rest() {
    local part kept=
    begin data
    for part in "$(identity)" "$root/logs" "$prefix$state_directory"; do
        if [ -d "$part" ]; then kept="$kept $part"; fi
    done
    finish "${kept:+kept (--purge removes it):}${kept:- none}"
}

remind() {
    say "The certificate is still active in AWS IoT. To end that:"
    say "  aws iot update-certificate --new-status INACTIVE --certificate-id $certificate_id"
}
