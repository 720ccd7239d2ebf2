#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs a script of the pre/post kind as a holding hook: `file pre` holds, `file post` releases, whatever happens between.
#
# Options; those for arguments may be given again, for further ones
#   file       the script; a path in this machine
#   pre        its argument to quiesce
#   post       its argument to release
#   fail       its argument after a `pre` that failed; default: none, and post runs
#   post_file  another script for the calls of post and fail; then pre and post may be left out
#
# Once `pre` has started, `post` (or `fail`) runs, also when this process is killed: another process sees to that.
# Nothing shows that the application is still quiesced, so this gives `crash`.
. "${0%/*}/common.sh"
file='' post_file='' pre='' post='' fail=''
options 'file post_file pre post fail' "$@"
[ -n "$file" ] || usage "file=<path> is needed"
if [ -z "$post_file" ]; then
    [ -n "$pre" ] || usage "pre=<argument> is needed"
    [ -n "$post" ] || usage "post=<argument> is needed"
    post_file=$file
fi

# arguments NAME "$@": sets ARGUMENTS to the values of each NAME=VALUE, quoted for eval, and TOLD to them as they are.
arguments() {
    arguments_of=$1 ARGUMENTS='' TOLD=''
    shift
    for word; do
        case $word in "$arguments_of="*) ;; *) continue ;; esac
        word=${word#*=} quoted=''
        TOLD="$TOLD $word"
        while :; do
            case $word in *\'*) ;; *) break ;; esac
            quoted="$quoted${word%%\'*}'\\''" word=${word#*\'}
        done
        ARGUMENTS="$ARGUMENTS '$quoted$word'"
    done
}
arguments pre "$@"
PRE=$ARGUMENTS PRE_TOLD=$TOLD
arguments fail "$@"
FAIL=$ARGUMENTS FAIL_TOLD=$TOLD
arguments post "$@"
POST=$ARGUMENTS POST_TOLD=$TOLD

# Arguments: a file for its errors, the script, the script's arguments.
# The run folder may forbid to execute files, so an interpreter is started as the kernel would.
# shellcheck disable=SC2016 # expanded where it runs
RUN='
    error=$1 script=$2 interpreter=sh argument=
    shift 2
    IFS= read -r line <"$script"
    case $line in
    "#!"*)
        line=${line#??}
        line=${line#"${line%%[! 	]*}"}
        interpreter=${line%%[ 	]*}
        argument=${line#"$interpreter"}
        argument=${argument#"${argument%%[! 	]*}"}
        argument=${argument%"${argument##*[! 	]}"}
        ;;
    esac
    "$interpreter" ${argument:+"$argument"} "$script" "$@" </dev/null >/dev/null 2>"$error" 7>&-'
STARTED=''

# In a subshell that keeps 7 (hence its own exit), so that `post` can't overtake a `pre` whose parent was killed.
# shellcheck disable=SC2120 # called by eval
run() {
    (
        set -- "pair-error.$$" "$@"
        eval "$RUN"
        exit "$?"
    )
}

# find_file PATH: sets FOUND to it, absolute.
find_file() {
    case $1 in
    /*) FOUND=$1 ;;
    *) FOUND=$PWD/$1 ;;
    esac
    [ -r "$FOUND" ] || fail "there is no readable file $FOUND"
}

examine() {
    find_file "$file"
    file=$FOUND
    find_file "$post_file"
    post_file=$FOUND
    READY='{"gives": "crash", "data": []}'
}

quiesce() {
    # shellcheck disable=SC2016 # expanded where it runs
    eval "guard 'IFS= read -r word; [ \"\$word\" != done ] || exit 0;'\"\$RUN\" pair-error.$$ \"\$post_file\" $POST"
    STARTED=post
    eval "run \"\$file\" $PRE"
    code=$?
    if [ "$code" -ne 0 ]; then
        first_line "pair-error.$$"
        [ -z "$fail" ] || POST=$FAIL POST_TOLD=$FAIL_TOLD
        [ "$code" -eq 75 ] || fail "'${file##*/}$PRE_TOLD' failed with code $code: $LINE"
        fail "'${file##*/}$PRE_TOLD' says: not now: $LINE" 75
    fi
    json "${file##*/}$PRE_TOLD"
    READY="{\"gives\": \"crash\", \"data\": [], \"ran\": $JSON}"
}

verify() {
    HELD='{}'
}

release() {
    [ -n "$STARTED" ] || return 0
    STARTED=''
    eval "run \"\$post_file\" $POST"
    code=$?
    unguard
    if [ "$code" -ne 0 ]; then
        first_line "pair-error.$$"
        REASON="'${post_file##*/}$POST_TOLD' failed with code $code: $LINE"
    fi
    return "$code"
}

hold
