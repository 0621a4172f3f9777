#!/bin/sh
# Bring the shells that the macOS installer is tried in, where the package manager can; without one its tests are skipped.
missing=
for shell in dash mksh yash; do
    command -v "$shell" >/dev/null || missing="$missing $shell"
done
[ -n "$missing" ] || exit 0
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true 2>/dev/null; then as_root="sudo -n"; else
        echo "these shells are not installed, and this user cannot install them:$missing; the tests in them are skipped"
        exit 0
    fi
fi
echo "installing shells for the tests:$missing ..."
for shell in $missing; do
    if command -v apt-get >/dev/null; then
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$shell" ||
            { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -q -y --no-install-recommends "$shell"; }
    elif command -v dnf >/dev/null; then
        $as_root dnf install -q -y "$shell"
    elif command -v brew >/dev/null; then
        brew install -q "$shell"
    fi >/dev/null 2>&1
    command -v "$shell" >/dev/null || echo "$shell could not be installed: the tests in it are skipped"
done
exit 0
