# shellcheck shell=sh
# For the tools that keep state: write a call down in one line, and fail the power at the one that a test names.
note() {
    words=$(printf '%s ' "$@" | tr '\n' ' ')
    printf '%s\n' "${words% }" >>"$MAC_STATE/log"
    [ "${MAC_KILLED_AT-}" != "$(wc -l <"$MAC_STATE/log" | tr -d ' ')" ] || kill -9 0 # everything of the session
}
