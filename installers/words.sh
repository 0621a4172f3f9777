# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # what is set here is used in the files that source it, and the other way round
# The words in which both stories are told: what is said about a step, and how a command is run, in a dry run too.

name=amazon-defender-publisher
transcript=/dev/null
transcript_matters= # whether the last command that wrote into it failed
step=options
step_number=0

umask 077

say() {
    printf '%s\n' "$*"
}

begin() {
    step=$1
    step_number=$((step_number + 1))
    if [ "$dry_run" = yes ]; then
        printf '%2d/%d  %s\n' "$step_number" "$steps" "$step"
    fi
}

finish() {
    if [ "$dry_run" != yes ]; then
        printf '%2d/%d  %-14s %s\n' "$step_number" "$steps" "$step" "$*"
    fi
}

fail() {
    printf '%s: %s\n' "$step" "$*" >&2
    if [ -f "$transcript" ] && [ "$transcript_matters" = yes ]; then
        say "the last lines of $transcript:" >&2
        tail -n 8 "$transcript" >&2
    fi
    exit 1
}

misuse() {
    printf '%s\ntry --help\n' "$*" >&2
    exit 2
}

# Print words as a shell would read them again.
quoted() {
    for word; do
        case $word in
        '' | *[!A-Za-z0-9_./:=@%+,-]*)
            rest=$word
            word=
            while :; do
                case $rest in
                *\'*)
                    word=$word${rest%%\'*}"'\\''"
                    rest=${rest#*\'}
                    ;;
                *) break ;;
                esac
            done
            word="'$word$rest'"
            ;;
        esac
        printf ' %s' "$word"
    done
}

# Commands

# Run a command, or in a dry run print it.
run() {
    if [ "$dry_run" = yes ]; then
        printf '       +%s\n' "$(quoted "$@")"
    else
        "$@"
    fi
}

# Run a command whose words matter only when it fails.
quietly() {
    if [ "$dry_run" = yes ]; then
        run "$@"
    else
        printf '+%s\n' "$(quoted "$@")" >>"$transcript"
        "$@" </dev/null >>"$transcript" 2>&1 || {
            status=$?
            transcript_matters=yes
            return "$status"
        }
        transcript_matters=
    fi
}

# Run a command that changes the system itself. Below a prefix only one that is installed there is run.
system() {
    if [ -z "$prefix" ]; then
        quietly "$@"
        return $? # said, because otherwise it is that of the command before, in a trap
    fi
    system_tool=$1
    shift
    if [ -x "$prefix/bin/$system_tool" ] || [ "$dry_run" = yes ]; then
        quietly "$prefix/bin/$system_tool" "$@"
    fi
}

# Ask the system something, in a dry run too; below a prefix only a tool that is installed there is asked.
ask_system() {
    if [ -z "$prefix" ]; then
        "$@"
        return
    fi
    system_tool=$1
    shift
    [ -x "$prefix/bin/$system_tool" ] && "$prefix/bin/$system_tool" "$@"
}

# Run a command that makes files for everybody, such as a package's.
openly() {
    umask 022
    "$@"
    set -- $? # the only thing that outlives it
    umask 077
    return "$1"
}

# Make directories that everybody may enter.
make_open() {
    for made; do
        if [ ! -d "$made" ]; then (umask 022 && run mkdir -p "$made") || fail "$made cannot be made"; fi
    done
}

device() {
    run "$python" -I -B "$here/device" "$@"
}
