#!/bin/sh
# Bring what machines with a real systemd need, where apt can: the tests say what is skipped without.
PATH="$PATH:/usr/sbin:/sbin"
missing=
command -v debootstrap >/dev/null || missing="$missing debootstrap"
command -v systemd-nspawn >/dev/null || missing="$missing systemd-container"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "there is no$missing: the tests on machines are skipped"
    exit 0
fi
echo "installing$missing for the tests ..."
# shellcheck disable=SC2086 # words
{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing; } >/dev/null 2>&1 ||
    echo "there is no$missing, and it could not be installed: the tests on machines are skipped"
exit 0
