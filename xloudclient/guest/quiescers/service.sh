#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Stops a systemd unit, and starts it again: the plainest way to have an application's files at rest.
#
# Options
#   name  the unit
#   data  where its data lives, paths separated by colons; default: its state folder, and where the files are
#         that it has open for writing
#
# When this process is killed, another one starts the unit again. A unit that was not running stays stopped.
# A unit that did not end by itself (it was killed after its time to stop) was not at rest: that is a failure.
. "${0%/*}/common.sh"
name='' data=''
options 'name data' "$@"
case $name in '' | -* | *[!A-Za-z0-9_:.\\@-]*) usage "name=<unit> is needed" ;; esac

STOPPED='' SINCE=''

control() {
    systemctl --no-ask-password "$@" </dev/null >/dev/null 2>"service-error.$$"
}

# Sets state, result and since (when it became inactive).
look() {
    state='' result='' since=''
    looked=$(systemctl show -p ActiveState -p Result -p InactiveEnterTimestampMonotonic -- "$name" </dev/null 2>/dev/null 7>&-)
    while IFS='=' read -r key value; do
        case $key in
        ActiveState) state=$value ;;
        Result) result=$value ;;
        InactiveEnterTimestampMonotonic) since=$value ;;
        esac
    done <<END
$looked
END
}

examine() {
    need systemctl
    control cat -- "$name" || fail "there is no unit $name"
    look
    was=$state
    find_data
    json "$name"
    READY="{\"gives\": \"application\", \"data\": [$DATA], \"unit\": $JSON, \"was\": \"$was\"}"
}

quiesce() {
    case $was in
    active | activating | reloading)
        # shellcheck disable=SC2016 # expanded by the other process
        guard 'IFS= read -r word
            [ "$word" = "done" ] || systemctl --no-ask-password start -- "$1"' "$name"
        STOPPED=yes
        control stop -- "$name" || {
            first_line "service-error.$$"
            fail "$name can't be stopped: $LINE"
        }
        look
        ;;
    esac
    case $state/$result in
    inactive/success | inactive/) ;;
    *) fail "$name did not come to rest: it is $state, with the result $result" ;;
    esac
    SINCE=$since
    to_disk
}

find_data() {
    places=$data
    [ -n "$places" ] || places=$(open_files | sort -u | tr '\n' :)
    set -f
    IFS=:
    for place in $places; do
        unset IFS
        [ -z "$place" ] || data "$place"
    done
    unset IFS
    set +f
}

# Prints the folders of what the unit's processes write to, while it still runs.
open_files() {
    systemctl show -p StateDirectory --value -- "$name" </dev/null 2>/dev/null | tr ' ' '\n' | sed -n 's,^[^/],/var/lib/&,p'
    group=$(systemctl show -p ControlGroup --value -- "$name" </dev/null 2>/dev/null)
    # One that does not run has none, and everything else would be in it.
    [ -n "$group" ] || return 0
    cat "/sys/fs/cgroup$group/cgroup.procs" "/sys/fs/cgroup/systemd$group/cgroup.procs" 2>/dev/null | while read -r process; do
        for descriptor in "/proc/$process/fd"/*; do
            # The last digit of the flags, in octal: 1 write, 2 read and write.
            case $(sed -n 's/^flags:.*\(.\)$/\1/p' "/proc/$process/fdinfo/${descriptor##*/}" 2>/dev/null) in
            1 | 2) readlink "$descriptor" | sed -n '/^\/\(dev\|proc\|sys\|run\|tmp\)\//!s,^\(/.*\)/[^/]*$,\1,p' ;;
            esac
        done
    done
}

verify() {
    look
    if [ "$state" != inactive ]; then
        REASON="$name does not rest any more: it is $state"
        return 1
    fi
    if [ "$since" != "$SINCE" ]; then
        REASON="$name ran meanwhile"
        return 1
    fi
    json "$name"
    HELD="{\"unit\": $JSON, \"state\": \"$state\"}"
}

release() {
    code=0
    if [ -n "$STOPPED" ]; then
        STOPPED=''
        control start -- "$name" || {
            code=1
            first_line "service-error.$$"
            REASON="$name can't be started again: $LINE"
        }
        unguard
    fi
    return "$code"
}

hold
