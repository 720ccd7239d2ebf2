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
# Without an append-only file, the disk has only what was saved: a first BGSAVE while clients may still write shows that
# it can be done in time, a second one under the pause saves the rest. With one, what Redis would soon save on its own
# account is saved first: it logs each save, and a log on a frozen file system hangs all of Redis.
#
# What proves the pause: the server is the same and still a primary; it ran no command that writes, and no key expired or
# was evicted, since the pause began (INFO counts the calls of each command, ACL CAT tells which write); and neither its
# count of changes nor its replication offset moved. A save sets the count of changes to zero. One that Redis made on its
# own account is told apart by the calls; where an account may not ask ACL CAT, any save during the hold is a failure.
. "${0%/*}/common.sh"
socket='' port='' pid='' user='' password_file='' save_timeout=20
options 'socket port pid user password_file save_timeout' "$@"
[ -z "$pid" ] || whole pid "$pid"
whole save_timeout "$save_timeout"

# What of INFO matters here.
NUMBERS="run_id process_id role loading redis_version master_repl_offset aof_enabled aof_buffer_length \
rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status \
aof_last_write_status aof_rewrite_in_progress aof_rewrite_scheduled rdb_last_bgsave_time_sec"
CLIENT=redis-cli WRITERS='' WRITES='' RUN_ID='' POSITION='' PAUSED=''
# Seconds: a hold is seldom longer.
SOON=60

# redis ARGUMENT...: sets ANSWER, which may be an error in words; fails when there is no answer at all.
redis() {
    talk "$@" </dev/null
}

# talk: the same for the commands that it reads from standard input, line by line, as one client is faster than several.
talk() {
    set -- "$CLIENT" --no-auth-warning ${socket:+-s "$socket"} ${port:+-p "$port"} ${user:+--user "$user"} "$@"
    ANSWER=$(timeout 5 "$@" 2>&1 7>&-) || {
        [ -n "$ANSWER" ] || ANSWER='no answer within 5 s'
        return 1
    }
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
    RUN_ID=$run_id
    [ -z "$pid" ] || [ "$process_id" = "$pid" ] || fail "the Redis that answers is process ${process_id:-unknown}, not $pid"
    case $redis_version in [0-5].* | 6.[01].*) fail "Redis $redis_version can't be paused (6.2 or newer can)" ;; esac
    find_data
    json "$redis_version"
    READY="{\"gives\": \"application\", \"data\": [$DATA], \"version\": $JSON, \"append_only\": $append_only}"
}

prepare() {
    redis ACL CAT write
    case $NEWLINE$ANSWER$NEWLINE in
    *"${NEWLINE}set$NEWLINE"*) WRITERS=$ANSWER ;;
    esac
    if [ "$aof_enabled" = 1 ]; then
        save_what_is_due
    else
        save
    fi
    # Most of it while clients may still write.
    to_disk
    watch_over
}

quiesce() {
    pause
    count_writes || fail "$REASON"
    WRITES=$writes
    if [ "$aof_enabled" = 1 ]; then
        append
    elif [ "$rdb_changes_since_last_save" != 0 ] || [ "$rdb_bgsave_in_progress" != 0 ]; then
        save
    fi
    if [ "$aof_enabled" != 1 ] && [ "$rdb_changes_since_last_save" != 0 ]; then
        fail "Redis changed under the pause"
    fi
    CHANGES=$rdb_changes_since_last_save SAVED=$rdb_last_save_time OFFSET=$master_repl_offset
    POSITION="run $RUN_ID offset $OFFSET saved $SAVED changes $CHANGES"
    # An append-only file is written to the disk once a second only.
    to_disk
    READY="${READY%?}, \"position\": \"$POSITION\"}"
}

# Reads the answer to INFO all as `info` does, and sets writes: the calls of each command that writes, and the keys that the
# server removed by itself.
count_writes() {
    case $ANSWER in
    *cmdstat_*) ;;
    *)
        REASON="Redis doesn't answer any more: $ANSWER"
        return 1
        ;;
    esac
    # The shell itself would take long to read all that.
    ANSWER=$(printf '%s\n%s\n' "$WRITERS" "$ANSWER" | awk -v numbers="$NUMBERS" '
        BEGIN { split(numbers, names, " "); for (i in names) number[names[i]] = 1 }
        /^[a-z0-9._|-]+$/ { writer["cmdstat_" $0] = 1; next }
        { split($0, part, ":") }
        part[1] in number { numbered = numbered $0 "\n" }
        part[1] in writer { sub(/,.*/, ""); print }
        part[1] == "expired_keys" || part[1] == "evicted_keys" { print }
        END { printf ".\n%s", numbered }' 7>&-)
    writes=${ANSWER%%."$NEWLINE"*} ANSWER=${ANSWER#*."$NEWLINE"}
    read_info
}

info() {
    redis INFO
    read_info
}

# Sets a variable for each of the NUMBERS in the answer.
read_info() {
    run_id='' process_id='' role='' loading='' redis_version='' master_repl_offset='' aof_enabled='' aof_buffer_length=0
    rdb_changes_since_last_save='' rdb_bgsave_in_progress='' rdb_last_save_time='' rdb_last_bgsave_status=''
    aof_last_write_status='' aof_rewrite_in_progress=0 aof_rewrite_scheduled=0 append_only=false
    rdb_last_bgsave_time_sec=-1
    while IFS=: read -r key value; do
        case " $NUMBERS " in
        *" $key "*)
            value=${value%"$RETURN"}
            case $value in *[!A-Za-z0-9._-]*) continue ;; esac
            eval "$key=\$value"
            ;;
        esac
    done <<END
$ANSWER
END
    [ "$aof_enabled" != 1 ] || append_only=true
    if [ -z "$run_id" ]; then
        REASON="Redis doesn't answer any more: $ANSWER"
        return 1
    fi
    if [ -n "$RUN_ID" ] && [ "$run_id" != "$RUN_ID" ]; then
        REASON="Redis was restarted meanwhile: its run was $RUN_ID and is $run_id"
        return 1
    fi
}
RETURN=$(printf '\r')

find_data() {
    served_by 'redis-server valkey-server' "$process_id"
    redis CONFIG GET dir
    case $ANSWER in
    "dir$NEWLINE"/*) data "${ANSWER#*"$NEWLINE"}" ;;
    *) fail "Redis doesn't tell where its data is (CONFIG GET dir): $ANSWER" ;;
    esac
}

# One lease at a time: a process in another session renews the pause once it is told of it, and ends it when this one is gone.
watch_over() {
    # shellcheck disable=SC2016 # expanded by the other process
    guard 'IFS= read -r word
        [ "$word" = pause ] || exit 0
        while word=$(timeout -s KILL 3 head -n 1); [ "$?" -gt 100 ]; do
            timeout 3 "$@" CLIENT PAUSE 10000 WRITE </dev/null
        done
        [ "$word" = "done" ] || timeout 5 "$@" CLIENT UNPAUSE </dev/null' \
        "$CLIENT" --no-auth-warning ${socket:+-s "$socket"} ${port:+-p "$port"} ${user:+--user "$user"}
}

# Its answer is followed by that to INFO all.
pause() {
    PAUSED=yes
    printf 'pause\n' 2>/dev/null >&7
    talk <<END
CLIENT PAUSE 10000 WRITE
INFO all
END
    case $ANSWER in
    OK"$NEWLINE"*) ANSWER=${ANSWER#OK} ;;
    *) fail "Redis can't be paused (6.2 or newer can): ${ANSWER%%"$NEWLINE"*}" ;;
    esac
}

save() {
    save_until=$(($(date +%s) + save_timeout))
    wait_for_save
    redis BGSAVE SCHEDULE
    case $ANSWER in
    *started* | *scheduled*) ;;
    *) fail "Redis can't save: $ANSWER" ;;
    esac
    sleep_a_little
    wait_for_save
    [ "$rdb_last_bgsave_status" = ok ] || fail "Redis could not save: see its log"
}

# As Redis itself does it, so it need not succeed, nor in time. One that took too long the last time is not begun.
save_what_is_due() {
    save_until=$(($(date +%s) + save_timeout))
    redis CONFIG GET save
    # shellcheck disable=SC2086 # pairs of seconds and changes
    ! is_due ${ANSWER#save} || [ "$rdb_last_bgsave_time_sec" -ge "$save_timeout" ] || redis BGSAVE SCHEDULE
    while info && is_writing && [ "$(date +%s)" -le "$save_until" ]; do
        sleep_a_little
    done
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
    [ "$rdb_bgsave_in_progress$aof_rewrite_in_progress$aof_rewrite_scheduled" != 000 ]
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
    save_until=$(($(date +%s) + save_timeout))
    while [ "$aof_buffer_length" != 0 ]; do
        [ "$(date +%s)" -le "$save_until" ] || fail "Redis did not write its append-only file within $save_timeout s" 75
        sleep_a_little
        info || fail "$REASON"
    done
    [ "$aof_last_write_status" = ok ] || fail "Redis could not write its append-only file: see its log"
}

verify() {
    redis INFO all
    count_writes || return
    now="run $run_id offset $master_repl_offset saved $rdb_last_save_time changes $rdb_changes_since_last_save"
    if [ "$role" != master ]; then
        REASON="Redis became a replica under the pause"
        return 1
    fi
    if [ "$writes" != "$WRITES" ]; then
        REASON="Redis was written to under the pause: $POSITION, now $now"
        return 1
    fi
    if [ -z "$WRITERS" ] && [ "$rdb_last_save_time" != "$SAVED" ]; then
        REASON="Redis was written to or saved under the pause: $POSITION, now $now"
        return 1
    fi
    # A save leaves in the count of changes only those that came after it was begun, and here none came after the pause.
    if [ "$rdb_last_save_time" != "$SAVED" ] && [ "$rdb_changes_since_last_save" -le "$CHANGES" ]; then
        rdb_changes_since_last_save=$CHANGES
    fi
    if [ "$master_repl_offset" != "$OFFSET" ] || [ "$rdb_changes_since_last_save" != "$CHANGES" ]; then
        REASON="Redis was written to under the pause: $POSITION, now $now"
        return 1
    fi
    HELD="{\"position\": \"$POSITION\", \"position_now\": \"$now\"}"
}

# The renewing process ends first, lest it pauses again.
release() {
    unguard
    [ -n "$PAUSED" ] || return 0
    PAUSED=''
    redis CLIENT UNPAUSE
    case $ANSWER in
    OK | 'no answer'* | *'onnection refused'* | *'No such file'*) return 0 ;;
    esac
    REASON="$ANSWER. The pause ends by itself within 10 s"
    return 1
}

hold
