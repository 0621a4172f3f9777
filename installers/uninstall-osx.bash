#!/bin/bash
# Remove the service from this Mac; with --purge everything that belongs to it.
# What happens is told in removal.sh; the words of macOS are in macos.sh.
case " $* " in
*" --prefix"*) ;;
*) PATH=/usr/bin:/bin:/usr/sbin:/sbin ;; # macOS's own tools, not those that somebody has put before them
esac
here=$(CDPATH='' cd "$(dirname "$0")" && pwd)
# shellcheck source=installers/macos.sh
. "$here/macos.sh"
# shellcheck source=installers/removal.sh
. "$here/removal.sh"
remove "$@"
