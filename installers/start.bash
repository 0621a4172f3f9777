# shellcheck shell=bash disable=SC2034,SC2154 # what is set here is used in the files that source it, and the other way round
# What an installer does before there is a Python: it finds one, or brings one, and lets it tell the story, which is
# device/publisher.py or device/detect.py. For bash 3.2, which Macs have.
#
# Sourced by install-*.bash, which say what is installed (name, as device/product.py has it), on what they are (platform),
# and how to find or bring a Python there (check_system, find_python, bring_python, is_usable).
# Python runs isolated (-I) and from /, so that neither the directory nor the environment of whoever installs decides what
# root runs.

from=$PWD
help=install.txt
oldest=9 # 3.9, which all of it runs on; an installer may need a later one
instead='' # what else can be done, for where Python is too old
umask 022

fail() {
    printf '%s: %s\n' "$step" "$*" >&2
    exit 1
}

misuse() {
    printf '%s\ntry --help\n' "$*" >&2
    exit 2
}

# Print the help in a text file beside this.
print_help() {
    sed -e "1s|NAME|${0##*/}|; s|PYTHON|$default_python|" "$here/$1"
}

# Read those options that matter before there is a Python; which there are, the help knows.
read_options() {
    python='' prefix='' dry_run='' wheelhouse='' update_lists='' claim='' first_boot=''
    while [ $# -gt 0 ]; do
        case $1 in
        --help) print_help "$help" && exit 0 ;;
        --dry-run) dry_run=yes ;;
        --update-lists) update_lists=yes ;;
        --first-boot) first_boot=yes ;;
        --*=*) take_option "${1%%=*}" "${1#*=}" ;;
        *)
            grep -q -e "^  $1 \{1,\}[A-Z]\{1,\} " "$here/$help" && {
                take_option "$1" "${2-}"
                [ $# -eq 1 ] || shift
            }
            ;;
        esac
        shift
    done
}

take_option() {
    case $1 in
    --python) python=$2 ;;
    --prefix) prefix=$2 ;;
    --wheelhouse) wheelhouse=$2 ;;
    --claim) claim=$2 ;;
    esac
}

# Refuse an option that there is not, which Python does better where there is one.
check_options() {
    for word; do
        case $word in
        --*) grep -q -e "^  ${word%%=*} " -e "^  ${word%%=*}\$" "$here/$help" || misuse "there is no option $word" ;;
        esac
    done
}

absolute() {
    case $1 in
    */*) case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s\n' "$from/$1" ;; esac ;;
    *) printf '%s\n' "$1" ;;
    esac
}

# Whether a Python is there and new enough.
is_usable() {
    [ -n "$1" ] && command -v "$1" >/dev/null 2>&1 && "$1" -I -c \
        "import sys; sys.exit(sys.version_info < (3, $oldest))" >/dev/null 2>&1
}

# Find a Python, and become it.
start() {
    step=platform installed=''
    read_options "$@"
    check_system
    step=python
    python=$(absolute "${python:-$(find_python)}")
    is_usable "$python" || {
        check_options "$@"
        bring_python
    }
    cd / || exit 1
    exec "$python" -I -B "$here/device" install "$name" "$platform" "$python" "$from" "$installed" "$@"
}
