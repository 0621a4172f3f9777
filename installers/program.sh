# shellcheck shell=sh
# shellcheck disable=SC2154 # what is used here is set in the files that source it
# The program: a version in a directory of its own, with its own Python packages, whole or made anew.

complete=complete # the file that is written into a version last

install_program() {
    begin program
    source=$(cd "$here/.." && pwd)
    version=$("$python" -I -B "$here/device" name-program "$source" 2>/dev/null) || version=VERSION # without a Python yet
    program=$root/versions/$version
    if ! is_whole "$program" && [ "$(readlink "$root/current")" = "versions/$version" ]; then
        program=$program.again # what runs is not taken from below it
    fi
    if is_whole "$program"; then
        found="$version is there already"
    else
        build_version
        found="$version in $program${how_built:+; $how_built}"
    fi
    make_open "$root/bin"
    device write-launcher "$root" || fail "$root/bin cannot be written"
    finish "$found"
}

# Whether a version was installed to its end, nothing of it is damaged, and its packages fit the system's Python.
is_whole() {
    [ -f "$1/$complete" ] &&
        "$1/venv/bin/python" -Es -c 'import AWSIoTPythonSDK, cbor2, msgspec, psutil, timeloop' &&
        "$1/venv/bin/python" -Es "$1/$name" --version &&
        "$python" -I -B "$here/device" check-copy "$1"
} >/dev/null 2>&1

build_version() {
    run rm -rf "$program"
    make_open "$root/versions" "$program"
    device copy-program "$source" "$program" || fail "the program cannot be copied to $program"
    how_built=
    if ! install_packages; then
        provide_packages || fail "the Python packages cannot be installed"
        install_packages --system-site-packages || fail "the Python packages cannot be installed"
    fi
    run chmod -R a+rX,go-w "$program"
    quietly "$program/venv/bin/python" -I -m compileall -q "$program/defender_publisher" "$program/device_defender"
    run chmod -R a+rX "$program/defender_publisher" "$program/device_defender"
    run touch "$program/$complete"
    if [ "$dry_run" != yes ] && ! is_whole "$program"; then fail "what was installed in $program does not run"; fi
}

# Make the virtual environment; pip needs the network, or the wheelhouse. An argument goes to venv.
install_packages() {
    quietly "$python" -I -m venv --clear "$@" "$program/venv" || return $?
    set -- -r "$program/requirements.txt"
    if [ -n "$wheelhouse" ]; then set -- --no-index --find-links "$wheelhouse" "$@"; fi
    quietly "$program/venv/bin/python" -I -m pip install --no-input --disable-pip-version-check --no-cache-dir "$@"
}
