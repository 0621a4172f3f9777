#!/usr/bin/env bash
# Remove the service from this device, any Linux with systemd; with --purge everything that belongs to it.
# What happens is told in removal.bash; what Linux does for it is in linux-removal.bash.
[ -n "${BASH_VERSION-}" ] || { echo "this needs bash: sudo bash $0 ..." >&2; exit 2; }
unset CDPATH BASH_ENV ENV "${!PYTHON@}"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # the system's tools, and where userdel is, which a plain su leaves out
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=amazon-defender-publisher
units=( # what starts others first, so that nothing is started again
    amazon-defender-rotation.path amazon-defender-rotation.timer amazon-defender-rotation.service
    amazon-defender-provision.timer amazon-defender-provision.service
    amazon-defender-publisher.service amazon-defender-cloudwatch.service
)
elsewhere="; on macOS there is uninstall-osx.bash"
# shellcheck source=installers/removal.bash
. "$here/removal.bash"
# shellcheck source=installers/linux-removal.bash
. "$here/linux-removal.bash"

remove "$@"
