#!/bin/sh
# Unpack Debian's own Prometheus Alertmanager beside the tests' environment, where apt has it; nothing is installed or
# started. The tests say what is skipped without.
directory=.venv/alertmanager
[ -x "$directory/usr/bin/prometheus-alertmanager" ] && exit 0
command -v prometheus-alertmanager >/dev/null && exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "there is no apt: the test against Alertmanager is skipped"
    exit 0
fi
echo "unpacking Alertmanager for the tests ..."
mkdir -p "$directory" && { (cd "$directory" && apt-get download -q prometheus-alertmanager && dpkg-deb -x ./*.deb .); } \
    >/dev/null 2>&1
[ -x "$directory/usr/bin/prometheus-alertmanager" ] ||
    echo "Alertmanager could not be unpacked: the test against it is skipped"
exit 0
