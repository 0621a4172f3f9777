# shellcheck shell=sh
# For the tools that keep state: write a call down in one line, and fail the power at the one that a test names.
note() {
    words=$(printf '%s ' "$@" | tr '\n' ' ')
    printf '%s\n' "${words% }" >>"$MAC_STATE/log"
    if [ "${MAC_KILLED_AT:-999999}" -le "$(wc -l <"$MAC_STATE/log")" ]; then kill -9 0; fi # everything of the session
}
