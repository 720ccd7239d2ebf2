#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Tells in one line of JSON which databases run in this machine. It holds nothing and changes nothing.
#
#   {"databases": [{"quiescer": "mysql", "pid": 812, "options": {"socket": "/run/mysqld/mysqld.sock", "pid": "812"},
#                    "detail": "mariadbd"}],
#    "other": ["mongod"], "hint": "..." or null}
#
# A database of another account is told of, too: its quiescer then tries to log in, and says so if it can't. Only its
# socket can't be seen by anybody but root, so that one has just its process ID, by which a quiescer refuses another server.
# A process in a container has a process ID of its own there. It is in "other", as "mysqld in a container": its sockets and
# its files are not reached from here. So are "hidden processes of other accounts", where /proc (hidepid) hides even process 1.
. "${0%/*}/common.sh"

DATABASES='' OTHER='' HINT=''

# The paths of the sockets that process $1 listens on, one per line, as `unix PATH` or `tcp PORT`.
listening() {
    # One process for all of them: a database has hundreds, and there are slow guests.
    inodes=$(ls -ln "/proc/$1/fd" 2>/dev/null | sed -n 's/.* -> socket:\[\([0-9]*\)]$/\1/p' | tr '\n' ' ')
    awk -v inodes=" $inodes" '
        function hexadecimal(text,   i, number) {
            for (i = 1; i <= length(text); i++) number = number * 16 + index("0123456789ABCDEF", substr(text, i, 1)) - 1
            return number
        }
        FILENAME ~ /unix$/ && $4 == "00010000" && $8 ~ /^\// && index(inodes, " " $7 " ") {
            sub(/^([^ ]+ +)*[^ \/]+ +\//, "/"); print "unix", $0
        }
        FILENAME ~ /tcp6?$/ && $4 == "0A" && index(inodes, " " $10 " ") {
            sub(/.*:/, "", $2); print "tcp", hexadecimal($2)
        }' /proc/net/unix /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# database QUIESCER PID COMMAND
database() {
    found=''
    while read -r kind place; do
        case $1/$kind/$place in
        mysql/unix/*mysqlx*) ;;
        mysql/unix/*) found="socket $place" ;;
        postgresql/unix/*/.s.PGSQL.*) found="postgresql $place" ;;
        redis/unix/*) found="socket $place" ;;
        redis/tcp/*) [ -n "$found" ] || found="port $place" ;;
        esac
    done <<END
$(listening "$2")
END
    case $found in
    '') settings='' ;;
    'postgresql '*)
        found=${found#* }
        json "${found%/*}"
        settings="\"socket\": $JSON, \"port\": \"${found##*.}\", "
        ;;
    *)
        json "${found#* }"
        settings="\"${found%% *}\": $JSON, "
        ;;
    esac
    DATABASES="${DATABASES:+$DATABASES, }{\"quiescer\": \"$1\", \"pid\": $2, \"options\": {$settings\"pid\": \"$2\"}, \"detail\": \"$3\"}"
}

# other TEXT
other() {
    case "$OTHER, " in
    *"\"$1\", "*) ;;
    *) OTHER="${OTHER:+$OTHER, }\"$1\"" ;;
    esac
}

# is_reachable FOLDER: whether that process is alive and not in a container; one that is in a container is told of.
is_reachable() {
    uid='' inside=''
    while read -r key value rest; do
        case $key in
        Uid:) uid=$value ;;
        NSpid:) inside=$rest ;;
        esac
    done 2>/dev/null <"$1/status"
    [ -z "$inside" ] || other "$command in a container"
    [ -n "$uid" ] && [ -z "$inside" ]
}

# is_child FOLDER: whether its parent is a process of the same name.
is_child() {
    while read -r key value; do
        [ "$key" != PPid: ] || parent=$value
    done <"$1/status"
    IFS= read -r name 2>/dev/null <"/proc/$parent/comm" && [ "$name" = "$command" ]
}

for process in $(ps -e -o pid= 2>/dev/null || { cd /proc && echo [0-9]*; }); do
    folder=/proc/$process
    command=''
    { IFS= read -r command <"$folder/comm"; } 2>/dev/null
    case $command in
    mariadbd | mysqld) is_reachable "$folder" && database mysql "$process" "$command" ;;
    postgres | postmaster) is_reachable "$folder" && ! is_child "$folder" && database postgresql "$process" "$command" ;;
    redis-server | valkey-server) is_reachable "$folder" && database redis "$process" "$command" ;;
    mongod | clickhouse-serv | influxd | cockroach | etcd | slapd | sqlservr | oracle | db2sysc | beam.smp | memcached | \
        keydb-server | dragonfly)
        is_reachable "$folder" && other "$command"
        ;;
    esac
done

{ IFS= read -r command </proc/1/comm; } 2>/dev/null || other 'hidden processes of other accounts'

if [ -n "$OTHER" ]; then
    HINT='what is in "other" has no quiescer of its own: give it a holding hook, or stop it with service,name=<unit>'
fi
json "$HINT"
[ -n "$HINT" ] || JSON=null
say "{\"databases\": [$DATABASES], \"other\": [$OTHER], \"hint\": $JSON}"
