#!/usr/bin/env bash
# Make this device, any Linux with systemd, report to AWS IoT Device Defender: install the service, or upgrade it.
# What happens is told in steps.sh; the words of Linux are in linux.sh.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=installers/linux.sh
. "$here/linux.sh"
# shellcheck source=installers/steps.sh
. "$here/steps.sh"
install "$@"
