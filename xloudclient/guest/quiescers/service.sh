#!/bin/sh
# Stops a systemd unit, and starts it again: the plainest way to have an application's files at rest.
#
# Options
#   name  the unit
#   data  where its data lives, paths separated by colons; they become evidence
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

quiesce() {
    need systemctl
    control cat -- "$name" || fail "there is no unit $name"
    look
    was=$state
    set -f
    IFS=:
    for place in $data; do
        unset IFS
        data "$place"
    done
    unset IFS
    set +f
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
    json "$name"
    READY="{\"gives\": \"application\", \"data\": [$DATA], \"position\": null, \"unit\": $JSON, \"was\": \"$was\"}"
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
    HELD="{\"position\": null, \"unit\": $JSON, \"state\": \"$state\"}"
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
    rm -f "service-error.$$"
    return "$code"
}

hold
