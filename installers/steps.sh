# shellcheck shell=sh
# shellcheck disable=SC2154 # the words of the platform come from the one who sources this
# The story that both installers tell: what is asked, what is put where, in which order, and how it is taken back.
#
# Sourced by install-rpi.bash, install-osx.bash and their uninstallers, which bring the words of their platform:
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

name=amazon-defender-publisher
complete=complete # the file that is written into a version last
transcript=/dev/null
transcript_matters= # whether the last command that wrote into it failed
step=options
step_number=0
steps=10
settle=3 # seconds in which a version that ends right after its start shows that

umask 077

# Words

say() {
    printf '%s\n' "$*"
}

begin() {
    step=$1
    step_number=$((step_number + 1))
    if [ "$dry_run" = yes ]; then
        printf '%2d/%d  %s\n' "$step_number" "$steps" "$step"
    fi
}

finish() {
    if [ "$dry_run" != yes ]; then
        printf '%2d/%d  %-14s %s\n' "$step_number" "$steps" "$step" "$*"
    fi
}

fail() {
    printf '%s: %s\n' "$step" "$*" >&2
    if [ -f "$transcript" ] && [ "$transcript_matters" = yes ]; then
        say "the last lines of $transcript:" >&2
        tail -n 8 "$transcript" >&2
    fi
    exit 1
}

misuse() {
    printf '%s\ntry --help\n' "$*" >&2
    exit 2
}

# Print words as a shell would read them again.
quoted() {
    for word; do
        case $word in
        '' | *[!A-Za-z0-9_./:=@%+,-]*)
            rest=$word
            word=
            while :; do
                case $rest in
                *\'*)
                    word=$word${rest%%\'*}"'\\''"
                    rest=${rest#*\'}
                    ;;
                *) break ;;
                esac
            done
            word="'$word$rest'"
            ;;
        esac
        printf ' %s' "$word"
    done
}

# Commands

# Run a command, or in a dry run print it.
run() {
    if [ "$dry_run" = yes ]; then
        printf '       +%s\n' "$(quoted "$@")"
    else
        "$@"
    fi
}

# Run a command whose words matter only when it fails.
quietly() {
    if [ "$dry_run" = yes ]; then
        run "$@"
    else
        printf '+%s\n' "$(quoted "$@")" >>"$transcript"
        "$@" </dev/null >>"$transcript" 2>&1 || {
            status=$?
            transcript_matters=yes
            return "$status"
        }
        transcript_matters=
    fi
}

# Run a command that changes the system itself. Below a prefix only one that is installed there is run.
system() {
    if [ -z "$prefix" ]; then
        quietly "$@"
        return $? # said, because otherwise it is that of the command before, in a trap
    fi
    system_tool=$1
    shift
    if [ -x "$prefix/bin/$system_tool" ] || [ "$dry_run" = yes ]; then
        quietly "$prefix/bin/$system_tool" "$@"
    fi
}

# Ask the system something, in a dry run too; below a prefix only a tool that is installed there is asked.
ask_system() {
    if [ -z "$prefix" ]; then
        "$@"
        return
    fi
    system_tool=$1
    shift
    [ -x "$prefix/bin/$system_tool" ] && "$prefix/bin/$system_tool" "$@"
}

# Run a command that makes files for everybody, such as a package's.
openly() {
    umask 022
    "$@"
    set -- $? # the only thing that outlives it
    umask 077
    return "$1"
}

# Make directories that everybody may enter.
make_open() {
    for made; do
        if [ ! -d "$made" ]; then (umask 022 && run mkdir -p "$made") || fail "$made can not be made"; fi
    done
}

device() {
    run "$python" -I -B "$here/device" "$@"
}

# Options

usage() {
    cat <<END
usage: ${0##*/} [options]

Installs amazon-defender-publisher as a service, or upgrades it: configuration and keys are kept then.

  --bundle FILE       a thing's bundle: configuration, certificate, private key and roots, made by deploy.py
  --endpoint HOST     the account's endpoint
  --thing-name NAME   who this device is
  --certificate FILE  its certificate
  --private-key FILE  the private key of that
  --root-ca FILE      the authorities to trust (default: Amazon's)
  --port N            8883 (the default) or 443
  --config FILE       a complete configuration
  --replace           take configuration and keys over although there are some, which are kept as .old
  --non-interactive   never ask; otherwise what is missing is asked for, on a terminal
  --wheelhouse DIR    take Python packages from there, and nothing from a network
  --python FILE       the Python to use (default: $default_python)
  --prefix DIR        put everything below DIR, for tests; nothing outside is changed or started
  --dry-run           print every command, change nothing
  --help

Exit status: 0 a report was accepted, 1 not yet (the last line says what to do), 2 wrong or missing options.
END
}

usage_of_removal() {
    cat <<END
usage: ${0##*/} [options]

Removes the service and its program. Configuration, keys and state are kept.

  --purge             remove those too, and the service's user
  --prefix DIR        what was installed below DIR
  --dry-run           print every command, change nothing
  --help
END
}

read_options() {
    for option in bundle endpoint thing_name certificate private_key root_ca port config wheelhouse python prefix \
        replace purge dry_run; do
        eval "$option="
    done
    interactive=yes
    while [ $# -gt 0 ]; do
        case $1 in
        --*=*) # --option=value
            option=$1
            shift
            set -- "${option%%=*}" "${option#*=}" "$@"
            ;;
        esac
        case $does:$1 in
        install:--help) usage && exit 0 ;;
        remove:--help) usage_of_removal && exit 0 ;;
        *:--dry-run) dry_run=yes ;;
        install:--non-interactive) interactive= ;;
        install:--replace) replace=yes ;;
        remove:--purge) purge=yes ;;
        *:--prefix | install:--bundle | install:--endpoint | install:--thing-name | install:--certificate | \
            install:--private-key | install:--root-ca | install:--port | install:--config | install:--wheelhouse | \
            install:--python)
            if [ $# -lt 2 ] || [ -z "$2" ]; then misuse "$1 needs a value"; fi
            take_option "$1" "$2"
            shift
            ;;
        *) misuse "there is no option $1" ;;
        esac
        shift
    done
    check_options
}

take_option() {
    case $1 in
    --prefix) prefix=$2 ;;
    --bundle) bundle=$2 ;;
    --endpoint) endpoint=$2 ;;
    --thing-name) thing_name=$2 ;;
    --certificate) certificate=$2 ;;
    --private-key) private_key=$2 ;;
    --root-ca) root_ca=$2 ;;
    --port) port=$2 ;;
    --config) config=$2 ;;
    --wheelhouse) wheelhouse=$2 ;;
    --python) python=$2 ;;
    esac
}

check_options() {
    if [ -n "$bundle" ] && [ -n "$config" ]; then misuse "give --bundle or --config, not both"; fi
    case $port in *[!0-9]* | ??????*) misuse "--port must be a number, got $port" ;; esac
    if [ -n "$wheelhouse" ] && [ ! -d "$wheelhouse" ]; then misuse "--wheelhouse must be a directory, got $wheelhouse"; fi
    for given in "$bundle" "$certificate" "$private_key" "$root_ca" "$config"; do
        if [ -n "$given" ] && [ ! -f "$given" ]; then misuse "there is no file $given"; fi
    done
    if [ -n "$prefix" ]; then
        if [ ! -d "$prefix" ]; then misuse "--prefix must be a directory that is there, got $prefix"; fi
        prefix=$(cd "$prefix" && pwd) # absolute, without a slash at the end
    fi
    if [ -n "$wheelhouse" ]; then wheelhouse=$(cd "$wheelhouse" && pwd); fi
    root=$prefix/opt/aws/$name
    etc=$root/etc
    staged=$root/etc.new
    before=$root/etc.old
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
    echo $$ >"$lock/pid" || fail "$lock can not be written"
}

# The steps

check_platform() {
    begin platform
    if [ "$(id -u)" -ne 0 ] && [ -z "$dry_run$prefix" ]; then fail "this needs root: sudo $0 ..."; fi
    found=$(describe_platform) || exit 1
    python=${python:-$(find_python)}
    take_lock
    finish "$found"
}

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

install_program() {
    begin program
    source=$(cd "$here/.." && pwd)
    version=$("$python" -I -B "$here/device" name-program "$source" 2>/dev/null) || version=VERSION # without a Python yet
    program=$root/versions/$version
    if ! is_whole "$program" && [ "$(readlink "$root/current")" = "versions/$version" ]; then
        program=$program.again # what runs is not taken from below it
    fi
    if is_whole "$program"; then
        found="$version is there already"
    else
        build_version
        found="$version in $program${how_built:+; $how_built}"
    fi
    make_open "$root/bin"
    device write-launcher "$root" || fail "$root/bin can not be written"
    finish "$found"
}

# Whether a version was installed to its end, nothing of it is damaged, and its packages fit the system's Python.
is_whole() {
    [ -f "$1/$complete" ] &&
        "$1/venv/bin/python" -Es -c 'import AWSIoTPythonSDK, cbor2, msgspec, psutil, timeloop' &&
        "$1/venv/bin/python" -Es "$1/$name" --version &&
        "$python" -I -B "$here/device" check-copy "$1"
} >/dev/null 2>&1

build_version() {
    run rm -rf "$program"
    make_open "$root/versions" "$program"
    device copy-program "$source" "$program" || fail "the program can not be copied to $program"
    how_built=
    if ! install_packages; then
        provide_packages || fail "the Python packages can not be installed"
        install_packages --system-site-packages || fail "the Python packages can not be installed"
    fi
    run chmod -R a+rX,go-w "$program"
    quietly "$program/venv/bin/python" -I -m compileall -q "$program/defender_publisher"
    run chmod -R a+rX "$program/defender_publisher"
    run touch "$program/$complete"
    if [ "$dry_run" != yes ] && ! is_whole "$program"; then fail "what was installed in $program does not run"; fi
}

# Make the virtual environment; pip needs the network, or the wheelhouse. An argument goes to venv.
install_packages() {
    quietly "$python" -I -m venv --clear "$@" "$program/venv" || return $?
    set -- -r "$program/requirements.txt"
    if [ -n "$wheelhouse" ]; then set -- --no-index --find-links "$wheelhouse" "$@"; fi
    quietly "$program/venv/bin/python" -I -m pip install --no-input --disable-pip-version-check --no-cache-dir "$@"
}

check_configuration() {
    begin configuration
    checked=$staged/$name.json
    if [ "$dry_run" != yes ] && [ ! -f "$checked" ]; then checked=$etc/$name.json; fi
    quietly "$program/venv/bin/python" -Es "$program/$name" --check-config "$checked" || fail "it can not be used"
    finish "$etc/$name.json"
}

install_keys() {
    begin keys
    make_open "$etc"
    if [ -n "$replace" ] && [ -f "$etc/$name.json" ] && [ ! -d "$before" ]; then
        device keep-files "$etc" "$before" || fail "what is in $etc can not be kept"
    fi
    device place-files "$staged" "$etc" || fail "$etc can not be written"
    finish "$etc/private.key, readable by ${key_reader:-root} only"
}

install_user() {
    begin user
    make_user
    make_open "$root/logs"
    run chmod 750 "$root/logs"
    system chown "$service_user" "$root/logs" || fail "$root/logs can not be given to $service_user"
    share_configuration || fail "$etc/$name.json, which holds a password, can not be given to $service_user"
    finish "$service_user, who can not log in"
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

start() {
    begin start
    old=$(readlink "$root/previous" || readlink "$root/current") || old=
    started_at=$(date +%s)
    switching=yes
    if [ -n "$old" ] && [ "$root/$old" != "$program" ]; then device point "$root/previous" "$old"; fi
    device point "$root/current" "versions/${program##*/}" || fail "$root/current can not be written"
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

can_start() {
    [ -z "$prefix" ] || [ "$dry_run" = yes ] || [ -x "$prefix/bin/$service_manager" ]
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

interrupted() {
    trap '' INT TERM HUP
    if [ "$switching" = yes ]; then bring_back "was interrupted"; fi
    fail "interrupted; run this again"
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

# Taking it back

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
