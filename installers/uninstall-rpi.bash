#!/usr/bin/env bash
# Remove the service from this device, any Linux with systemd; with --purge everything that belongs to it.
# What happens is told in removal.sh; the words of Linux are in linux.sh.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=installers/linux.sh
. "$here/linux.sh"
# shellcheck source=installers/removal.sh
. "$here/removal.sh"
remove "$@"
