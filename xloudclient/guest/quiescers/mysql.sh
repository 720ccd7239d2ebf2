#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Holds MariaDB or MySQL still: FLUSH TABLES WITH READ LOCK in one session that lives as long as this process.
#
# Options
#   defaults_file      the client's option file, where the login and its password are; default: the client's own
#   socket             the server's socket, whatever the option file says; default: the client's own
#   pid                the server's process; another server that answers is refused; default: whichever answers
#   lock_wait_timeout  seconds; from the moment the lock is asked for, writers wait. So this bounds their wait (10)
#   long_query         seconds; while a statement runs that is older, the lock is not even asked for; 0: ask anyway (60)
#
# The account needs RELOAD; for the binary log's position also BINLOG MONITOR (MySQL: REPLICATION CLIENT),
# and PROCESS to see other accounts' statements and where tablespaces are. On MySQL (8 or newer) also SELECT on
# performance_schema.metadata_locks and performance_schema.threads, which must be on (they are by default).
#
# What proves the lock: the server says so, in the session that has it. MariaDB (10.4 or newer) refuses BACKUP STAGE START
# with error 1223 to the very session that holds this lock, and to no other; MySQL shows the session's metadata locks.
# It is asked when the lock was had and at each `verify`. A session has one connection ID, and the client is told not to
# reconnect. The binary log's position is compared too. Without a binary log there is no such number: row counters count
# temporary tables, which the lock leaves alone, and InnoDB's log grows by purging. So InnoDB's log sequence number is
# recorded, not compared.
#
# What is on disk then: InnoDB's log up to the lock, which recovers everything committed. With
# innodb_flush_log_at_trx_commit=2 it is in the kernel, hence the sync. With 0 it is in the server: FLUSH ENGINE LOGS
# writes it on MySQL, but not on MariaDB, whose own timer does (innodb_flush_log_at_timeout, a second). That is waited
# for if it is short, and seen by the log sequence number; else this gives `crash`.
# MyISAM, CSV, and Aria tables that are not crash-safe: the lock closes and writes them. Crash-safe Aria tables (and
# MariaDB's own, in the schema mysql) recover from Aria's log, which is written at the end of each statement.
# Not covered: MEMORY tables (they are empty after any restart), and engines whose data is elsewhere (Spider, CONNECT,
# FEDERATED, S3), or that have folders of their own outside the data folder (RocksDB, ColumnStore).
. "${0%/*}/common.sh"
defaults_file='' socket='' pid='' lock_wait_timeout=10 long_query=60
options 'defaults_file socket pid lock_wait_timeout long_query' "$@"
[ -z "$pid" ] || whole pid "$pid"
whole lock_wait_timeout "$lock_wait_timeout"
whole long_query "$long_query"

CLIENT='' CONNECTION='' POSITION='' TIMER='' SLEEP='' DETAILS='' PROOF=''
gives=application
server=MySQL program=mysql

# client [ARGUMENT...]: becomes the command-line client; only for a process of its own.
# Whatever an option file may say of how it works and what it prints is said again here.
client() {
    set -- --batch --skip-force --skip-column-names --skip-vertical --skip-auto-vertical-output --skip-table --skip-html \
        --skip-xml --skip-raw --skip-show-warnings --skip-column-type-info --skip-safe-updates \
        --skip-binary-mode --skip-reconnect --unbuffered --no-auto-rehash --delimiter=';' \
        --init-command='DO 0' --connect-timeout=10 "$@"
    # MariaDB's client goes to a host that an option file names even if the protocol is said to be `socket`.
    [ -z "$socket" ] || set -- --host=localhost --protocol=socket "--socket=$socket" "$@"
    [ -z "$defaults_file" ] || set -- "--defaults-file=$defaults_file" "$@"
    exec "$program" "$@"
}

# why [FILE]: sets LINE to the last error of the client, without the statement that it repeats.
why() {
    first_line "${1:-mysql-error.$$}"
    case $LINE in *ERROR*) LINE="ERROR${LINE##*ERROR}" ;; esac
}

# ask SQL [ARGUMENT...]: one statement in a session of its own, before anything is held.
ask() {
    (client -e "$@" </dev/null 2>"mysql-error.$$")
}

examine() {
    if command -v mariadb >/dev/null 2>&1; then
        server=MariaDB program=mariadb
    fi
    need "$program"
    learn
    check_server
    check_proof
    [ "$MODE" != check ] || refuse_long_queries
    find_data
    check_recovery
    READY="{\"gives\": \"$gives\", \"data\": [$DATA], $DETAILS$LESS}"
}

prepare() {
    # Most of it while writers may still write; and before long-running statements are looked for.
    to_disk
    refuse_long_queries
    open_session
    open_guard
}

quiesce() {
    lock
    flush_log
    # MyISAM and Aria leave their pages to the kernel.
    to_disk
    prove_lock || fail "the lock was had and lost: $REASON"
    ask_position || fail "the lock was had and lost: $REASON"
    json "$POSITION"
    READY="{\"gives\": \"$gives\", \"data\": [$DATA], \"position\": $JSON, \"connection\": $CONNECTION, $DETAILS$LESS}"
}

# Sets a variable for each of the server's that matter here.
learn() {
    datadir='' innodb_data_home_dir='' innodb_log_group_home_dir='' innodb_undo_directory='' innodb_data_file_path=''
    log_bin=OFF log_bin_basename='' relay_log_basename='' aria_log_dir_path='' version='' hostname='' pid_file=''
    gtid_mode='' gtid_binlog_pos=none innodb_flush_log_at_trx_commit='' innodb_flush_log_at_timeout=1 server_socket=''
    innodb_flush_method='' innodb_doublewrite='' relay_log_recovery=OFF
    learned=$(ask "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('datadir', 'innodb_data_home_dir',
        'innodb_log_group_home_dir', 'innodb_undo_directory', 'innodb_data_file_path', 'log_bin', 'log_bin_basename',
        'relay_log_basename', 'aria_log_dir_path', 'version', 'hostname', 'pid_file', 'gtid_mode', 'gtid_binlog_pos',
        'innodb_flush_log_at_trx_commit', 'innodb_flush_log_at_timeout', 'innodb_flush_method', 'innodb_doublewrite',
        'relay_log_recovery', 'socket')") || {
        why
        fail "can't log in to $server: $LINE"
    }
    # An option file can make the client talk in a way that can't be undone here.
    [ "$(ask 'SELECT 1')" = 1 ] || fail "the client $program says more than it is asked: is 'verbose' in its option file?"
    # shellcheck disable=SC2034 # value is used by eval
    while IFS=$TAB read -r key value; do
        case $key in
        '' | *[!a-z_]*) continue ;;
        socket) key=server_socket ;;
        esac
        eval "$key=\$(printf '%b' \"\$value\")"
    done <<END
$learned
END
    json "$version"
    DETAILS="\"version\": $JSON"
}

# Which server answers? What an option file names may be another than the one that is meant.
check_server() {
    if [ -n "$socket" ]; then
        place=$(absolute "$server_socket")
        [ "$(readlink -f "$socket")" = "$(readlink -f "$place")" ] ||
            fail "the $server that answers is not the one of the socket $socket: its own is $place"
    fi
    place=$(absolute "$pid_file") answering=''
    { read -r answering <"$place"; } 2>/dev/null
    served_by 'mariadbd mysqld' "$answering"
    # Where its pid file can't be read it may be any of these.
    [ "$SERVERS" != unknown ] || served_by 'mariadbd mysqld' /proc/[0-9]*
    [ -n "$pid" ] || return 0
    [ -n "$answering" ] ||
        fail "can't tell whether the $server that answers is process $pid: its pid file $place can't be read"
    [ "$answering" = "$pid" ] || fail "the $server that answers is process $answering, not $pid"
}

# Sets PROOF: a statement for the held session that says 'locked' if that session has the lock.
check_proof() {
    if [ "$gtid_binlog_pos" != none ]; then
        # An error ends the client, so it is caught.
        PROOF="BEGIN NOT ATOMIC
            DECLARE EXIT HANDLER FOR SQLEXCEPTION SELECT 'not locked';
            DECLARE EXIT HANDLER FOR 1223 SELECT 'locked';
            EXECUTE IMMEDIATE 'BACKUP STAGE START';
            EXECUTE IMMEDIATE 'BACKUP STAGE END';
            SELECT 'not locked';
        END"
        ask "EXECUTE IMMEDIATE 'BACKUP STAGE END'" >/dev/null || why
        case $LINE in
        # The lock itself would say so, too.
        *'ERROR 1227'*) [ "$MODE" != check ] || fail "can't lock $server: $LINE" ;;
        *'ERROR 1064'*) fail "it can't be proven that this $server is locked: that takes 10.4 or newer, not $version" ;;
        esac
        return
    fi
    PROOF="SELECT IF(COUNT(DISTINCT m.OBJECT_TYPE) = 2, 'locked', 'not locked')
        FROM performance_schema.metadata_locks m
        JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID
        WHERE t.PROCESSLIST_ID = CONNECTION_ID() AND m.OBJECT_TYPE IN ('GLOBAL', 'COMMIT') AND m.LOCK_TYPE = 'SHARED'
        AND m.LOCK_DURATION = 'EXPLICIT' AND m.LOCK_STATUS = 'GRANTED'"
    # Before anything is locked: it would be for nothing.
    ask "$PROOF" >/dev/null || {
        why
        fail "this account can't see whether $server is locked: $LINE"
    }
}

prove_lock() {
    proof=''
    tell "$PROOF//"
    IFS= read -r proof <&4 || {
        why
        REASON="the database session that held the lock is gone: $LINE"
        return 1
    }
    [ "$proof" = locked ] && return
    REASON="the database session is there and does not have the lock"
    return 1
}

# A statement without what may stand before its first word: brackets and comments, other than those that are run.
BARE="REGEXP_REPLACE(LEFT(info, 1000),
    '^([[:space:](]+|/[*](?!M?!)(?s:.*?)[*]/|(--[[:space:]]|#)[^$NEWLINE]*$NEWLINE)*', '')"

# oldest SECONDS CONDITION: prints which statements of others run the longest, for a sentence. Of the statement itself only its
# first word: the rest may be anybody's secret.
oldest() {
    ask "SELECT CONCAT('connection ', id, ' of ', user, ' for ', time, ' s: ',
        IFNULL(UPPER(REGEXP_SUBSTR($BARE, '^[A-Za-z]+')), ''), IFNULL(CONCAT(' (', NULLIF(state, ''), ')'), ''))
        FROM information_schema.processlist WHERE command IN ('Query', 'Execute') AND time >= $1
        AND id <> CONNECTION_ID() AND user NOT IN ('system user', 'event_scheduler') AND info IS NOT NULL AND $2
        ORDER BY time DESC, id LIMIT 3" | tr -c ' -~\n' '?' | awk 'NR > 1 { printf "; " } { printf "%s", $0 }'
}

refuse_long_queries() {
    [ "$long_query" -gt 0 ] || return 0
    # What only reads doesn't hinder MariaDB's lock; it does MySQL's. WITH may be followed by another word than SELECT.
    readers="TRUE"
    [ "$gtid_binlog_pos" = none ] || readers="NOT (
        $BARE REGEXP '^(SELECT|SHOW)[^A-Za-z0-9_]' AND info NOT REGEXP 'FOR[[:space:]]+UPDATE' OR
        $BARE REGEXP '^WITH[^A-Za-z0-9_]' AND info NOT REGEXP '[^A-Za-z0-9_](UPDATE|DELETE)([^A-Za-z0-9_]|\$)')"
    long=$(oldest "$long_query" "$readers")
    [ -z "$long" ] || fail "a statement has been running too long to ask for the lock now: $long" 75
}

# Every place where the server keeps data.
find_data() {
    if ! is_on_this_machine; then
        unseen "$datadir" 'not on this machine'
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
    is_seen=yes
    links=$(links_of "${datadir%/}/") || is_seen=''
    [ -n "$is_seen" ] || unseen "$datadir" "this account can't enter all of it, and there may be links"
    tablespaces=$(ask "SELECT DISTINCT SUBSTRING($column, 1, LENGTH($column) - LOCATE('/', REVERSE($column)))
        FROM $tables WHERE $column LIKE '/%'") || {
        tablespaces=''
        # MariaDB notes in files, too, which tablespaces are elsewhere.
        if [ -z "$is_seen" ] || [ "$gtid_binlog_pos" = none ]; then
            unseen "$datadir" 'where its tablespaces are is not visible to this account: it needs PROCESS'
        else
            for place in "${datadir%/}"/*/*.isl "${datadir%/}"/*.isl; do
                [ -e "$place" ] || [ -h "$place" ] || continue
                tablespace=''
                { IFS= read -r tablespace <"$place"; } 2>/dev/null
                case $tablespace in
                /*/*) tablespaces=$tablespaces$NEWLINE${tablespace%/*} ;;
                *) unseen "$place" 'it tells where a tablespace is, and this account needs PROCESS to know' ;;
                esac
            done
        fi
    }
    outside=$(
        printf '%s\n' "$innodb_data_file_path" | tr ';' '\n' | sed -n 's,^\(/.*\)/[^/:]*:.*,\1,p'
        printf '%s\n' "$tablespaces" "$links"
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

# What a copy needs to recover and the lock doesn't give: the server still writes pages and its log, and a replica what it
# receives.
check_recovery() {
    case $innodb_flush_method in
    nosync | littlesync) less crash "a copy may not recover: innodb_flush_method=$innodb_flush_method" ;;
    esac
    # DETECT_ONLY finds pages that are torn, and has no copy of them.
    case $innodb_doublewrite in
    '' | ON | DETECT_AND_RECOVER) ;;
    *) less crash "a copy may not recover: innodb_doublewrite=$innodb_doublewrite" ;;
    esac
    check_replica
}

# Where a replica goes on after a recovery is safe if it is a GTID, in a table. A file that says so and the log of what it
# received are written under the lock, too; MySQL fetches that log again if it is told to.
check_replica() {
    [ "$gtid_binlog_pos" != none ] || [ "$relay_log_recovery" != ON ] || return 0
    for statement in 'SHOW ALL SLAVES STATUS' 'SHOW REPLICA STATUS' 'SHOW SLAVE STATUS'; do
        channels=$(ask "$statement" --column-names) && break
    done || {
        why
        ! has_relay_logs || less crash "this server has relay logs, and this account can't see how it replicates: $LINE"
        return
    }
    unsafe=$(printf '%s\n' "$channels" | awk -F '\t' '
        NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
        $(column["Slave_IO_Running"] + column["Replica_IO_Running"]) == "No" { next }
        !column["Using_Gtid"] || $column["Using_Gtid"] == "No"')
    [ -z "$unsafe" ] || less crash "this server is a replica that a crash may make go on at a wrong position: it uses no GTID, or \
relay_log_recovery is off"
}

has_relay_logs() {
    for place in "$(absolute "${relay_log_basename:-relay-bin}")"*.[0-9]* "${datadir%/}"/*relay-bin*.[0-9]*; do
        [ ! -e "$place" ] || return 0
    done
    return 1
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
    # A pid file of that name may be another server's, unless we reach this one without a network.
    came_from=$(ask 'SELECT host FROM information_schema.processlist WHERE id = CONNECTION_ID()')
    case $came_from in
    localhost | localhost:* | 127.* | ::1:*) ;;
    *) return 1 ;;
    esac
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
    # Statements end in // in this session, because the proof has semicolons.
    client --delimiter=// <"mysql-in.$$" >"mysql-out.$$" 2>"mysql-error.$$" &
    CLIENT=$!
    exec 3>"mysql-in.$$" 4<"mysql-out.$$"
    rm -f "mysql-in.$$" "mysql-out.$$"
    tell "SET SESSION lock_wait_timeout = $lock_wait_timeout, wait_timeout = 86400, net_read_timeout = 86400,
        net_write_timeout = 86400, autocommit = 1, sql_mode = ''// SELECT CONNECTION_ID()//"
    IFS= read -r CONNECTION <&4 || {
        why
        fail "can't log in to $server: $LINE"
    }
}

tell() {
    printf '%s\n' "$1" >&3 2>/dev/null
}

# lock_wait_timeout bounds each of the several waits for the lock, so a second session bounds the whole: it ends our own
# statement, never anybody else's. It has logged in before the lock is asked for; descriptor 5 is its input.
open_guard() {
    mkfifo "mysql-guard.$$" "mysql-timer.$$" "mysql-out.$$" || fail "no named pipe can be made in $PWD"
    client <"mysql-guard.$$" >"mysql-out.$$" 2>"mysql-refused.$$" 3>&- 4<&- &
    exec 5>"mysql-guard.$$" 6<"mysql-out.$$"
    rm -f "mysql-guard.$$" "mysql-out.$$"
    printf 'SET SESSION wait_timeout = 86400; SELECT 1;\n' 2>/dev/null >&5
    IFS= read -r answer <&6 || {
        why "mysql-refused.$$"
        fail "can't log in to $server a second time, to bound the wait for the lock: $LINE"
    }
    exec 6<&-
}

# Where the timer was as fast as the lock, what it ends is a later statement of the session, and the lock counts as lost.
lock() {
    start_timer
    tell "FLUSH TABLES WITH READ LOCK// $PROOF//"
    answer=
    IFS= read -r answer <&4
    end_timer
    [ "$answer" = locked ] && return
    [ -z "$answer" ] || fail "can't lock $server: the server does not say that it is locked"
    why
    case $LINE in
    *'ERROR 1205'* | *'ERROR 1317'*)
        hindering=$(oldest 1 "IFNULL(state, '') NOT LIKE 'Waiting for%'" 3>&- 4<&- 5>&-)
        fail "the lock was not to be had within $lock_wait_timeout s: other statements hinder it${hindering:+ ($hindering)}" 75
        ;;
    *) fail "can't lock $server: $LINE" ;;
    esac
}

# The timer sees the sleep end by the pipe between them. So both are children of this process and can be ended by it:
# the sleep of a shell that is killed would stay.
start_timer() {
    (
        exec 3>&- 4<&- </dev/null >/dev/null 2>&1
        read -r _ <"mysql-timer.$$"
        printf 'KILL QUERY %s;\n' "$CONNECTION" >&5
    ) &
    TIMER=$!
    sleep "$lock_wait_timeout" >"mysql-timer.$$" 2>/dev/null 3>&- 4<&- 5>&- &
    SLEEP=$!
}

# KILL: a signal with a trap can get lost in a process that was just begun. The timer first, which acts on the other's end.
end_timer() {
    kill -KILL "$TIMER" ${SLEEP:+"$SLEEP"} 2>/dev/null
    wait "$TIMER" ${SLEEP:+"$SLEEP"} 2>/dev/null
    TIMER='' SLEEP=''
}

# What was committed before the lock is in InnoDB's log on the disk, or this gives less.
flush_log() {
    tell 'FLUSH LOCAL ENGINE LOGS//'
    # As it is now: it may have been changed since the server was asked first.
    log_numbers || fail "the lock was had and lost: $REASON"
    [ "$innodb_flush_log_at_trx_commit" = 0 ] || return 0
    lsn_at_lock=$lsn flush_until=''
    [ "$innodb_flush_log_at_timeout" -le 3 ] || flush_until=0
    # MySQL before 8.0.30 has no such numbers, and needs none.
    [ -n "$lsn_at_lock$lsn_flushed" ] || [ "$gtid_binlog_pos" != none ] || return 0
    while [ -z "$lsn_flushed" ] || [ "$lsn_flushed" -lt "$lsn_at_lock" ]; do
        : "${flush_until:=$(($(date +%s) + innodb_flush_log_at_timeout + 1))}"
        if [ "$(date +%s)" -gt "$flush_until" ]; then
            less crash "the last commits are in the server's memory only: innodb_flush_log_at_trx_commit=0 and \
innodb_flush_log_at_timeout=$innodb_flush_log_at_timeout"
            return
        fi
        { sleep 0.1 2>/dev/null || sleep 1; } 3>&- 4<&- 5>&-
        log_numbers || fail "the lock was had and lost: $REASON"
    done
}

# Sets lsn and lsn_flushed, as far as the server tells them.
log_numbers() {
    lsn='' lsn_flushed='' key=''
    tell "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_lsn_current', 'Innodb_lsn_flushed',
        'Innodb_redo_log_current_lsn', 'Innodb_redo_log_flushed_to_disk_lsn')//
        SHOW GLOBAL VARIABLES LIKE 'innodb_flush_log_at_trx_commit'// SELECT '.'//"
    while IFS=$TAB read -r key value <&4; do
        case $value in *[!0-9]*) value='' ;; esac
        case $key in
        .) return ;;
        *trx_commit*) innodb_flush_log_at_trx_commit=$value ;;
        *flushed*) lsn_flushed=$value ;;
        *current*) lsn=$value ;;
        esac
    done
    why
    REASON="the database session that held the lock is gone: $LINE"
    return 1
}

# Sets POSITION as the held session sees it; fails with REASON when that session is not what it was.
ask_position() {
    position_connection='' position_gtid='' position_file='' position_offset=''
    tell "SELECT CONNECTION_ID(), IF(LENGTH($gtid) > 500, CONCAT('md5:', MD5($gtid)), $gtid), '.'// $show_position${show_position:+//}"
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
    prove_lock || return
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
        end_timer
        printf 'KILL QUERY %s;\n' "$CONNECTION" 2>/dev/null >&5
    fi
    if [ -n "$CLIENT" ]; then
        tell 'UNLOCK TABLES//'
        exec 3>&- 4<&- 5>&-
        wait "$CLIENT" 2>/dev/null
        CLIENT=
    fi
}

hold
