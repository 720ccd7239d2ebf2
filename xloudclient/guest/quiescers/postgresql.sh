#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes PostgreSQL ready to be copied: a checkpoint, and the evidence that a copy needs.
#
# Options
#   socket   the folder of the server's socket; default: psql's own
#   port     default: psql's own
#   pid      the server's process; another server that answers is refused; default: whichever answers
#   user     the account that logs in, and as root the system account that psql runs as; default: postgres as root
#   timeout  seconds that the checkpoint may take (20)
#
# The account needs to be a superuser, or (15 and newer) a member of pg_checkpoint and pg_read_all_settings.
#
# PostgreSQL has no lock that stops writes, and needs none: a copy of all its files as of one moment recovers by itself,
# with everything that was committed then. One disk is copied as of one moment; several need frozen file systems.
# The checkpoint makes that recovery short. It relies on fsync and full_page_writes, and what was acknowledged is there only
# with synchronous_commit: without them this gives `crash`.
# A session is kept, and asked at the end: a new one may have to write a file of its own, which takes until the thaw where
# the file system is frozen.
# Not covered: unlogged tables (they are empty after a recovery), and what a session committed that has itself set
# synchronous_commit to off (recovery loses the last moments of that, as PostgreSQL says).
. "${0%/*}/common.sh"
socket='' port='' pid='' user='' timeout=20
options 'socket port pid user timeout' "$@"
[ -z "$pid" ] || whole pid "$pid"
whole timeout "$timeout"

SETTINGS='' LSN='' RUN_AS=''
# Which server it is, and what a recovery relies on. Nothing that has to be read from a disk, which may be frozen.
STATE="pg_postmaster_start_time(), current_setting('fsync'), current_setting('full_page_writes'),
    current_setting('synchronous_commit')"

# ask SQL: prints the answer without decoration, columns separated by tabs. Never asks for a password.
ask() {
    session --command="$1" </dev/null
}

# session [ARGUMENT...]: runs psql, which reads its statements from standard input unless it is told otherwise.
session() {
    set -- psql --no-psqlrc --no-align --tuples-only --quiet --no-password --set=ON_ERROR_STOP=1 \
        --field-separator="$TAB" --dbname=postgres "$@"
    [ -z "$socket" ] || set -- "$@" --host="$socket"
    [ -z "$port" ] || set -- "$@" --port="$port"
    [ -z "$user" ] || set -- "$@" --username="$user"
    if [ -n "$RUN_AS" ]; then
        set -- runuser -u "$RUN_AS" -- "$@"
    fi
    # Not in the run folder: the other account may not enter it.
    (cd / && PGCONNECT_TIMEOUT=10 PGOPTIONS="-c statement_timeout=${timeout}s" exec "$@") 2>"postgresql-error.$$"
}

examine() {
    need psql
    if [ "$(id -u)" = 0 ]; then
        need runuser
        RUN_AS=${user:-postgres}
        id "$RUN_AS" >/dev/null 2>&1 || RUN_AS=postgres
        id "$RUN_AS" >/dev/null 2>&1 || RUN_AS=''
    fi
    answer=$(ask "SELECT current_setting('server_version'), current_setting('data_directory'), $STATE") || {
        first_line "postgresql-error.$$"
        case $LINE in
        ERROR:*) fail "this PostgreSQL account may not do what is needed: $LINE" ;;
        *) fail "can't log in to PostgreSQL: $LINE" ;;
        esac
    }
    IFS=$TAB read -r version directory SETTINGS <<END
$answer
END
    IFS=$TAB read -r started fsync full_page_writes _ <<END
$SETTINGS
END
    find_server
    may_checkpoint
    find_data
    gives=application
    if [ "$fsync" != on ] || [ "$full_page_writes" != on ]; then
        less crash "a copy may not recover: fsync=$fsync, full_page_writes=$full_page_writes"
    fi
    is_synchronous ||
        less crash "the last commits may be in the server's memory only: synchronous_commit=off here, or for a role or a database"
    json "$version"
    details="\"version\": $JSON, \"fsync\": \"$fsync\", \"full_page_writes\": \"$full_page_writes\""
    json "$started"
    details="$details, \"started\": $JSON"
    READY="{\"gives\": \"$gives\", \"data\": [$DATA], $details$LESS}"
}

prepare() {
    ask CHECKPOINT >/dev/null || {
        first_line "postgresql-error.$$"
        case $LINE in
        *'statement timeout'*) fail "the checkpoint took longer than $timeout s" 75 ;;
        *) fail "PostgreSQL made no checkpoint: $LINE" ;;
        esac
    }
    open_session
    # It has logged in when it answers.
    ask_position || fail "$REASON"
}

quiesce() {
    ask_position || fail "$REASON"
    READY="${READY%?}, \"position\": \"$LSN\"}"
}

# As CHECKPOINT itself asks it; the role pg_checkpoint is there since 15.
may_checkpoint() {
    may=$(ask "SELECT count(*) FROM pg_roles WHERE (rolname = current_user AND rolsuper)
        OR (rolname = 'pg_checkpoint' AND pg_has_role(current_user, oid, 'USAGE'))")
    [ "${may:-0}" != 0 ] || fail "this PostgreSQL account may make no checkpoint: it needs to be a superuser or in pg_checkpoint"
}

# What the server has by default is hidden where this account or this database has a value of its own.
is_synchronous() {
    asynchronous=$(ask "SELECT count(*) FROM (
        SELECT CASE WHEN source IN ('database', 'user', 'database user') THEN 'off' ELSE setting END AS value
        FROM pg_settings WHERE name = 'synchronous_commit'
        UNION ALL SELECT split_part(one, '=', 2) FROM pg_db_role_setting, unnest(setconfig) AS one
        WHERE one LIKE 'synchronous_commit=%') AS every WHERE lower(value) IN ('off', 'false', 'no', '0')")
    [ "$asynchronous" = 0 ]
}

# Which server answers? The parent of the process that serves a session is the server's own.
find_server() {
    # shellcheck disable=SC2016 # expanded by the shell that psql starts while its session lives
    answering=$(printf '%s\n' 'SELECT pg_backend_pid() AS backend \gset' '\setenv XLOUD_BACKEND :backend' \
        '\! sed -n "s/^PPid:[^0-9]*//p" "/proc/$XLOUD_BACKEND/status"' | session 2>/dev/null)
    served_by 'postgres postmaster' "$answering"
    [ -n "$pid" ] || return 0
    case $answering in
    "$pid") ;;
    '' | *[!0-9]*) fail "can't tell whether the PostgreSQL that answers is process $pid: its processes can't be seen" ;;
    *) fail "the PostgreSQL that answers is process $answering, not $pid" ;;
    esac
}

find_data() {
    # psql's environment may name a server elsewhere, and there may be a process of the same number here.
    is_here=$(ask "SELECT inet_server_addr() IS NOT DISTINCT FROM inet_client_addr() OR inet_server_addr() <<= '127.0.0.0/8'")
    if [ "$is_here" != t ]; then
        unseen "$directory" 'not on this machine'
        return
    fi
    data "$directory"
    # The server may have moved its log, and keeps tablespaces behind links.
    places=$(ask "SELECT pg_tablespace_location(oid) FROM pg_tablespace") ||
        unseen "$directory" 'where its tablespaces are is not visible to this account'
    links=$(links_of "$directory/") || unseen "$directory" "this account can't enter all of it, and there may be links"
    while IFS= read -r place; do
        case $place in
        '' | "${directory%/}"/*) ;;
        *) data "$place" ;;
        esac
    done <<END
$places
$links
END
    [ "${#DATA}" -lt 3400 ] || fail "the data of this server is in too many places to be told"
}

# From here on: descriptor 3 is the kept session's input, 4 its output.
open_session() {
    mkfifo "postgresql-in.$$" "postgresql-out.$$" || fail "no named pipe can be made in $PWD"
    session <"postgresql-in.$$" >"postgresql-out.$$" &
    exec 3>"postgresql-in.$$" 4<"postgresql-out.$$"
    rm -f "postgresql-in.$$" "postgresql-out.$$"
    # PostgreSQL 14 and newer may end it when nothing is asked for a while.
    printf '%s\n' "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout' \\g /dev/null" \
        2>/dev/null >&3
}

# Sets LSN: everything committed before it is in a copy made from now on.
ask_position() {
    query="SELECT $STATE,
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END"
    printf '%s;\n' "$query" 2>/dev/null >&3
    # Without the session, another one may tell what became of the server.
    IFS= read -r answer <&4 || answer=$(ask "$query" 3>&- 4<&-) || {
        first_line "postgresql-error.$$"
        REASON="PostgreSQL doesn't answer any more: $LINE"
        return 1
    }
    LSN=${answer##*"$TAB"}
    case ${answer%"$TAB"*} in
    "$SETTINGS") ;;
    "$started$TAB"*) REASON="PostgreSQL's fsync, full_page_writes or synchronous_commit was changed meanwhile" ;;
    *) REASON="PostgreSQL was restarted meanwhile: $started, now ${answer%%"$TAB"*}" ;;
    esac
    [ -z "$REASON" ]
}

verify() {
    position=$LSN
    ask_position || return
    HELD="{\"position\": \"$position\", \"position_now\": \"$LSN\"}"
    LSN=$position
}

# The client reads the end of its input. It holds nothing, so it is not waited for.
release() {
    exec 3>&- 4<&-
}

hold
