#!/bin/sh
# Bring mosquitto, the independent second broker, where the package manager can; the tests say what is skipped without.
PATH="$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
command -v mosquitto >/dev/null && exit 0
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true 2>/dev/null; then as_root="sudo -n"; else
        echo "mosquitto is not installed, and this user cannot install it: the tests against it are skipped"
        exit 0
    fi
fi
echo "installing mosquitto for the tests ..."
if command -v apt-get >/dev/null; then
    { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends mosquitto; } >/dev/null 2>&1
elif command -v dnf >/dev/null; then
    $as_root dnf install -q -y mosquitto >/dev/null 2>&1
elif command -v brew >/dev/null; then
    brew install -q mosquitto >/dev/null 2>&1
fi
command -v mosquitto >/dev/null || echo "mosquitto could not be installed: the tests against it are skipped"
exit 0
