#!/usr/bin/env bash
# Remove amazon-defender-detect from this machine, any Linux with systemd; with --purge everything that belongs to it.
# What happens is told in removal.bash; what Linux does for it is in linux-removal.bash.
[ -n "${BASH_VERSION-}" ] || { echo "this needs bash: sudo bash $0 ..." >&2; exit 2; }
unset CDPATH BASH_ENV ENV "${!PYTHON@}"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # the system's tools, and where userdel is, which a plain su leaves out
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=amazon-defender-detect
units=(amazon-defender-detect.service amazon-defender-detect@.service amazon-defender-detect-console.service)
elsewhere=
# shellcheck source=installers/removal.bash
. "$here/removal.bash"
# shellcheck source=installers/linux-removal.bash
. "$here/linux-removal.bash"
help=uninstall-detect.txt
purged="configuration, authority, keys, state and user removed"

# What `amazon-defender-detect init` made, to which etc is a link.
identity() {
    readlink "$root/etc"
}

# Only a directory of Detect's is removed, wherever the link leads.
purge_identity() {
    local directory
    directory=$(identity)
    case $directory in
    /*/*) if [ -f "$directory/$name.json" ]; then remove_parts "$directory"; fi ;;
    esac
    remove_parts "$root/etc"
}

remove "$@"
