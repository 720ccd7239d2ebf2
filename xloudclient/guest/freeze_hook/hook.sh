#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The freeze hook of a guest: the guest agent runs it with `freeze` before it freezes the file systems, and with `thaw`
# after it thawed them. It holds what a run over ssh would hold, by the same supervisor and the same holding hooks, which
# were put beside it. What they say is the record that a client judges later; nothing here decides what was proven.
# Holders of ours are all started at the same time, and examine and prepare while nothing is held. Then each in its turn is
# told to hold, or started where it is a user's own, once the one before it is ready; but databases that follow each other
# at once.
#
# Beside it      settings     lines of `name value`, see below
#                supervisor   the text of supervisor.sh
#                holder.N     what makes the supervisor start holder N. The first one watches for the agent's own freeze.
# In memory      agent/record.N   what was said in freeze N, and the notes of this file, with the seconds since boot
#                agent/last       N of the last freeze
#                agent/open       while freeze N lasts, and the hook that was there before ours is not called with `thaw`:
#                                 N, the number of its last holder, and the supervisor's process
#                agent/thawing    while the hook is called with `thaw`: its process, and when that began
#
# It exits with 0 after `freeze` if everything is held. Else nothing is, and the agent freezes nothing either.
# Who ends the hold when no thaw comes: the supervisor, after the longest time allowed, from the first lock on. So it hears
# beats for that long, and while holders get ready.
# A hook that is ended while it is called with `freeze` releases first. For one that is killed, then or in its thaw, what
# sends the beats does the rest.
# Where a run over ssh is at work, that run holds; here the freeze is only watched. A run that left the file
# `agent-expected` in its folder holds nothing itself and waits for this.

LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
# A service may have none, and database clients look there for their login.
HOME=${HOME:-/root}
export LC_ALL PATH HOME
lease=15 grace=12 nap=0.1
verb=${1-} place=${0%/*}
# The supervisor's functions for where it keeps things.
set -- parts '' "$lease" "$grace" no sh
# shellcheck source=/dev/null
. "$place/supervisor"
told=0 main='' nonce='' cap=60 patience=30 holders=1 ahead='' at_once='' previous=''
# shellcheck disable=SC2034 # value is used by eval
while read -r name value; do
    case $name in nonce | cap | patience | holders | ahead | at_once | previous) eval "$name=\$value" ;; esac
done <"$place/settings" || exit 1

home=$(choose_home && printf '%s' "$home")
case $home in /*) ;; *) exit 1 ;; esac
folder=$home/agent
# No process is started without need: what is held waits for us to begin, in the thaw.
[ -d "$folder" ] || (umask 077; mkdir -p "$folder") || exit 1

freeze() {
    abandon
    trap 'give_up' HUP INT TERM
    open_freeze || exit 1
    call_previous freeze
    if [ "$code" = 0 ]; then
        hold_all && note held && exit 0
    elif [ "$code" -le 128 ]; then
        # It failed by itself, and so, as without us, it is not called again.
        previous=''
    fi
    give_up
}

# give_up: has nothing held any more; the agent freezes nothing.
give_up() {
    trap '' HUP INT TERM
    for process in $children; do
        kill -KILL "-$process" || kill -KILL "$process"
    done 2>/dev/null
    note failed
    close_freeze
    exit 1
}

thaw() {
    trap '' HUP INT TERM
    if ! find_open; then
        call_previous thaw
        return
    fi
    note thaw
    # In one go: whatever becomes of us now, it releases once it has the answers, or waited 10 s for them.
    tell_who
    if tell "verify$newline$nonce release 10"; then
        holder=1
        while [ "$holder" -le "$last" ]; do
            hear 10 "held $holder" "exit $holder" "done $holder" lapsed
            ask_why
            holder=$((holder + 1))
        done
    fi
    close_freeze
}

# tell_who: should we be killed, another one is to end it. What is held waits for us, so no process is started.
tell_who() {
    read -r stat <"/proc/$$/stat"
    set -- ${stat##*) }
    printf '%s %s\n' "$$" "${20}" >"$folder/thawing"
} 2>/dev/null

# abandon: ends a freeze whose thaw never came; what it held was released in its time.
abandon() {
    find_open || return 0
    note abandoned
    close_freeze
}

# find_open: whether there is a freeze that has not ended; sets its number and its last holder.
find_open() {
    read -r number last main 2>/dev/null <"$folder/open" || return 1
    name_files
}

# call_previous VERB: calls the hook that was there before ours, for no longer than we would hold; sets code. It may be
# a runner that calls us again: then we are not to begin from the start.
call_previous() {
    code=0
    [ -x "$previous" ] || return 0
    # shellcheck disable=SC2154 # the supervisor's parts set it
    XLOUD_FREEZE_HOOK=called $setsid "$previous" "$1" </dev/null >/dev/null 2>&1 4<&- &
    called=$!
    # shellcheck disable=SC2016 # expanded by the other process
    $setsid sh -c 'sleep "$2"
        kill -TERM "-$1" || kill -TERM "$1"
        sleep 3
        kill -KILL "-$1" || kill -KILL "$1"' xloud-limit "$called" "$cap" </dev/null >/dev/null 2>&1 &
    children="$called $!"
    wait "$called"
    code=$?
    kill -KILL "-$!" 2>/dev/null || kill -KILL "$!" 2>/dev/null
    children=''
}

# open_freeze: fails where there is no room: then nothing could be recorded, and nobody could end it.
open_freeze() {
    number=0
    [ ! -e "$folder/last" ] || read -r number <"$folder/last"
    number=$((number + 1)) last=$holders
    name_files
    rm -f "$folder/record.$((number - 8))"
    put last "$number" && true >"$record" && note freeze && put open "$number $last"
}

# put NAME TEXT: writes a file whole, or leaves it as it was.
put() {
    printf '%s\n' "$2" >"$folder/$1.new" && mv "$folder/$1.new" "$folder/$1"
} 2>/dev/null

name_files() {
    record=$folder/record.$number input=$folder/input.$number said='' begun=''
}

note() {
    read -r uptime _ </proc/uptime
    printf '%s note %s %s\n' "$nonce" "$1" "$uptime" >>"$record"
}

# hold_all: returns 0 once everything is held.
hold_all() {
    is_watching=''
    if is_expected; then
        start agent || return 1
    elif ! start main; then
        [ "$HEARD" = busy ] || return 1
        last=1 is_watching=yes said=''
        true >"$record"
        note freeze
        note watching
        start agent || return 1
    fi
    # A freeze that is only watched is not stood in the way of.
    { prepare_all && sync_ahead && hold_in_turn; } || [ -n "$is_watching" ]
}

# prepare_all: returns 0 once all that are started ahead have only to be told to hold.
prepare_all() {
    set --
    for holder in $ahead; do
        [ "$holder" -gt "$last" ] || set -- "$@" "$holder"
    done
    deliver "$@"
    for holder; do
        await prepared || break
    done
    end_delivery
    [ "$HEARD" = "prepared $holder" ]
}

# sync_ahead: what is written now, those who will be held need not wait for. It is of use, and no condition: a disk or a file
# server may never answer. Those whom a run over ssh holds are not to wait for it.
sync_ahead() {
    [ -z "$is_watching" ] || return 0
    sync </dev/null >/dev/null 2>&1 4<&- &
    left=50
    while is_running "$!" && [ "$left" -gt 0 ]; do
        sleep 0.2 2>/dev/null 4<&- || sleep 1
        left=$((left - 1))
    done
}

hold_in_turn() {
    # Each look costs a process, which takes its turn from those that are at work; but now each is waited for.
    holder=1 nap=0.02
    while [ "$holder" -le "$last" ]; do
        [ "$holder" -le "$told" ] || begin_holding
        await ready
        end_delivery
        [ "$HEARD" = "ready $holder" ] || return 1
        # The watch, the first one, holds nothing.
        [ "$holder" != 1 ] || { note lock && tell "cap $cap"; } || return 1
        holder=$((holder + 1))
    done
}

# begin_holding: has the holder hold, and those after it that need not wait for it.
begin_holding() {
    told=$holder
    case " $ahead " in
    *" $told "*) tell "go $told" ;;
    *) deliver "$told" ;;
    esac
    while [ "$told" -lt "$last" ]; do
        case " $at_once " in *" $told $((told + 1)) "*) ;; *) return ;; esac
        told=$((told + 1))
        tell "go $told"
    done
}

# await WORD: returns 0 once the holder has said it, and not if one of those that were told to hold with it has ended.
await() {
    set -- "$1 $holder" "exit $holder"
    other=$holder
    while [ "$other" -lt "$told" ]; do
        other=$((other + 1))
        set -- "$@" "exit $other"
    done
    hear "$patience" "$@"
    case $HEARD in "exit "*) holder=${HEARD#exit } ;; esac
    ask_why
    [ -n "$HEARD" ]
}

# deliver HOLDER...: in a process of its own, as it waits for the reader, and without one for ever. Line by line, as beats
# may come in between.
deliver() {
    for one; do
        set -- "$@" "$place/holder.$one"
        shift
    done
    awk '{ print; fflush() }' "$@" 1<>"$input" </dev/null 2>/dev/null &
    children=$!
}

end_delivery() {
    [ -z "$children" ] || kill -KILL "$children" 2>/dev/null
    children=''
}

# ask_why: has the log of a holder that failed in the record.
ask_why() {
    [ "$HEARD" = "exit $holder" ] || return 0
    tell "log $holder"
    hear 3 "end $holder log"
    HEARD=
}

# is_expected: whether the run that is at work leaves the holding to us.
is_expected() {
    # A run that was killed left its folder.
    is_taken || return 1
    set +f
    for file in "$home"/run.*/d.*/agent-expected; do
        [ ! -e "$file" ] || { set -f; return 0; }
    done
    set -f
    return 1
}

# start ROLE: starts a supervisor. Both ends of its input are its own, so that it has no end.
start() {
    rm -f "$input"
    mkfifo "$input" || return 1
    put open "$number $last" || return 1
    t=$(cat "$place/supervisor") || return 1
    # shellcheck disable=SC2016 # expanded by the other process
    t=$t $setsid sh -c 'eval "$t"' xloud-supervisor "$1" "$nonce" "$lease" "$grace" no sh \
        <>"$input" >>"$record" 2>/dev/null 4<&- &
    main=$!
    put open "$number $last $main"
    hear 10 open busy failed && [ "$HEARD" = open ] || return 1
    # shellcheck disable=SC2016 # expanded by the other process
    $setsid sh -c 'is_ours() {
            { kill -0 "$3" || grep -q "^$1 note held " "$4"; } && { ! read -r pid began <"$5" || is_thawing; }
        }
        is_thawing() {
            read -r stat <"/proc/$pid/stat" || return
            set -- ${stat##*) }
            [ "$1" != Z ] && [ "${20}" = "$began" ]
        }
        left=$1
        shift
        while [ "$left" -gt 0 ] && [ -p "$2" ]; do
            is_ours "$@" || exec sh "$6" abandon
            printf "%s beat\n" "$1" 1<>"$2"
            sleep 5
            left=$((left - 5))
        done' xloud-beats "$((cap + 2 * patience * last))" "$nonce" "$input" $$ "$record" "$folder/thawing" \
        "$place/hook" </dev/null >/dev/null 2>&1 4<&- &
}

# tell WORDS: fails if nobody was started that could hear them.
tell() {
    [ -p "$input" ] && printf '%s %s\n' "$nonce" "$1" 1<>"$input"
}

# hear SECONDS WORDS...: waits until the supervisor said one of these, in this record, or has ended; sets HEARD.
hear() {
    read -r deadline _ </proc/uptime
    deadline=$((${deadline%.*} + $1)) HEARD=''
    shift
    [ -n "$said" ] || command exec 4<"$record" || return 1
    : "${said:=$newline}"
    while :; do
        is_over=''
        [ -z "$main" ] || is_running "$main" || is_over=yes
        listen
        for word; do
            case $said in *"$newline$word$newline"* | *"$newline$word "*) HEARD=$word; return 0 ;; esac
        done
        [ -z "$is_over" ] || return 1
        read -r uptime _ </proc/uptime
        [ "${uptime%.*}" -lt "$deadline" ] || return 1
        sleep "$nap" 2>/dev/null 4<&- || sleep 1
    done
}

# listen: reads on from where it was, for each look at the whole takes longer; keeps in `said` what may be waited for. A line
# may not be ended yet.
listen() {
    while IFS= read -r line <&4; do
        line=$begun$line begun=''
        case $line in
        "$nonce "part* | "$nonce "line* | "$nonce "text*) ;;
        "$nonce "*) said=$said${line#"$nonce "}$newline ;;
        esac
    done
    begun=$begun$line
}

close_freeze() {
    if tell release; then
        hear $((grace + 8)) lapsed
        tell bye
    fi
    note closed
    rm -f "$input" "$folder/thawing"
    call_previous thaw
    # Another freeze may have begun.
    opened=''
    read -r opened _ 2>/dev/null <"$folder/open"
    [ "$opened" != "$number" ] || rm -f "$folder/open"
}

children=''
# We are what the hook that was there before ours calls.
[ -z "${XLOUD_FREEZE_HOOK-}" ] || exit 0
case $verb in
freeze | thaw | abandon) "$verb" ;;
*)
    echo "usage: hook freeze | thaw" >&2
    exit 2
    ;;
esac
