#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs a script of the pre/post kind as a holding hook: `file pre` holds, `file post` releases, whatever happens between.
#
# Options
#   file   the script; a path in this machine
#   pre    its argument to quiesce
#   post   its argument to release
#   fail   its argument after a `pre` that failed; default: none, and post runs
#
# Once `pre` has started, `post` (or `fail`) runs, also when this process is killed: another process sees to that.
# Nothing shows that the application is still quiesced, so this gives `crash`.
. "${0%/*}/common.sh"
file='' pre='' post='' fail=''
options 'file pre post fail' "$@"
[ -n "$file" ] || usage "file=<path> is needed"
[ -n "$pre" ] || usage "pre=<argument> is needed"
[ -n "$post" ] || usage "post=<argument> is needed"

# The run folder may forbid to execute files, so an interpreter is started as the kernel would.
# shellcheck disable=SC2016 # expanded where it runs
RUN='
    IFS= read -r interpreter <"$1"
    case $interpreter in
    "#!"*)
        interpreter=${interpreter#"#!"}
        interpreter=${interpreter#"${interpreter%%[! ]*}"}
        case $interpreter in
        *" "*) "${interpreter%% *}" "${interpreter#* }" "$1" "$2" ;;
        *) "$interpreter" "$1" "$2" ;;
        esac ;;
    *) "$1" "$2" ;;
    esac </dev/null >/dev/null 2>"pair-error.$3" 7>&-'
STARTED=''

# In a subshell that keeps 7 (hence its own exit), so that `post` can't overtake a `pre` whose parent was killed.
run() {
    # shellcheck disable=SC2034 # used by RUN
    (
        set -- "$file" "$1" "$$"
        eval "$RUN"
        exit "$?"
    )
}

examine() {
    case $file in
    /*) ;;
    *) file=$PWD/$file ;;
    esac
    [ -r "$file" ] || fail "there is no readable file $file"
    READY='{"gives": "crash", "data": []}'
}

quiesce() {
    examine
    guard "IFS= read -r word; [ \"\$word\" != 'done' ] || exit 0; $RUN" "$file" "$post" "$$"
    STARTED=post
    run "$pre"
    code=$?
    if [ "$code" -ne 0 ]; then
        first_line "pair-error.$$"
        [ -z "$fail" ] || post=$fail
        [ "$code" -eq 75 ] || fail "'${file##*/} $pre' failed with code $code: $LINE"
        fail "'${file##*/} $pre' says: not now: $LINE" 75
    fi
    json "${file##*/} $pre"
    READY="{\"gives\": \"crash\", \"data\": [], \"ran\": $JSON}"
}

verify() {
    HELD='{}'
}

release() {
    [ -n "$STARTED" ] || return 0
    STARTED=''
    run "$post"
    code=$?
    unguard
    if [ "$code" -ne 0 ]; then
        first_line "pair-error.$$"
        REASON="'${file##*/} $post' failed with code $code: $LINE"
    fi
    return "$code"
}

hold
