#!/bin/sh
# Bring libfaketime, which shows a program another time, where the package manager can; the tests say what is skipped.
find /usr/lib /usr/lib64 /usr/local/lib -name libfaketimeMT.so.1 2>/dev/null | grep -q . && exit 0
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true 2>/dev/null; then as_root="sudo -n"; else
        echo "libfaketime is not installed, and this user cannot install it: the tests with a wrong clock are skipped"
        exit 0
    fi
fi
echo "installing libfaketime for the tests ..."
if command -v apt-get >/dev/null; then
    { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends faketime; } >/dev/null 2>&1
elif command -v dnf >/dev/null; then
    $as_root dnf install -q -y libfaketime >/dev/null 2>&1
fi
find /usr/lib /usr/lib64 /usr/local/lib -name libfaketimeMT.so.1 2>/dev/null | grep -q . ||
    echo "libfaketime could not be installed: the tests with a wrong clock are skipped"
exit 0
