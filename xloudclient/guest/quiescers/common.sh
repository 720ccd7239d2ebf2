# SPDX-License-Identifier: Apache-2.0
#
# What the quiescers share: their options, the talk with whoever holds them, and evidence in JSON.
#
# A quiescer sources this file, sets its options, defines these functions, and ends with `hold`:
#   examine   asks all that can be asked before anything is held, or calls `fail`; changes nothing; sets READY, a JSON
#             object, as far as it is known. It is all that is done where the first argument is `check`
#   prepare   what else takes time and stops nobody, or calls `fail`; may be left out
#   quiesce   holds the application, or calls `fail`; sets READY. Others may be held already and wait for this
#   verify    sets HELD, a JSON object; or sets REASON and returns non-zero
#   release   lets go, idempotently; or sets REASON and returns non-zero; may set NOTE, a sentence for the log
#
# With `hold` as the first argument that is done in one go. With `prepare` it stops before `quiesce`, says `prepared`, and
# goes on when it reads `hold`; anything else ends it, and nothing was held. So several can be made ready first, and then
# held within a moment.
#
# Exit codes: 0 released; 1 failed, nothing is held; 2 usage; 6 it could not be released; 75 not now, nothing is held.
# Its standard input and output belong to the protocol: every child is given others.
# Scratch files are in the run folder and end in .$$; they are removed at the end.

set -u
umask 077
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
cd "${XLOUD_RUN_FOLDER:-.}" || exit 1
# The run folder is in memory. Some shells keep here-documents in files, and /tmp may be frozen.
TMPDIR=$PWD
export TMPDIR
unset IFS
TAB=$(printf '\t')
NEWLINE='
'
READY='' HELD='' REASON='' NOTE='' MODE=''

# options "KNOWN NAMES" "$@": each key=value after `hold` (`prepare`, `check`) becomes the variable of that name.
options() {
    known_options=$1
    shift
    case ${1-} in hold | prepare | check) MODE=$1 ;; *) usage "the first argument must be 'hold'" ;; esac
    shift
    for word; do
        key=${word%%=*}
        case $word in *=*) ;; *) usage "'$word' is not key=value" ;; esac
        case $key in '' | *[!a-z_]*) usage "unknown option '$key'" ;; esac
        case " $known_options " in *" $key "*) ;; *) usage "unknown option '$key' (known: ${known_options:-none})" ;; esac
        eval "$key=\${word#*=}"
    done
}

usage() {
    printf '%s\n' "$1" >&2
    exit 2
}

# whole NAME VALUE: refuses a VALUE that is not a whole number.
whole() {
    case $2 in '' | *[!0-9]* | ??????????*) usage "$1 must be a whole number, not '$2'" ;; esac
}

need() {
    for tool; do
        command -v "$tool" >/dev/null 2>&1 || fail "$tool is needed and not installed"
    done
}

say() {
    printf '%s\n' "$1" 2>/dev/null
}

# fail SENTENCE [CODE]: for examine, prepare and quiesce.
fail() {
    finish "${2:-1}" "$1"
}

# finish CODE [SENTENCE]: releases first and reports after, because a full pipe would block the report.
finish() {
    trap '' TERM
    finish_code=$1 finish_sentence=${2-}
    if ! release; then
        finish_code=6 finish_sentence="could not be released: $REASON"
    fi
    trap - TERM
    [ -z "$finish_sentence" ] || printf '%s\n' "$finish_sentence" >&2 2>/dev/null
    if [ -n "$was_ready" ] && [ "$finish_code" != 6 ]; then
        # The next one is released once this is heard.
        say released
    fi
    rm -f ./*".$$"
    [ -z "$NOTE" ] || printf '%s\n' "$NOTE" >&2 2>/dev/null
    exit "$finish_code"
}

prepare() {
    :
}

was_ready=
ended_early() {
    fail "was ended before it was ready"
}

hold() {
    [ "$MODE" != check ] || check
    trap '' HUP INT PIPE
    trap ended_early TERM
    examine
    prepare
    [ "$MODE" != prepare ] || await_turn
    quiesce
    if [ "${#READY}" -gt 4080 ]; then
        fail "the evidence is longer than 4096 bytes"
    fi
    trap 'finish 0' TERM
    was_ready=yes
    say "ready $READY" || finish 1 "nobody listens"
    while IFS= read -r word; do
        case $word in
        verify)
            verify || finish 1 "$REASON"
            say "held $HELD"
            ;;
        release) break ;;
        esac
    done
    finish 0
}

# await_turn: returns once it is to hold.
await_turn() {
    say prepared || fail "nobody listens"
    IFS= read -r word || word=''
    [ "$word" = hold ] || finish 0
}

# check: only `examine`, which is all that can be asked before anything is held, and which changes nothing. What the
# `ready` line would say is printed, or why there would be none.
check() {
    trap '' HUP INT PIPE
    examine
    say "$READY"
    finish 0
}

# to_disk: what an application has written is on the disk, and not only in the kernel's memory.
to_disk() {
    # Of a disk that hangs it may not end when this process is killed: then it must not be a sign of life (see `guard`).
    sync </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- || fail "sync failed"
}

# json TEXT: sets JSON to TEXT as a JSON string. No other process takes part, so it is safe while something is held.
json() {
    JSON=
    json_rest=$1
    case $json_rest in
    *[\"\\[:cntrl:]]*) ;;
    *) JSON=$json_rest json_rest= ;;
    esac
    while [ -n "$json_rest" ]; do
        json_tail=${json_rest#?}
        json_character=${json_rest%"$json_tail"}
        json_rest=$json_tail
        case $json_character in
        \" | \\) JSON=$JSON\\$json_character ;;
        "$TAB") JSON=$JSON\\t ;;
        "$NEWLINE") JSON=$JSON\\n ;;
        [[:cntrl:]]) JSON=$JSON$(printf '\\u%04x' "'$json_character") ;;
        *) JSON=$JSON$json_character ;;
        esac
    done
    JSON=\"$JSON\"
}

# first_line FILE: its first lines as one short line, for a sentence.
first_line() {
    LINE=
    [ -r "$1" ] && while [ "${#LINE}" -lt 300 ] && read -r first_line_word; do
        LINE=${LINE:+$LINE }$first_line_word
    done <"$1"
    : "${LINE:=no reason was given}"
}

# where PATH: sets WHERE, JSON that names the whole disks that PATH lives on: {"path": "/srv", "disks": ["vda"]}.
# "disks" is empty, and "problem" says why, for what no disk of this machine holds (nfs, tmpfs) or nobody can tell.
where() {
    where_path=$(readlink -f -- "$1" 2>/dev/null) || where_path=$1
    where_disks='' where_serials='' where_problem=''
    if [ ! -e "$where_path" ]; then
        where_problem='not found'
    elif ! command -v findmnt >/dev/null || ! command -v lsblk >/dev/null; then
        where_problem='no findmnt or lsblk'
    else
        where_disks_of "$where_path"
        [ -n "$where_disks$where_problem" ] || where_problem=unknown
    fi
    json "$1"
    WHERE="{\"path\": $JSON, \"disks\": [$where_disks]"
    [ -z "$where_serials" ] || WHERE="$WHERE, \"serials\": {$where_serials}"
    if [ -n "$where_problem" ]; then
        json "$where_problem"
        WHERE="$WHERE, \"problem\": $JSON"
    fi
    WHERE="$WHERE}"
}

where_disks_of() {
    where_mount=$(findmnt -n -r -v -o SOURCE,FSTYPE,UUID --target "$1" </dev/null 2>/dev/null | tail -n 1)
    where_source=${where_mount%% *}
    where_mount=${where_mount#* }
    where_type=${where_mount%% *}
    case $where_source in
    /dev/*) ;;
    *)
        where_problem=${where_type:-unknown}
        return
        ;;
    esac
    # A btrfs may have several devices, of which findmnt names one.
    for where_device in /sys/fs/btrfs/"${where_mount#* }"/devices/*; do
        [ "$where_type" = btrfs ] && [ -e "$where_device" ] && where_source="$where_source /dev/${where_device##*/}"
    done
    where_parents=$(for where_device in $where_source; do
        lsblk -s -n -r -o NAME,TYPE,SERIAL "$where_device" </dev/null 2>/dev/null
    done | sort -u)
    for where_line in $(printf '%s\n' "$where_parents" | tr ' ' /); do
        where_name=${where_line%%/*} where_line=${where_line#*/}
        case $where_line in
        disk*) where_add_disk "$where_name" "${where_line#*/}" ;;
        loop*)
            IFS= read -r where_backing <"/sys/block/$where_name/loop/backing_file" &&
                where_disks_of "$where_backing"
            ;;
        esac
    done
}

where_add_disk() {
    case "$where_disks," in *"\"$1\","*) return ;; esac
    where_disks=${where_disks:+$where_disks, }\"$1\"
    [ -n "$2" ] || return 0
    json "$2"
    where_serials=${where_serials:+$where_serials, }\"$1\":\ $JSON
}

# data PATH: adds PATH, and every file system mounted below it that has a disk or a server, to the list DATA.
# Of many paths it keeps those that tell something new: another disk.
DATA='' SERVERS='' data_paths=$NEWLINE data_count=0
data() {
    data_one "$1"
    data_root=$(readlink -f -- "$1" 2>/dev/null) || data_root=$1
    data_mounts=${SERVERS%% *}
    data_mounts=/proc/${data_mounts:-self}/mountinfo
    [ -r "$data_mounts" ] || return 0
    while read -r _ _ _ _ data_mount data_rest; do
        case ${data_rest#* - } in *' /'* | *:/* | zfs*) ;; *) continue ;; esac
        # mountinfo writes \ooo, printf reads \0ooo.
        case $data_mount in
        *\\*) data_mount=$(printf '%b' "$(printf '%s' "$data_mount" | sed 's/\\/\\0/g')") ;;
        esac
        case $data_mount in "${data_root%/}"/?*) data_one "$data_mount" ;; esac
    done <"$data_mounts"
}

data_one() {
    data_path=$1
    while [ "$data_path" != "${data_path%/}" ] && [ "$data_path" != / ]; do data_path=${data_path%/}; done
    case $data_paths in *"$NEWLINE$data_path$NEWLINE"*) return ;; esac
    data_paths=$data_paths$data_path$NEWLINE
    is_seen_by_servers "$data_path" || return 0
    where "$data_path"
    data_count=$((data_count + 1))
    if [ "$data_count" -gt 12 ]; then
        case $DATA in *"\"disks\"${WHERE#*\"disks\"}"*) return ;; esac
    fi
    DATA=${DATA:+$DATA, }$WHERE
}

# served_by "NAME..." PID...: what is given to `data` from now on is the data of these processes, as far as they have one of
# these names: a number may come from another machine, or from a container.
served_by() {
    served_names=$1 SERVERS=''
    shift
    for served_process; do
        served_name=''
        { IFS= read -r served_name <"/proc/${served_process#/proc/}/comm"; } 2>/dev/null
        case " $served_names " in *" $served_name "*) SERVERS="${SERVERS:+$SERVERS }${served_process#/proc/}" ;; esac
    done
    : "${SERVERS:=unknown}"
}

# is_seen_by_servers PATH: whether SERVERS find there what we do; else it is unseen. Units of systemd, for one, may have
# other file systems mounted than the rest of the machine, or another root.
is_seen_by_servers() {
    seen_path=$(readlink -f -- "$1" 2>/dev/null) || seen_path=$1
    for seen_process in $SERVERS; do
        case $(place_in "$seen_process" "$1" "$seen_path") in
        '') unseen "$1" "what the server sees there can't be told" ;;
        "$(place_in self "$1" "$seen_path")") continue ;;
        *) unseen "$1" 'the server sees another file system there' ;;
        esac
        return 1
    done
}

# place_in PID PATH...: prints which file system that process finds each PATH in, and the path there; nothing where that can't
# be told. Its mountinfo may be read by anybody, unlike its root. A later mount may hide an earlier one that is longer, so the
# mounts are followed from the root. What is mounted on itself, as ProtectSystem= does, is the same place.
place_in() {
    place_mounts=/proc/$1/mountinfo
    shift
    [ -r "$place_mounts" ] || return 0
    printf '%s\n' "$@" | sed 's/\\/\\134/g; s/ /\\040/g; s/'"$TAB"'/\\011/g' | awk '
        FNR == NR {
            sub("/$", "", $4); sub("/$", "", $5)
            parent[$1] = $2; system_number[$1] = $3; root[$1] = $4; point[$1] = $5
            next
        }
        {
            mount = ""
            for (one in parent) if (point[one] == "" && (parent[one] == one || !(parent[one] in parent))) next_mount = one
            while (next_mount != "") {
                mount = next_mount; next_mount = ""
                for (one in parent)
                    if (parent[one] == mount && point[one] != "" && index($0 "/", point[one] "/") == 1 &&
                        (next_mount == "" || length(point[one]) < length(point[next_mount]))) next_mount = one
            }
            if (mount != "") print system_number[mount], root[mount] substr($0, length(point[mount]) + 1)
        }' "$place_mounts" - 2>/dev/null
}

# unseen PATH PROBLEM: adds to DATA that nobody can tell which disks PATH lives on, and why.
unseen() {
    json "$1"
    unseen_path=$JSON
    json "$2"
    DATA="${DATA:+$DATA, }{\"path\": $unseen_path, \"disks\": [], \"problem\": $JSON}"
}

# links_of FOLDER...: prints what the links below it lead to. It fails where this account may not see them all.
links_of() {
    command -v find >/dev/null 2>&1 || return
    # What is gone meanwhile is no matter.
    find "$@" -name lost+found -prune -o -type l -exec readlink -f {} \; </dev/null 2>"links.$$"
    ! grep -q 'ermission denied' "links.$$"
}

# less CLASS SENTENCE: when this quiescer gives less than it could, for one reason or several; sets LESS, which ends the READY
# object.
LESS='' less_reasons=''
# shellcheck disable=SC2034 # used by who sources this
less() {
    less_reasons=${less_reasons:+$less_reasons; }$2
    json "$less_reasons"
    LESS=", \"reason\": $JSON"
    gives=$1
}

# guard SCRIPT [ARGUMENT...]: runs the shell text SCRIPT with ARGUMENTs in a process of another session.
# Its input gives the line `done` when this process has released by itself, and ends when this process ends, however that is.
# Descriptor 7 is that sign of life: a child that must be over before SCRIPT acts inherits it, others have it closed.
GUARD=''
guard() {
    need setsid
    mkfifo "guard.$$" || fail "no named pipe can be made in $PWD"
    guard_script=$1
    shift
    setsid sh -c "trap '' HUP INT PIPE TERM; $guard_script" guard "$@" <"guard.$$" >/dev/null 2>&1 &
    GUARD=$!
    exec 7>"guard.$$"
    rm -f "guard.$$"
    leave_group "$GUARD"
}

# leave_group PID: systemd kills all processes of a login, or of a unit, at once, and knows them by their control group
# (cgroups(7)). Where this account may, it is moved to the root's, which nobody ends. The last one is a v2 without others.
leave_group() {
    for group in /unified /systemd ''; do
        [ ! -w "/sys/fs/cgroup$group/cgroup.procs" ] || echo "$1" >"/sys/fs/cgroup$group/cgroup.procs"
    done 2>/dev/null
}

unguard() {
    [ -n "$GUARD" ] || return 0
    printf 'done\n' 2>/dev/null >&7
    exec 7>&-
    wait "$GUARD"
    GUARD=''
}
