#!/bin/bash
# Makes a device @WHAT@: sudo bash THIS FILE [options of the installer, as --dry-run]
# What follows the script is a tar: amazon-defender-publisher @VERSION@, its packages, and the thing's bundle, or the fleet's claim, with a
# private key. So keep this file to yourself, and delete it when the device is installed.
[ -n "${BASH_VERSION-}" ] || { echo "this needs bash: sudo bash $0" >&2; exit 2; }

sha256=@SHA256@
length=@LENGTH@ # bytes of the tar

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Print the SHA-256 of a file.
digest() {
    if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1
}

# Whether the packages in here are for this processor; 32-bit ARM gets its own from an index.
have_packages() {
    local processor
    processor=$(dpkg --print-architecture 2>/dev/null || uname -m)
    case $processor in amd64 | x86_64 | arm64 | aarch64) ;; *) return 1 ;; esac
}

# A function, so that a file that was cut off in the middle is not run in part.
main() {
    umask 077
    unset CDPATH
    PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
    local installer options=()
    case $(uname -s) in
    Linux) installer=install-rpi.bash ;;
    Darwin) installer=install-osx.bash ;;
    *) fail "this is for Linux and macOS" ;;
    esac
    [ -f "$0" ] || fail "this reads itself: copy it to the device, and then: sudo bash install-@THING@.bash"
    kit=$(mktemp -d /var/tmp/defender-kit.XXXXXX) || fail "there is no room in /var/tmp"
    trap 'rm -rf "$kit"' EXIT
    trap 'exit 1' INT TERM HUP
    tail -c "$length" "$0" >"$kit/tar" || fail "there is no room in /var/tmp"
    [ "$(digest "$kit/tar")" = "$sha256" ] || fail "$0 is damaged: copy it again"
    tar -xof "$kit/tar" -C "$kit" || fail "it cannot be unpacked in /var/tmp"
    if have_packages; then options=(--wheelhouse "$kit/kit/wheelhouse" --update-lists); fi
    bash "$kit/kit/source/installers/$installer" @OPTION@ "$kit/kit/bundle.tar" ${options[@]+"${options[@]}"} "$@"
}

main "$@"; exit $?
