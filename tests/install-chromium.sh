#!/bin/sh
# Bring Chromium, in which the console's pages are looked at, where apt can: the tests say what is skipped without.
command -v chromium >/dev/null && exit 0
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true 2>/dev/null; then as_root="sudo -n"; else
        echo "chromium is not installed, and this user cannot install it: the tests in a browser are skipped"
        exit 0
    fi
fi
if command -v apt-get >/dev/null; then
    echo "installing chromium and prometheus for the tests ..."
    { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends chromium prometheus fonts-noto-core; } >/dev/null 2>&1
fi
command -v chromium >/dev/null || echo "chromium could not be installed: the tests in a browser are skipped"
exit 0
