# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # what is set here is used in the files that source it, and the other way round
# The options of the installers and the uninstallers, and the places that follow from them.

usage() {
    cat <<END
usage: ${0##*/} [options]

Installs amazon-defender-publisher as a service, or upgrades it: configuration and keys are kept then.

  --bundle FILE       a thing's bundle: configuration, certificate, private key and roots, made by deploy.py
  --endpoint HOST     the account's endpoint
  --thing-name NAME   who this device is
  --certificate FILE  its certificate
  --private-key FILE  the private key of that
  --root-ca FILE      the authorities to trust (default: Amazon's)
  --port N            8883 (the default) or 443
  --config FILE       a complete configuration
  --replace           take configuration and keys over although there are some, which are kept as .old
  --non-interactive   never ask; otherwise what is missing is asked for, on a terminal
  --wheelhouse DIR    take Python packages from there, and nothing from a network
  --python FILE       the Python to use (default: $default_python)
  --prefix DIR        put everything below DIR, for tests; nothing outside is changed or started
  --dry-run           print every command, change nothing
  --help

Exit status: 0 a report was accepted, 1 not yet (the last line says what to do), 2 wrong or missing options.
END
}

usage_of_removal() {
    cat <<END
usage: ${0##*/} [options]

Removes the service and its program. Configuration, keys and state are kept.

  --purge             remove those too, and the service's user
  --prefix DIR        what was installed below DIR
  --dry-run           print every command, change nothing
  --help
END
}

read_options() {
    for option in bundle endpoint thing_name certificate private_key root_ca port config wheelhouse python prefix \
        replace purge dry_run; do
        eval "$option="
    done
    interactive=yes
    while [ $# -gt 0 ]; do
        case $1 in
        --*=*) # --option=value
            option=$1
            shift
            set -- "${option%%=*}" "${option#*=}" "$@"
            ;;
        esac
        case $does:$1 in
        install:--help) usage && exit 0 ;;
        remove:--help) usage_of_removal && exit 0 ;;
        *:--dry-run) dry_run=yes ;;
        install:--non-interactive) interactive= ;;
        install:--replace) replace=yes ;;
        remove:--purge) purge=yes ;;
        *:--prefix | install:--bundle | install:--endpoint | install:--thing-name | install:--certificate | \
            install:--private-key | install:--root-ca | install:--port | install:--config | install:--wheelhouse | \
            install:--python)
            if [ $# -lt 2 ] || [ -z "$2" ]; then misuse "$1 needs a value"; fi
            take_option "$1" "$2"
            shift
            ;;
        *) misuse "there is no option $1" ;;
        esac
        shift
    done
    check_options
}

take_option() {
    case $1 in
    --prefix) prefix=$2 ;;
    --bundle) bundle=$2 ;;
    --endpoint) endpoint=$2 ;;
    --thing-name) thing_name=$2 ;;
    --certificate) certificate=$2 ;;
    --private-key) private_key=$2 ;;
    --root-ca) root_ca=$2 ;;
    --port) port=$2 ;;
    --config) config=$2 ;;
    --wheelhouse) wheelhouse=$2 ;;
    --python) python=$2 ;;
    esac
}

check_options() {
    if [ -n "$bundle" ] && [ -n "$config" ]; then misuse "give --bundle or --config, not both"; fi
    case $port in *[!0-9]* | ??????*) misuse "--port must be a number, got $port" ;; esac
    if [ -n "$wheelhouse" ] && [ ! -d "$wheelhouse" ]; then misuse "--wheelhouse must be a directory, got $wheelhouse"; fi
    for given in "$bundle" "$certificate" "$private_key" "$root_ca" "$config"; do
        if [ -n "$given" ] && [ ! -f "$given" ]; then misuse "there is no file $given"; fi
    done
    if [ -n "$prefix" ]; then
        if [ ! -d "$prefix" ]; then misuse "--prefix must be a directory that is there, got $prefix"; fi
        prefix=$(cd "$prefix" && pwd) # absolute, without a slash at the end
    fi
    if [ -n "$wheelhouse" ]; then wheelhouse=$(cd "$wheelhouse" && pwd); fi
    root=$prefix/opt/aws/$name
    etc=$root/etc
    staged=$root/etc.new
    before=$root/etc.old
}
