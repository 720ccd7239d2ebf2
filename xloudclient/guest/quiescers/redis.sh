#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Holds Redis or Valkey still: CLIENT PAUSE WRITE, and on disk what is in memory.
#
# Options
#   socket, port   default: redis-cli's own
#   pid            the server's process; another server that answers is refused; default: whichever answers
#   user           an ACL user; default: the default user
#   password_file  a file whose first line is the password; default: what REDISCLI_AUTH says
#   save_timeout   seconds that each BGSAVE may take (20); writers wait for that under the pause
#
# Needs 6.2 or newer. Redis ends a pause by itself, so it is asked for 10 s at a time, by another process that renews it.
# There is one pause for all who ask for one, so one that somebody else asked for is not shared: our release would end it.
# An account that may not call EVALSHA can't see it, and nobody can see one that is asked for during the hold.
#
# Without an append-only file, the disk has only what was saved: a first BGSAVE while clients may still write shows that
# it can be done in time, a second one under the pause saves the rest. With one, what Redis would soon save on its own
# account is saved first: it logs each save, and a log on a frozen file system hangs all of Redis. A Redis that was told
# to save nothing, and has no dump, is not made to: its next start would find the dump, and keys that were deleted since.
#
# A save that fails makes Redis refuse all writes where it has save points (stop-writes-on-bgsave-error). So there none is
# begun without room for all that is in memory; one that has failed all the same by the end is exit code 6.
#
# What proves the pause: the server is the same and still a primary; it ran no command that writes, and no key expired or
# was evicted, since the pause began (INFO counts the calls of each command, ACL CAT tells which write); and its count of
# changes did not move. A save sets that to zero. One that Redis made on its own account is told apart by the calls; where
# an account may not ask ACL CAT, any save during the hold is a failure, and so is anything that replicas are told, such as
# the primary's PING, each 10 s: with ACL CAT the replication offset is evidence only.
. "${0%/*}/common.sh"
socket='' port='' pid='' user='' password_file='' save_timeout=20
options 'socket port pid user password_file save_timeout' "$@"
[ -z "$pid" ] || whole pid "$pid"
whole save_timeout "$save_timeout"

# What of INFO matters here.
NUMBERS="run_id process_id role loading redis_version master_repl_offset aof_enabled aof_buffer_length \
rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status \
aof_last_write_status aof_rewrite_in_progress aof_rewrite_scheduled rdb_last_bgsave_time_sec used_memory"
CLIENT=redis-cli SESSION='' WRITERS='' WRITES='' RUN_ID='' APPENDS='' POSITION='' PAUSED='' SAVES=yes RISKS='' gives=application
# Seconds: a hold is seldom longer.
SOON=60
# What is asked of a client that is kept after what has an answer of many lines. Where it may not be, an error is the end, too.
END=xloudclient-end ASK_FOR_END='ECHO xloudclient-end'
OTHERS_PAUSE="Redis lets nobody write: it seems that somebody else has paused it"

# redis ARGUMENT...: sets ANSWER, which may be an error in words; fails when there is no answer at all.
redis() {
    set -- "$CLIENT" --no-auth-warning ${socket:+-s "$socket"} ${port:+-p "$port"} ${user:+--user "$user"} "$@"
    ANSWER=$(timeout 5 "$@" </dev/null 2>&1 3>&- 4<&- 7>&-) || {
        [ -n "$ANSWER" ] || ANSWER='no answer within 5 s'
        return 1
    }
}

# open_session: starts a client that is kept, as starting one takes longer than all that it is asked while writers wait.
# It writes each answer out at once (redis-cli.c, cliSendCommand). From here on: descriptor 3 is its input, 4 its output.
open_session() {
    mkfifo "redis-in.$$" "redis-out.$$" || fail "no named pipe can be made in $PWD"
    "$CLIENT" --no-auth-warning ${socket:+-s "$socket"} ${port:+-p "$port"} ${user:+--user "$user"} \
        <"redis-in.$$" >"redis-out.$$" 2>&1 7>&- &
    SESSION=$!
    exec 3>"redis-in.$$" 4<"redis-out.$$"
    rm -f "redis-in.$$" "redis-out.$$"
    # It logs in meanwhile. Its answer is waited for once somebody ends it if there is none.
    tell "$ASK_FOR_END"
}

tell() {
    printf '%s\n' "$1" 2>/dev/null >&3
}

# hear: sets ANSWER, of one line; fails once the client has ended. An error is followed by an empty line.
hear() {
    ANSWER=''
    while [ -z "$ANSWER" ]; do
        IFS= read -r ANSWER <&4 || return
    done
}

close_session() {
    SESSION=''
    exec 3>&- 4<&-
}

examine() {
    command -v redis-cli >/dev/null 2>&1 || CLIENT=valkey-cli
    need "$CLIENT" timeout
    if [ -n "$password_file" ]; then
        REDISCLI_AUTH=''
        [ ! -r "$password_file" ] || IFS= read -r REDISCLI_AUTH <"$password_file"
        [ -n "$REDISCLI_AUTH" ] || fail "can't read a password from $password_file"
        export REDISCLI_AUTH
    fi
    redis PING
    case $ANSWER in
    PONG | LOADING* | MASTERDOWN*) ;;
    *) fail "can't log in to Redis: $ANSWER" ;;
    esac
    info || fail "$REASON"
    [ "$loading" = 0 ] || fail "Redis is still loading its data" 75
    [ "$role" = master ] || fail "this Redis is a replica: what it gets from its primary can't be paused"
    [ -z "$pid" ] || [ "$process_id" = "$pid" ] || fail "the Redis that answers is process ${process_id:-unknown}, not $pid"
    case $redis_version in [0-5].* | 6.[01].*) fail "Redis $redis_version can't be paused (6.2 or newer can)" ;; esac
    refuse_another_pause
    find_data
    look_at_saving
    append_only=false
    [ "$APPENDS" != 1 ] || append_only=true
    json "$redis_version"
    READY="{\"gives\": \"$gives\", \"data\": [$DATA], \"version\": $JSON, \"append_only\": $append_only$LESS}"
}

prepare() {
    redis ACL CAT write
    case $NEWLINE$ANSWER$NEWLINE in
    *"${NEWLINE}set$NEWLINE"*) WRITERS=$NEWLINE$ANSWER$NEWLINE ;;
    esac
    if [ "$APPENDS" = 1 ]; then
        save_what_is_due
    elif [ -n "$SAVES" ]; then
        save
    fi
    # Most of it while clients may still write.
    to_disk
    open_session
    watch_over
}

quiesce() {
    pause
    info_all || fail "$REASON"
    WRITES=$writes
    if [ "$APPENDS" = 1 ]; then
        append
    elif [ -n "$SAVES" ]; then
        [ "$rdb_changes_since_last_save$rdb_bgsave_in_progress" = 00 ] || save
        [ "$rdb_changes_since_last_save" = 0 ] || fail "Redis changed under the pause"
    fi
    CHANGES=$rdb_changes_since_last_save SAVED=$rdb_last_save_time OFFSET=$master_repl_offset
    POSITION="run $RUN_ID offset $OFFSET saved $SAVED changes $CHANGES"
    # An append-only file is written to the disk once a second only.
    to_disk
    READY="${READY%?}, \"position\": \"$POSITION\"}"
}

info() {
    redis INFO
    read_answer
    check_numbers
}

# info_all: as `info`, by the kept client; sets writes, too.
info_all() {
    is_whole=''
    if [ -n "$SESSION" ]; then
        tell 'INFO all'
        tell "$ASK_FOR_END"
        read_numbers <&4
    fi
    if [ -z "$is_whole" ]; then
        # It lost its server, or waited too long for it and was ended. Another one may tell why.
        close_session
        redis INFO all
        read_answer
    fi
    check_numbers || return
    [ -n "$is_counted" ] || {
        REASON="Redis doesn't tell what was called: $said"
        return 1
    }
}

# A shell that needs a file for that may find no room, and read nothing.
read_answer() {
    run_id='' is_counted='' said=$ANSWER
    read_numbers <<END
$ANSWER
END
}

# Reads what INFO answers, in which no key has a blank. Sets a variable for each of the NUMBERS; and writes: the calls of
# each command that writes, and the keys that the server removed by itself.
read_numbers() {
    run_id='' process_id='' role='' loading='' redis_version='' master_repl_offset='' aof_enabled='' aof_buffer_length=0
    rdb_changes_since_last_save='' rdb_bgsave_in_progress='' rdb_last_save_time='' rdb_last_bgsave_status=''
    aof_last_write_status='' aof_rewrite_in_progress=0 aof_rewrite_scheduled=0 rdb_last_bgsave_time_sec=-1 used_memory=0
    writes='' is_counted='' said=''
    while IFS=: read -r key value; do
        : "${said:=$key${value:+:$value}}"
        case $key in
        '#'*) continue ;;
        'Could not connect'* | 'AUTH failed' | Error) break ;;
        "$END" | *' '*)
            is_whole=yes
            break
            ;;
        cmdstat_*)
            is_counted=yes
            case $WRITERS in *"$NEWLINE${key#cmdstat_}$NEWLINE"*) writes="$writes $key ${value%%,*}" ;; esac
            ;;
        expired_keys | evicted_keys) writes="$writes $key $value" ;;
        esac
        case " $NUMBERS " in
        *" $key "*)
            value=${value%"$RETURN"}
            case $value in *[!A-Za-z0-9._-]*) continue ;; esac
            eval "$key=\$value"
            ;;
        esac
    done
}

check_numbers() {
    if [ -z "$run_id" ]; then
        REASON="Redis doesn't answer any more: $said"
        return 1
    fi
    : "${RUN_ID:=$run_id}" "${APPENDS:=$aof_enabled}"
    if [ "$run_id" != "$RUN_ID" ]; then
        REASON="Redis was restarted meanwhile: its run was $RUN_ID and is $run_id"
        return 1
    fi
    if [ "$aof_enabled" != "$APPENDS" ]; then
        REASON="the append-only file of Redis was switched on or off meanwhile"
        return 1
    fi
}
RETURN=$(printf '\r')

# A pause holds this back as if it wrote, and it can find no script: a digest has 40 characters.
refuse_another_pause() {
    redis EVALSHA none 0
    case $ANSWER in 'no answer'*) fail "$OTHERS_PAUSE" 75 ;; esac
}

# setting NAME: sets SETTING.
setting() {
    redis CONFIG GET "$1"
    case $ANSWER$NEWLINE in
    "$1$NEWLINE"*) SETTING=${ANSWER#"$1"} SETTING=${SETTING#"$NEWLINE"} ;;
    *) fail "Redis doesn't tell its settings (CONFIG GET $1): $ANSWER" ;;
    esac
}

find_data() {
    served_by 'redis-server valkey-server' "$process_id"
    setting dir
    FOLDER=$SETTING
    case $FOLDER in
    /*) data "$FOLDER" ;;
    *) fail "Redis doesn't tell where its data is (CONFIG GET dir): $ANSWER" ;;
    esac
}

# Sets POINTS, when Redis saves by itself; STOPS, if no client could write after a save that failed; and SAVES, if we may.
look_at_saving() {
    setting stop-writes-on-bgsave-error
    STOPS=${SETTING#no}
    setting save
    POINTS=$SETTING
    [ -n "$POINTS" ] || STOPS=''
    if [ "$APPENDS" = 1 ]; then
        return
    fi
    setting dbfilename
    if [ -z "$POINTS" ] && [ ! -e "$FOLDER/$SETTING" ]; then
        SAVES=''
        less crash "Redis was told to save nothing, and no dump of it is seen in $FOLDER: a copy of it has no data"
    fi
    [ -z "$SAVES" ] || has_room || fail "$REASON" 75
}

# One lease at a time: a process in another session renews the pause once it is told of it, and ends it when this one is gone.
# Where Redis doesn't answer, it ends the kept client, which this process waits for: when it can't renew; and before the pause,
# from the word `look` on.
watch_over() {
    # shellcheck disable=SC2016 # expanded by the other process
    guard 'session=$1 holder=$2 paused=
        shift 2
        # By then the number may be of a process of somebody else.
        end_session() {
            stat=
            read -r stat 2>/dev/null <"/proc/$session/stat"
            case ${stat##*) } in ?" $holder "*) kill "$session" ;; esac
        }
        IFS= read -r word
        [ "$word" = look ] || exit 0
        while word=$(timeout -s KILL 3 head -n 1); code=$?; [ "$word" = pause ] || [ "$code" -gt 100 ]; do
            if [ "$word" = pause ]; then
                paused=yes
            elif [ -z "$paused" ] || ! timeout 3 "$@" CLIENT PAUSE 10000 WRITE </dev/null; then
                end_session
            fi
        done
        [ -z "$paused" ] || [ "$word" = "done" ] || timeout 5 "$@" CLIENT UNPAUSE </dev/null' \
        "$SESSION" $$ "$CLIENT" --no-auth-warning ${socket:+-s "$socket"} ${port:+-p "$port"} ${user:+--user "$user"} \
        3>&- 4<&-
}

# Another pause is looked for as `refuse_another_pause` does; by that itself where the kept client had lost its server.
pause() {
    printf 'look\n' 2>/dev/null >&7
    hear || fail "$OTHERS_PAUSE" 75
    case $ANSWER in
    "$END" | NOPERM* | ERR*) ;;
    *) fail "can't log in to Redis a second time: $ANSWER" ;;
    esac
    tell 'EVALSHA none 0'
    hear || fail "$OTHERS_PAUSE" 75
    case $ANSWER in NOSCRIPT* | NOPERM*) ;; *) refuse_another_pause ;; esac
    PAUSED=yes
    printf 'pause\n' 2>/dev/null >&7
    tell 'CLIENT PAUSE 10000 WRITE'
    hear
    [ "$ANSWER" = OK ] || fail "Redis can't be paused (6.2 or newer can): ${ANSWER:-no answer}"
}

save() {
    save_until=$(($(date +%s) + save_timeout))
    wait_for_save
    has_room || fail "$REASON" 75
    begin_save
    case $ANSWER in
    *started* | *scheduled*) ;;
    *) fail "Redis can't save: $ANSWER" ;;
    esac
    sleep_a_little
    wait_for_save
    [ "$rdb_last_bgsave_status" = ok ] || fail "Redis could not save: see its log"
}

begin_save() {
    RISKS=$STOPS
    redis BGSAVE SCHEDULE
}

# has_room: whether a save has room for the most that it can need, where writers depend on it; or sets REASON.
has_room() {
    [ -n "$STOPS" ] || return 0
    # What precedes the percentage is what is free. Names may have spaces.
    room=$(timeout 5 df -Pk "$FOLDER" 2>/dev/null 3>&- 4<&- 7>&- | awk 'END { sub(/ +[0-9]+% .*/, ""); printf "%.0f", $NF }' 7>&-)
    REASON="a save may fail, and Redis would refuse all writes then: $((used_memory / 1024)) KiB are in its memory, and \
$room KiB are free in $FOLDER"
    [ "$room" -gt $((used_memory / 1024)) ]
}

# As Redis itself does it, so it need not succeed, nor in time. One that took too long the last time, or has no room, is
# not begun.
save_what_is_due() {
    save_until=$(($(date +%s) + save_timeout))
    # shellcheck disable=SC2086 # pairs of seconds and changes
    if is_due $POINTS && [ "$rdb_last_bgsave_time_sec" -lt "$save_timeout" ] && has_room; then
        begin_save
    fi
    while info && is_writing && [ "$(date +%s)" -le "$save_until" ]; do
        sleep_a_little
    done
    refuse_a_rewrite
}

# is_due [SECONDS CHANGES]...: whether one of these save points comes soon.
is_due() {
    while [ "$#" -ge 2 ]; do
        case $1$2 in *[!0-9]*) return 1 ;; esac
        [ "$rdb_changes_since_last_save" -lt "$2" ] ||
            [ $((rdb_last_save_time + $1)) -gt $(($(date +%s) + SOON)) ] || return 0
        shift 2
    done
    return 1
}

# is_writing: whether a process of its own saves, or rewrites the append-only file.
is_writing() {
    [ "$rdb_bgsave_in_progress" != 0 ] || is_rewriting
}

is_rewriting() {
    [ "$aof_rewrite_in_progress$aof_rewrite_scheduled" != 00 ]
}

# An append-only file that was switched on while Redis ran holds nothing that can be loaded until its first rewrite is
# done: 6.2 appends to a file without a beginning, 7.0 to one that its manifest doesn't name. One that fails is scheduled
# again at once. INFO tells that rewrite from no later one, during which the old files, and what is appended, would do; so
# there must be a moment without any. One that failed and is not scheduled was a later one.
refuse_a_rewrite() {
    ! is_rewriting || fail "Redis is setting up or rewriting its append-only file" 75
}

wait_for_save() {
    info || fail "$REASON"
    while [ "$rdb_bgsave_in_progress" != 0 ]; do
        [ "$(date +%s)" -le "$save_until" ] || fail "Redis did not save within $save_timeout s" 75
        sleep_a_little
        info || fail "$REASON"
    done
}

sleep_a_little() {
    sleep 0.1 2>/dev/null || sleep 1
}

# Redis writes its append-only file after each round of commands, unless the disk keeps it from that for a while.
append() {
    refuse_a_rewrite
    save_until=''
    while [ "$aof_buffer_length" != 0 ]; do
        : "${save_until:=$(($(date +%s) + save_timeout))}"
        [ "$(date +%s)" -le "$save_until" ] || fail "Redis did not write its append-only file within $save_timeout s" 75
        sleep_a_little
        info || fail "$REASON"
    done
    [ "$aof_last_write_status" = ok ] || fail "Redis could not write its append-only file: see its log"
}

verify() {
    info_all || return
    now="run $run_id offset $master_repl_offset saved $rdb_last_save_time changes $rdb_changes_since_last_save"
    if [ "$role" != master ]; then
        REASON="Redis became a replica under the pause"
        return 1
    fi
    if [ -z "$WRITERS" ] && [ "$rdb_last_save_time $master_repl_offset" != "$SAVED $OFFSET" ]; then
        REASON="Redis was written to or saved, or told its replicas something, under the pause: $POSITION, now $now"
        return 1
    fi
    # A save leaves in the count of changes only those that came after it was begun, and here none came after the pause.
    if [ "$rdb_last_save_time" != "$SAVED" ] && [ "$rdb_changes_since_last_save" -le "$CHANGES" ]; then
        rdb_changes_since_last_save=$CHANGES
    fi
    if [ "$writes" != "$WRITES" ] || [ "$rdb_changes_since_last_save" != "$CHANGES" ]; then
        REASON="Redis was written to under the pause: $POSITION, now $now"
        return 1
    fi
    HELD="{\"position\": \"$POSITION\", \"position_now\": \"$now\"}"
}

# The renewing process ends first, lest it pauses again.
release() {
    unguard
    if [ -n "$PAUSED" ]; then
        PAUSED=''
        # The kept client is there at once. But its answer could be waited for without end.
        [ -z "$SESSION" ] || tell 'CLIENT UNPAUSE'
        redis CLIENT UNPAUSE
        case $ANSWER in
        OK | 'no answer'* | *'onnection refused'* | *'No such file'*) ;;
        *)
            REASON="$ANSWER. The pause ends by itself within 10 s"
            return 1
            ;;
        esac
    fi
    close_session
    [ -n "$RISKS" ] || return 0
    info
    if [ "$rdb_last_bgsave_status" = err ]; then
        REASON="a save failed, and Redis refuses all writes until one succeeds (MISCONF): see its log, and call BGSAVE"
        return 1
    fi
}

hold
