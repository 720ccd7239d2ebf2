#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Holds MariaDB or MySQL still: FLUSH TABLES WITH READ LOCK in one session that lives as long as this process.
#
# Options
#   defaults_file      the client's option file, where the login and its password are; default: the client's own
#   socket             the server's socket; default: the client's own
#   lock_wait_timeout  seconds; from the moment the lock is asked for, writers wait. So this bounds their wait (10)
#   long_query         seconds; while a statement runs that is older, the lock is not even asked for; 0: ask anyway (60)
#
# The account needs RELOAD; for the binary log's position also BINLOG MONITOR (MySQL: REPLICATION CLIENT),
# and PROCESS to see other accounts' statements and where tablespaces are.
#
# What proves the lock: nobody but its own session can lift it, a session has one connection ID, and the client is told
# not to reconnect. The binary log's position is compared too. Without a binary log there is no such number: row counters
# count temporary tables, which the lock leaves alone, and InnoDB's log grows by purging. So InnoDB's log sequence number
# is recorded, not compared.
. "${0%/*}/common.sh"
defaults_file='' socket='' lock_wait_timeout=10 long_query=60
options 'defaults_file socket lock_wait_timeout long_query' "$@"
whole lock_wait_timeout "$lock_wait_timeout"
whole long_query "$long_query"

CLIENT='' CONNECTION='' POSITION='' TIMER='' DETAILS=''
server=MySQL program=mysql

# client [ARGUMENT...]: becomes the command-line client; only for a process of its own.
client() {
    set -- --batch --skip-column-names --unbuffered --no-auto-rehash --skip-reconnect --connect-timeout=10 "$@"
    [ -z "$socket" ] || set -- "--socket=$socket" "$@"
    [ -z "$defaults_file" ] || set -- "--defaults-file=$defaults_file" "$@"
    exec "$program" "$@"
}

# Sets LINE to the last error of the client, without the statement that it repeats.
why() {
    first_line "mysql-error.$$"
    case $LINE in *ERROR*) LINE="ERROR${LINE##*ERROR}" ;; esac
}

# ask SQL: one statement in a session of its own, before anything is held.
ask() {
    (client -e "$1" </dev/null 2>"mysql-error.$$")
}

quiesce() {
    if command -v mariadb >/dev/null 2>&1; then
        server=MariaDB program=mariadb
    fi
    need "$program"
    learn
    refuse_long_queries
    find_data
    open_session
    lock
    # MyISAM and Aria leave their pages to the kernel.
    to_disk
    ask_position || fail "the lock was had and lost: $REASON"
    json "$POSITION"
    READY="{\"gives\": \"application\", \"data\": [$DATA], \"position\": $JSON, \"connection\": $CONNECTION, $DETAILS}"
}

# Sets a variable for each of the server's that matter here.
learn() {
    datadir='' innodb_data_home_dir='' innodb_log_group_home_dir='' innodb_undo_directory='' innodb_data_file_path=''
    log_bin=OFF log_bin_basename='' relay_log_basename='' aria_log_dir_path='' version='' hostname='' pid_file=''
    gtid_mode='' gtid_binlog_pos=none
    learned=$(ask "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('datadir', 'innodb_data_home_dir',
        'innodb_log_group_home_dir', 'innodb_undo_directory', 'innodb_data_file_path', 'log_bin', 'log_bin_basename',
        'relay_log_basename', 'aria_log_dir_path', 'version', 'hostname', 'pid_file', 'gtid_mode', 'gtid_binlog_pos')") || {
        why
        fail "can't log in to $server: $LINE"
    }
    # shellcheck disable=SC2034 # value is used by eval
    while IFS=$TAB read -r key value; do
        case $key in '' | *[!a-z_]*) continue ;; esac
        eval "$key=\$(printf '%b' \"\$value\")"
    done <<END
$learned
END
    json "$version"
    DETAILS="\"version\": $JSON"
}

refuse_long_queries() {
    [ "$long_query" -gt 0 ] || return 0
    # A SELECT that only reads doesn't hinder MariaDB's lock; it does MySQL's.
    readers="TRUE"
    [ "$gtid_binlog_pos" = none ] || readers="NOT (info LIKE 'SELECT%' AND info NOT LIKE '%FOR UPDATE%')"
    long=$(ask "SELECT CONCAT('connection ', id, ' for ', time, ' s') FROM information_schema.processlist
        WHERE command IN ('Query', 'Execute') AND time >= $long_query AND id <> CONNECTION_ID()
        AND user NOT IN ('system user', 'event_scheduler') AND info IS NOT NULL AND $readers LIMIT 1") || long=
    [ -z "$long" ] || fail "a statement has been running too long to ask for the lock now: $long" 75
}

# Every place where the server keeps data.
find_data() {
    if ! is_on_this_machine; then
        json "$datadir"
        DATA="{\"path\": $JSON, \"disks\": [], \"problem\": \"not on this machine\"}"
        return
    fi
    data "$datadir"
    for place in "$innodb_data_home_dir" "$innodb_log_group_home_dir" "$innodb_undo_directory" "$aria_log_dir_path"; do
        [ -z "$place" ] || data "$(absolute "$place")"
    done
    for place in "$log_bin_basename" "$relay_log_basename"; do
        place=$(absolute "$place")
        [ -z "$place" ] || data "${place%/*}"
    done
    tables='information_schema.INNODB_DATAFILES' column=path
    [ "$gtid_binlog_pos" = none ] || tables='information_schema.INNODB_SYS_TABLESPACES' column=filename
    outside=$(
        printf '%s\n' "$innodb_data_file_path" | tr ';' '\n' | sed -n 's,^\(/.*\)/[^/:]*:.*,\1,p'
        ask "SELECT DISTINCT SUBSTRING($column, 1, LENGTH($column) - LOCATE('/', REVERSE($column)))
            FROM $tables WHERE $column LIKE '/%'"
        find "${datadir%/}" -maxdepth 2 -type l -exec readlink -f {} \; 2>/dev/null </dev/null
    )
    while IFS= read -r place; do
        case $place in
        '' | "${datadir%/}"/*) ;;
        *) data "$place" ;;
        esac
    done <<END
$outside
END
    [ "${#DATA}" -lt 3000 ] || fail "the data of this server is in too many places to be told"
}

absolute() {
    case $1 in
    '' | /*) printf '%s' "$1" ;;
    .) printf '%s' "$datadir" ;;
    *) printf '%s/%s' "${datadir%/}" "${1#./}" ;;
    esac
}

# An option file may name a server elsewhere; its lock says nothing about the disks here.
is_on_this_machine() {
    [ "$hostname" = "$(uname -n)" ] && [ -d "$datadir" ] && return
    [ -r "$pid_file" ] && read -r place <"$pid_file" && [ -d "/proc/$place" ] && [ -d "$datadir" ]
}

# From here on: descriptor 3 is the held session's input, 4 its output. A child that had them would keep the lock alive.
open_session() {
    show_position=
    if [ "$log_bin" = ON ]; then
        for statement in 'SHOW MASTER STATUS' 'SHOW BINARY LOG STATUS'; do
            [ -n "$show_position" ] || ! ask "$statement" >/dev/null || show_position=$statement
        done
    fi
    gtid="''"
    [ "$gtid_binlog_pos" = none ] || gtid='@@GLOBAL.gtid_binlog_pos'
    case $gtid_mode in ON*) gtid="REPLACE(@@GLOBAL.gtid_executed, '\\n', '')" ;; esac
    if [ "$log_bin" != ON ]; then
        gtid="''"
        lsn_name=$(ask "SHOW GLOBAL STATUS LIKE 'Innodb_lsn_current'")
        [ -z "$lsn_name" ] || show_position="SHOW GLOBAL STATUS LIKE 'Innodb_lsn_current'"
    fi
    mkfifo "mysql-in.$$" "mysql-out.$$" || fail "no named pipe can be made in $PWD"
    client <"mysql-in.$$" >"mysql-out.$$" 2>"mysql-error.$$" &
    CLIENT=$!
    exec 3>"mysql-in.$$" 4<"mysql-out.$$"
    rm -f "mysql-in.$$" "mysql-out.$$"
    tell "SET SESSION lock_wait_timeout = $lock_wait_timeout, wait_timeout = 86400, net_read_timeout = 86400,
        net_write_timeout = 86400, autocommit = 1; SELECT CONNECTION_ID();"
    IFS= read -r CONNECTION <&4 || {
        why
        fail "can't log in to $server: $LINE"
    }
}

tell() {
    printf '%s\n' "$1" >&3 2>/dev/null
}

# lock_wait_timeout bounds each of the several waits in this statement, so a second session bounds the whole:
# it ends our own statement, never anybody else's.
lock() {
    mkfifo "mysql-guard.$$" || fail "no named pipe can be made in $PWD"
    client <"mysql-guard.$$" >/dev/null 2>&1 3>&- 4<&- &
    guard_client=$!
    exec 5>"mysql-guard.$$"
    rm -f "mysql-guard.$$"
    (
        exec 3>&- 4<&- </dev/null >/dev/null 2>&1
        sleep "$lock_wait_timeout" 5>&-
        printf 'KILL QUERY %s;\n' "$CONNECTION" >&5
    ) &
    TIMER=$!
    tell "FLUSH TABLES WITH READ LOCK; SELECT 'locked';"
    answer=
    IFS= read -r answer <&4
    # KILL: a signal with a trap can get lost in a process that was just begun.
    kill -KILL "$TIMER" 2>/dev/null
    exec 5>&-
    wait "$TIMER" 2>/dev/null
    TIMER=
    wait "$guard_client" 2>/dev/null
    [ "$answer" = locked ] && return
    why
    case $LINE in
    *'ERROR 1205'* | *'ERROR 1317'*) fail "the lock was not to be had within $lock_wait_timeout s: other statements hinder it" 75 ;;
    *) fail "can't lock $server: $LINE" ;;
    esac
}

# Sets POSITION as the held session sees it; fails with REASON when that session is not what it was.
ask_position() {
    position_connection='' position_gtid='' position_file='' position_offset=''
    tell "SELECT CONNECTION_ID(), IF(LENGTH($gtid) > 500, CONCAT('md5:', MD5($gtid)), $gtid), '.'; $show_position${show_position:+;}"
    IFS=$TAB read -r position_connection position_gtid _ <&4
    [ -z "$show_position" ] || IFS=$TAB read -r position_file position_offset _ <&4 || position_connection=''
    [ -n "$position_connection" ] || {
        why
        REASON="the database session that held the lock is gone: $LINE"
        return 1
    }
    if [ "$position_connection" != "$CONNECTION" ]; then
        REASON="the database session that held the lock is gone: its connection was $CONNECTION and is $position_connection"
        return 1
    fi
    [ "$position_gtid" != . ] || position_gtid=
    POSITION=$position_file${position_offset:+:$position_offset}${position_gtid:+ gtid $position_gtid}
}

verify() {
    position_at_lock=$POSITION gtid_at_lock=$position_gtid
    ask_position || return
    # A log that was rotated has another file and the same GTID.
    if [ "$log_bin" = ON ] && { [ -z "$gtid_at_lock" ] || [ "$position_gtid" != "$gtid_at_lock" ]; } &&
        [ "$POSITION" != "$position_at_lock" ]; then
        REASON="the binary log moved from $position_at_lock to $POSITION under the lock"
        return 1
    fi
    json "$POSITION"
    position_now=$JSON
    POSITION=$position_at_lock
    json "$POSITION"
    HELD="{\"position\": $JSON, \"position_now\": $position_now, \"connection\": $CONNECTION}"
}

release() {
    if [ -n "$TIMER" ]; then
        # The lock is still being waited for.
        kill -KILL "$TIMER" 2>/dev/null
        printf 'KILL QUERY %s;\n' "$CONNECTION" 2>/dev/null >&5
    fi
    if [ -n "$CLIENT" ]; then
        tell 'UNLOCK TABLES;'
        exec 3>&- 4<&- 5>&-
        wait "$CLIENT" 2>/dev/null
        CLIENT=
    fi
}

hold
