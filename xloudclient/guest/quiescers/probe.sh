#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Tells in one line of JSON which databases run in this machine. It holds nothing and changes nothing.
#
#   {"databases": [{"quiescer": "mysql", "pid": 812, "options": {"socket": "/run/mysqld/mysqld.sock"}, "detail": "mariadbd"}],
#    "other": ["mongod"], "hint": "..." or null}
#
# It sees the processes of this machine that this account may look into: all of them for root, else its own.
# Processes in containers, which have a process ID of their own there, are left out: their sockets are not reached from here.
. "${0%/*}/common.sh"

DATABASES='' OTHER='' HINT='' UNSEEN=''
me=$(id -u)

# The paths of the sockets that process $1 listens on, one per line, as `unix PATH` or `tcp PORT`.
listening() {
    inodes=$(for descriptor in "/proc/$1/fd"/*; do readlink "$descriptor"; done 2>/dev/null |
        sed -n 's/^socket:\[\([0-9]*\)]$/\1/p' | tr '\n' ' ')
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
        settings="\"socket\": $JSON, \"port\": \"${found##*.}\""
        ;;
    *)
        json "${found#* }"
        settings="\"${found%% *}\": $JSON"
        ;;
    esac
    DATABASES="${DATABASES:+$DATABASES, }{\"quiescer\": \"$1\", \"pid\": $2, \"options\": {$settings}, \"detail\": \"$3\"}"
}

is_ours() {
    uid='' inside=''
    while read -r key value rest; do
        case $key in
        Uid:) uid=$value ;;
        NSpid:) inside=$rest ;;
        esac
    done 2>/dev/null <"$1/status"
    [ -n "$uid" ] && [ -z "$inside" ] || return 1
    [ "$me" = 0 ] || [ "$me" = "$uid" ] || {
        UNSEEN="$UNSEEN $command"
        return 1
    }
}

# is_child FOLDER: whether its parent is a process of the same name.
is_child() {
    while read -r key value; do
        [ "$key" != PPid: ] || parent=$value
    done <"$1/status"
    IFS= read -r name 2>/dev/null <"/proc/$parent/comm" && [ "$name" = "$command" ]
}

for folder in /proc/[0-9]*; do
    command=''
    { IFS= read -r command <"$folder/comm"; } 2>/dev/null
    case $command in
    mariadbd | mysqld) is_ours "$folder" && database mysql "${folder#/proc/}" "$command" ;;
    postgres) is_ours "$folder" && ! is_child "$folder" && database postgresql "${folder#/proc/}" "$command" ;;
    redis-server | valkey-server) is_ours "$folder" && database redis "${folder#/proc/}" "$command" ;;
    mongod | clickhouse-serv | influxd | cockroach | etcd | slapd | sqlservr | oracle | db2sysc | beam.smp | memcached)
        is_ours "$folder" && case "$OTHER, " in
        *"\"$command\", "*) ;;
        *) OTHER="${OTHER:+$OTHER, }\"$command\"" ;;
        esac
        ;;
    esac
done

if [ -n "$OTHER" ]; then
    HINT='what is in "other" has no quiescer of its own: give it a holding hook, or stop it with service,name=<unit>'
fi
if [ -n "$UNSEEN" ]; then
    HINT="${HINT:+$HINT; }belongs to another account, which root could quiesce:$UNSEEN"
fi
json "$HINT"
[ -n "$HINT" ] || JSON=null
say "{\"databases\": [$DATABASES], \"other\": [$OTHER], \"hint\": $JSON}"
