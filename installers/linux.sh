# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # what is set here is used in steps.sh, and the other way round
# The words of Linux with systemd, for steps.sh: packages of apt or dnf, users of shadow, a unit of systemd.

PATH=$PATH:/usr/sbin:/sbin # where useradd is, and what a plain su leaves out
template=$here/../configs/amazon-defender-publisher-rpi.json
default_python=/usr/bin/python3
service_user=amazon-defender-publisher
state_directory=/var/lib/amazon-defender-publisher
logfile= # the journal, unless the configuration names a file
unit=amazon-defender-publisher.service
service_file=/etc/systemd/system/$unit
service_manager=systemctl
oldest_systemd=247 # which brought LoadCredential

find_python() {
    say "$default_python"
}

describe_platform() {
    [ "$(uname -s)" = Linux ] || fail "this is for Linux with systemd; on macOS there is install-osx.bash"
    version=$(ask_system systemctl --version 2>/dev/null) || version=
    version=${version#systemd } && version=${version%%[!0-9]*}
    if [ -z "$prefix" ]; then
        if [ ! -d /run/systemd/system ] && [ "$dry_run" != yes ]; then fail "systemd does not run here"; fi
        [ "${version:-0}" -ge "$oldest_systemd" ] || fail "systemd $oldest_systemd or later is needed, not ${version:-none}"
    fi
    # shellcheck source=/dev/null
    said=$(. /etc/os-release && say "$PRETTY_NAME") || said=Linux
    say "$said, $(name_architecture)${version:+, systemd $version}"
}

# The userland's architecture: the kernel's may be a 64-bit one below 32-bit programs.
name_architecture() {
    dpkg --print-architecture 2>/dev/null || rpm --eval '%{_arch}' 2>/dev/null || uname -m
}

name_missing() {
    if ! command -v "$python" >/dev/null 2>&1; then
        say python3 venv
    elif ! "$python" -I -c 'import ensurepip, venv' 2>/dev/null; then
        say venv
    fi
}

provide() {
    packages=
    for package; do
        case $package:$(name_packager) in
        python3:*) packages="$packages python3" ;;
        venv:apt) packages="$packages python3-venv" ;;
        venv:dnf) packages="$packages python3-pip" ;;
        esac
    done
    # shellcheck disable=SC2086 # words
    install_system_packages $packages || fail "install what is missing first: $(advise_packages $packages)"
    missing=${packages# }
}

name_packager() {
    if command -v apt-get >/dev/null; then
        say apt
    elif command -v dnf >/dev/null; then
        say dnf
    fi
}

advise_packages() {
    case $(name_packager) in
    apt) say "apt-get update && apt-get install --no-install-recommends $*" ;;
    dnf) say "dnf install $*" ;;
    *) say "there is neither apt nor dnf here" ;;
    esac
}

# Package lists are brought up to date only where it does not go without, and never with a wheelhouse.
install_system_packages() {
    case $(name_packager) in
    apt)
        install_by_apt "$@" && return
        [ -z "$wheelhouse" ] && openly system apt-get -q update && install_by_apt "$@"
        ;;
    dnf) openly system dnf -q -y install "$@" ;;
    *) return 1 ;;
    esac
}

install_by_apt() {
    openly system env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "$@"
}

# Where packages have no wheels, as on 32-bit ARM: the distribution's own as far as it has them, and a compiler.
provide_packages() {
    lacks_wheels || return 1
    case $(name_packager) in
    apt) set -- python3-psutil python3-msgspec python3-cbor2 gcc libc6-dev python3-dev ;;
    dnf) set -- python3-psutil python3-msgspec python3-cbor2 gcc python3-devel ;;
    *) return 1 ;;
    esac
    if [ -z "$wheelhouse" ] && [ "$(name_packager)" = apt ]; then openly system apt-get -q update; fi
    how_built=
    for package; do
        if install_one "$package"; then how_built="$how_built $package"; fi
    done
    how_built="${how_built:+with$how_built of the distribution}"
    [ -n "$how_built" ]
}

# Whether a compiler could help: not where pip got no answer, for instance.
lacks_wheels() {
    case $(name_architecture) in
    armhf | armel | armv6* | armv7* | i386 | i686) return 0 ;;
    esac
    grep -q -e "Failed building wheel" -e "Failed to build" "$transcript"
}

install_one() {
    case $(name_packager) in
    apt) install_by_apt "$1" ;;
    dnf) openly system dnf -q -y install "$1" ;;
    esac
}

# The group comes first, for itself: killed in the middle of both, useradd leaves a user whose group does not exist.
make_user() {
    if ! ask_system getent group "$service_user" >/dev/null; then
        system groupadd --system "$service_user" || fail "there can be no group $service_user"
    fi
    if ! ask_system getent passwd "$service_user" >/dev/null; then
        system useradd --system --gid "$service_user" --no-create-home --home-dir /nonexistent \
            --shell /usr/sbin/nologin --comment "AWS IoT Device Defender" "$service_user" ||
            fail "there can be no user $service_user"
    fi
    groups=$(ask_system id -Gn "$service_user" 2>/dev/null) || groups=
    case $groups in
    '' | "$service_user") ;;
    *) fail "the user $service_user must be in no other group, but is in: $groups" ;;
    esac
}

remove_user() {
    if ask_system getent passwd "$service_user" >/dev/null; then
        system userdel "$service_user" || fail "the user $service_user cannot be removed"
    fi
    if ask_system getent group "$service_user" >/dev/null; then
        system groupdel "$service_user" || fail "the group $service_user cannot be removed"
    fi
}

write_service() {
    make_open "$prefix/etc/systemd/system"
    run cp "$1/installers/$unit" "$prefix$service_file.new" || fail "$prefix$service_file cannot be written"
    run chmod 644 "$prefix$service_file.new"
    run mv "$prefix$service_file.new" "$prefix$service_file"
    system systemctl daemon-reload || fail "systemd does not take the unit"
    system systemctl -q enable "$unit" || fail "the unit cannot be enabled"
}

remove_service() {
    if [ -f "$prefix$service_file" ] || [ "$dry_run" = yes ]; then
        system systemctl -q disable "$unit"
        system systemctl reset-failed "$unit"
        run rm -f "$prefix$service_file" "$prefix$service_file.new"
        system systemctl daemon-reload
    fi
}

start_service() {
    system systemctl restart "$unit"
}

stop_service() {
    if [ -f "$prefix$service_file" ]; then
        system systemctl stop "$unit" || fail "the service cannot be stopped"
    fi
}

service_lives() {
    [ "$dry_run" = yes ] || ask_system systemctl -q is-active "$unit"
}

# What was added by `systemctl edit`.
purge_service() {
    if [ -d "$prefix$service_file.d" ]; then
        run rm -rf "$prefix$service_file.d"
        system systemctl daemon-reload
    fi
}

tell_service() {
    say "look at: systemctl status $unit; journalctl -u $unit"
}

tell_why() {
    ask_system journalctl --sync 2>/dev/null || true # what was said a moment ago is not there yet
    ask_system journalctl --no-pager -q -o cat -n 12 --since "@$started_at" -u "$unit" 2>/dev/null || true
}
