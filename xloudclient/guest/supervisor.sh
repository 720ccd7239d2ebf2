# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
#
# Runs in the guest, between ssh and the holding hooks: whatever happens to
# the client, to the connection or to a process named here, the holders are
# released. POSIX shell; it runs under dash, busybox ash and bash. There is no
# -e and no -u: an error must not end the one who is to release. For the same
# reason no redirection that may fail is put on a special built-in: the shell
# would exit (POSIX, "Consequences of shell errors").
#
# Processes, and what happens when one of them ends or is stopped:
#   main    the only one that decides. Its pipes are the holders' standard
#           input: when it ends, each holder reads the end of its input. When
#           it is stopped, the timer ends it.
#   timer   in a session of its own. Tells main each second; when main does
#           not answer for a lease, or is gone, sees to it that no holder
#           is left: continues, terminates, kills.
#   guard   reads a pipe that only the timer has open: tells main what the
#           timer says, and when it is gone, and main releases. It waits
#           where the pipe to main is full; the timer, which must not, has
#           room for hours in its own. A stopped timer is found at the
#           client's beats, by the guest's own clock.
#   relay   copies the client's lines to main. Without it, or the client, no
#           beats come: main releases when the lease runs out.
#   for each child: a host that waits for it, a keeper of its log, and a
#           reader of what a holder says.
# SIGTERM to all of them at once, as of a login that is ended or of a machine
# that shuts down, is heard by main and by the holders alone: the others are
# needed for the release.
# On the way to a release nothing is started and nothing is written to a file
# that may not have room: it is all done by what is built in to the shell.
#
# Called with: ROLE NONCE LEASE GRACE SUDO SHELL [ROLE'S OWN]; the text of
# this file is in $t. In the role `parts` it only defines the first functions.

set -f
LC_ALL=C
role=$1 nonce=$2 lease=$3 grace=$4 sudo=$5 shell=$6
newline='
'
# Lines through the one pipe of events must be written at once, and a C library
# may buffer no more than 1024 bytes.
chunk=900
log_bytes=65536
setsid=$(command -v setsid)
# It came through the environment, where it is not to stay.
text=$t
unset t
t=$text

say() {
    if [ -n "$mute" ]; then
        later="$later$nonce $*$newline"
    else
        printf '%s %s\n' "$nonce" "$*" 2>/dev/null
    fi
}

quit() {
    say "$@"
    exit 0
}

# Becoming root. sudo runs once; it ends with 1 when it refuses, which the
# supervisor never does. The text goes through a file, as sudo logs what it is
# called with.

begin() {
    trap '' HUP INT PIPE
    printf '\n'
    if [ "$sudo" = yes ] && [ "$(id -u)" != 0 ] && command -v sudo >/dev/null; then
        become_root "$@"
    fi
    "$@"
}

become_root() {
    folder=$(umask 077; mktemp -d /dev/shm/xloud.XXXXXX || mktemp -d) 2>/dev/null
    printf '%s\n' "$t" >"$folder/text" || { rm -rf "$folder"; return; }
    sudo -n -- $shell -c \
        't=$(cat "$0"); rm -rf "${0%/*}"; eval "$t"' "$folder/text" \
        "$role" "$nonce" "$lease" "$grace" root "$shell" "$run" 2>/dev/null
    code=$?
    rm -rf "$folder"
    [ "$code" = 1 ] || exit "$code"
}

# Where things are kept: in memory, so that no frozen file system is in the
# way; in a folder that all runs of the same account find.

is_in_memory() {
    while read -r _ mount type _; do
        [ "$mount $type" != "$1 tmpfs" ] || return 0
    done </proc/mounts
    return 1
}

choose_home() {
    # No other program is asked: what is held waits for a freeze hook that was told of the thaw.
    while read -r key _ uid _; do
        [ "$key" != Uid: ] || break
    done </proc/self/status
    if [ "$uid" != 0 ] && [ -d "$XDG_RUNTIME_DIR" ] && [ -w "$XDG_RUNTIME_DIR" ]; then
        home=$XDG_RUNTIME_DIR/xloudclient
    elif [ "$uid" = 0 ] && is_in_memory /run; then
        home=/run/xloudclient
    elif is_in_memory /dev/shm; then
        home=/dev/shm/xloudclient-$uid
    else
        home=${TMPDIR:-/tmp}/xloudclient-$uid
    fi
    [ -d "$home" ] || (umask 077; mkdir "$home") 2>/dev/null
    [ -d "$home" ] && [ ! -L "$home" ] && [ -O "$home" ] || quit failed "can't use $home"
}

# is_taken: whether a run is at work. A look at its lock could be in its way.
is_taken() {
    set +f
    workers=$(ls -l /proc/[0-9]*/cwd 2>/dev/null | sed -n "s,.*/proc/\([0-9]*\)/cwd -> $home/run\.[^ ]*\$,\1,p")
    set -f
    for pid in $workers; do
        case $(tr '\0' ' ' <"/proc/$pid/cmdline") in *' xloud-supervisor '* | *' xloud-timer '*) return 0 ;; esac
    done 2>/dev/null
    return 1
}

# When a process began: proc(5), /proc/pid/stat, field 22; the second one may
# contain blanks.
started() {
    read -r stat 2>/dev/null <"/proc/$1/stat" || return
    set -- ${stat##*) }
    printf '%s\n' "${20}"
}

# is_running PID: one that has ended, and that nobody has waited for, is not.
is_running() {
    read -r stat 2>/dev/null <"/proc/$1/stat" || return
    case ${stat##*) } in [ZX]*) return 1 ;; esac
}

# What a freeze hook needs ends here. A shell reads no further, and what is held waits for it.
[ "$role" != parts ] || return 0

# One supervisor at a time. The lock is an open file that timer and relay
# share, so it lasts as long as somebody is there to release.

# take_lock SECONDS: how long to wait for it.
take_lock() {
    command exec 9>>"$home/lock" || quit failed "can't write in $home"
    attempt=take_folder
    ! command -v flock >/dev/null || attempt='flock -n 9'
    left=$1
    until $attempt; do
        [ "$left" -gt 0 ] && sleep 1 || return 1
        left=$((left - 1))
    done
}

take_folder() {
    if ! mkdir "$home/lock.d" 2>/dev/null; then
        read -r pid start <"$home/lock.d/owner" || return 1
        [ "$start" != "$(started "$pid")" ] || return 1
        mv "$home/lock.d" "$home/stale.$$" && rm -rf "$home/stale.$$" && mkdir "$home/lock.d" || return 1
    fi
    printf '%s %s\n' $$ "$(started $$)" >"$home/lock.d/owner"
}

# The report: what the last supervisor did when nobody listened any more. Its
# room is taken beforehand, and it is overwritten in place.

make_room() {
    printf "%${2}s\n" '' >"$1"
}

tell_report() {
    while read -r line; do
        case $line in
        '') ;;
        end) break ;;
        *) say report "$line" ;;
        esac
    done 2>/dev/null <"$home/report"
}

write_report() {
    printf 'run %s\nwhy %s\n%send\n' "$nonce" "$1" "$2" 1<>"$home/report"
} 2>/dev/null

report() {
    choose_home
    take_lock "$lease" || quit busy
    tell_report
    rm -f "$home/report"
    rm -rf "$home/lock.d"
    quit over
}

# What a run is told of the guest. Any of these tools may be missing.

tell_facts() {
    read -r boot 2>/dev/null </proc/sys/kernel/random/boot_id
    say boot "$boot"
    say uid "$uid" "$sudo"
    # Nova's libvirt driver gives a guest its server's ID; only root sees it.
    # The name may be another one: then the ID need not be Nova's.
    read -r product </sys/class/dmi/id/product_name
    if read -r server </sys/class/dmi/id/product_uuid; then
        [ "$product" = 'OpenStack Nova' ] && say server "$server" || say firmware "$server"
    fi
    df -P -k / | while read -r _ _ used _; do
        case $used in *[!0-9]* | '') ;; *) say used "$used" ;; esac
    done
    lsblk -n -l -d -o NAME,SERIAL | while read -r name serial; do
        # lsblk asks udev, which a small guest may not have; of a virtio disk
        # the kernel tells, too, in a file without a newline
        [ -n "$serial" ] || read -r serial <"/sys/block/$name/serial"
        [ -z "$serial" ] || say serial "$name" "$serial"
    done
    findmnt -n -o SOURCE --target / | while read -r source; do
        lsblk -s -n -l -o NAME,TYPE "${source%%\[*}"
    done | while read -r name type; do
        [ "$type" != disk ] || say root "$name"
    done
    tell_cards
} 2>/dev/null </dev/null

# The addresses of network cards: a bond's members have another one of their
# own. Those that a compute host keeps for its guests are not its own. A host
# of containers has hundreds.
tell_cards() {
    cards=0
    if command -v ip >/dev/null; then
        ip -o link
    else
        set +f
        for card in /sys/class/net/*; do
            read -r address <"$card/address" && printf '0: %s: link/ether %s\n' "${card##*/}" "$address"
        done
    fi | while read -r _ name line; do
        case $name in macvtap* | lo:) continue ;; esac
        for key in 'link/ether ' ' permaddr '; do
            case $line in *"$key"*) ;; *) continue ;; esac
            word=${line#*"$key"}
            word=${word%% *}
            cards=$((cards + 1))
            [ "$cards" -gt 256 ] || say card "${word%\\}"
        done
    done
}

# main

main() {
    choose_home
    supervise
}

# look: beside a run, if there is one. It takes no lock that a run may want,
# and puts right nothing that another left: its home is a folder of its own.
look() {
    choose_home
    ! is_taken || say taken
    home=$(umask 077; mktemp -d "$home/look.XXXXXX") || quit failed "can't write in $home"
    supervise
}

# agent: what the freeze hook of the guest agent starts beside a run. It has a lock of its own.
agent() {
    choose_home
    home=$home/agent
    supervise
}

supervise() {
    take_lock 0 || quit busy
    end_leftovers
    tell_report
    (umask 077; make_room "$home/report" 4096) &&
        scratch=$(umask 077; mktemp -d "$home/run.XXXXXX") &&
        cd "$scratch" && mkfifo events || quit failed "can't write in $home"
    tell_facts
    trap 'due="it was told to end"; over=yes' TERM
    exec 8<&0
    exec 3<>events
    exec 0<events
    exec 3>events
    # A background command's input is /dev/null unless it is given another.
    relay_client <&8 8<&- >/dev/null 2>&1 &
    relay=$!
    start_timer
    exec 8<&- 9>&- 2>/dev/null
    serve
    finish
}

relay_client() {
    trap '' TERM
    while IFS= read -r line; do
        case $line in
        "$nonce "*) printf 'client %s\n' "${line#* }" >&3 || exit ;;
        esac
    done
    printf 'client eof\n' >&3
}

start_timer() {
    t=$t $setsid $shell -c 'eval "$t"' xloud-timer timer "$nonce" "$lease" "$grace" no "$shell" \
        $$ "$scratch" "$home" "$relay" </dev/null 3>&- 8<&- 2>/dev/null |
        {
            trap '' TERM
            while read -r line; do
                printf '%s\n' "$line" >&3 || exit
            done
            printf 'gone\n' >&3
        } 8<&- 9>&- 2>/dev/null &
}

holders='' over='' due='' lapsed='' mute='' later=''
ticks=0 silent=0 age=0 cap='' timer='' ticker='' run_id='' run_end=''
beat_ticks=-1 beat_time=0 stalled='' failures=0 words='' variables='' broken='' log_id='' release_at='' dropping=''

serve() {
    while [ -z "$over" ]; do
        next_event
        [ -z "$release_at" ] || see_answers
        if [ -n "$due" ] && [ -z "$lapsed" ]; then
            lapse
        fi
    done
    if [ -n "$run_id" ]; then
        end_run
    fi
    [ -n "$lapsed" ] || lapse
}

next_event() {
    if IFS= read -r event; then
        failures=0
        act $event
    else
        # A signal may end a read; a broken pipe must not make this spin.
        failures=$((failures + 1))
        [ "$failures" -lt 9 ] || due='it is broken' over=yes
    fi
}

# act: takes the words of an event. Those of the client are after `client`.
act() {
    case $1 in
    client)
        shift
        request "$@"
        ;;
    timer)
        # Nothing is held without one.
        timer=$2
        say open
        ;;
    tick) tick ;;
    gone) timer_gone ;;
    pid) eval "pid_$2=$3" ;;
    exit) child_ended "$2" "$3" ;;
    logged)
        eval "logged_$2=yes"
        [ -z "$run_end" ] || log_ended
        [ -z "$log_id" ] || offer_log
        ;;
    released)
        eval "said_$2=yes gone_$2=\$how_$2"
        # In place, and it has room: for the timer, should it have to tell.
        eval "[ -n \"\$how_$2\" ]" || printf 'early\n' 1<>"said.$2"
        ;;
    prepared | ready | held | part)
        [ "$1" != ready ] || eval "ready_$2=yes"
        [ "$1" != held ] || eval "owes_$2="
        # What it says after `released` is no evidence.
        eval "[ -z \"\$said_$2\" ]" || return
        # As it came: words may be more than one blank apart.
        say "$event"
        ;;
    esac
}

request() {
    case $1 in
    beat)
        silent=0
        check_timer
        ;;
    cap) cap=$2 age=0 ;;
    new)
        words='' variables='' broken=''
        mkdir "d.$2" || broken=yes
        ;;
    put) printf %b "$4" >>"d.$2/$3" || broken=yes ;;
    word) words="$words $2" ;;
    variable) variables="$variables $2" ;;
    hold) start_holder "$2" ;;
    go) let_hold "$2" ;;
    run) start_run "$2" "$3" ;;
    log)
        log_id=$2 log_wait=3
        offer_log
        ;;
    verify) each_holder ask ;;
    drop) drop "$2" ;;
    release) release_at=$((ticks + ${2:-0})) ;;
    bye) over=bye ;;
    eof) due=${due:-'the client is gone'} over=yes ;;
    esac
}

each_holder() {
    for one in $holders; do
        "$1" "$one"
    done
}

# see_answers: releases, as it was asked to, once those that were asked whether they hold have answered, or not in time.
see_answers() {
    owing=''
    each_holder add_owing
    [ -n "$owing" ] && [ "$ticks" -lt "$release_at" ] || due=${due:-'the client asked for it'}
}

add_owing() {
    eval "[ -n \"\$end_$1\" ] || owing=\$owing\$owes_$1"
}

ask() {
    eval "[ -n \"\$end_$1\" ] || { owes_$1=yes; printf 'verify\n' >&\$input_$1; }"
}

# Time. The lease and the cap are counted in ticks of this machine, so that
# they stand still while it does.

tick() {
    [ "$timer" = 0 ] || kill -USR1 "$timer"
    ticks=$((ticks + 1)) silent=$((silent + 1)) age=$((age + 1))
    if [ "$silent" -gt "$lease" ]; then
        due=${due:-"the client was not heard for $lease s"}
        [ "$silent" -le $((lease * 2)) ] || over=yes
    elif [ -n "$cap" ] && [ "$age" -ge "$cap" ]; then
        due=${due:-"the longest time allowed is over, $cap s"}
    fi
    [ -z "$run_id" ] || tick_run
    [ -z "$log_id" ] || offer_log
}

# The beats are the only clock that can tell of a stopped timer. It takes two
# of them, some seconds apart, as after a standstill of the machine many
# arrive at once, before the first tick.
check_timer() {
    read -r now _ </proc/uptime || return
    now=${now%.*}
    if [ "$ticks" != "$beat_ticks" ]; then
        beat_ticks=$ticks beat_time=$now stalled=''
    elif [ -z "$stalled" ]; then
        [ $((now - beat_time)) -lt 4 ] || stalled=$now
    elif [ $((now - stalled)) -ge 2 ]; then
        stalled=''
        [ "$timer" = 0 ] || kill -KILL "$timer"
        timer_gone
    fi
}

timer_gone() {
    [ "$timer" != 0 ] || return
    timer=0
    due=${due:-'its timer is gone'}
    # Nothing will be held any more, but what is released is waited for.
    {
        shut
        while sleep 1; do
            printf 'tick\n' >&3 || exit
        done
    } </dev/null >/dev/null 2>&1 &
    ticker=$!
}

# Children. Each has a session of its own, and no descriptors but its own
# three, so that it keeps no lock and no pipe of another one open.

shut() {
    trap '' TERM
    exec 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
}

prepare() {
    [ -z "$broken" ] &&
        make_room "pid.$1" 32 && make_room "end.$1" 32 && make_room "said.$1" 32 &&
        true >"log.$1" && true >"out.$1" && mkfifo "in.$1" "say.$1" "err.$1" && return
    eval "end_$1=73"
    say exit "$1" 73
    return 1
} 2>/dev/null

start_holder() {
    for free in 4 5 6 7 8 9 none; do
        eval "[ -n \"\$used_$free\" ]" || break
    done
    [ "$free" != none ] && [ -z "$lapsed" ] && prepare "$1" || { say exit "$1" 73; return; }
    eval "exec $free<>in.$1; used_$free=$1 input_$1=$free holder_$1=yes"
    holders="$1 $holders"
    keep err "$1" log
    {
        shut
        listen "$1" <"say.$1" >/dev/null 2>&1
    } &
    eval "listener_$1=$!"
    {
        shut
        host "$1" holder <"in.$1" >"say.$1" 2>"err.$1"
    } &
}

# let_hold ID: tells one that said `prepared` to hold.
let_hold() {
    case " $holders" in *" $1 "*) ;; *) return ;; esac
    eval "[ -n \"\$lapsed\$how_$1\$end_$1\" ] || printf 'hold\n' >&\$input_$1"
}

start_run() {
    prepare "$1" || return
    run_id=$1 run_left=$2 run_end='' run_late='' run_wait=0
    keep err "$1" log
    keep say "$1" out
    {
        shut
        host "$1" run </dev/null >"say.$1" 2>"err.$1"
    } &
}

# keep PIPE ID FILE: a process that keeps the first 64 KiB that come through
# a pipe, and reads on. dd writes what it has read at once.
keep() {
    {
        shut
        exec $setsid $shell -c '
            dd bs=1 count="$1" >>"$2" 2>/dev/null
            cat >/dev/null
            printf "logged %s\n" "$3" >&3
        ' xloud-log "$log_bytes" "$3.$2" "$1_$2" <"$1.$2" >/dev/null 2>&1
    } &
    eval "keeper_$1_$2=$!"
}

# listen ID: tells main what a holder says, of its other lines some. Its host
# says the last word. Without main it listens on: that the holder released is
# kept for the timer's report.
listen() {
    count=0
    while IFS= read -r line; do
        count=$((count + 1))
        case $line in
        '') ;;
        "$nonce exit "*)
            printf 'exit %s %s\n' "$1" "${line##* }" >&3
            exit
            ;;
        prepared | ready | 'ready '* | held | 'held '*)
            [ "$count" -gt 4096 ] || pass_on "$1" "$line"
            ;;
        released)
            printf 'yes\n' 1<>"said.$1"
            printf 'released %s\n' "$1" >&3 || exit
            ;;
        *) [ "$count" -gt 64 ] || printf '%.1000s\n' "$line" >>"log.$1" ;;
        esac
    done
}

pass_on() {
    rest=${2#"${2%% *}"}
    rest=${rest# }
    if [ ${#rest} -gt 4096 ]; then
        rest=
    fi
    while [ -n "$rest" ]; do
        piece=$(printf "%.${chunk}s" "$rest")
        printf 'part %s %s\n' "$1" "$piece" >&3 || return
        rest=${rest#"$piece"}
    done
    printf '%s %s\n' "${2%% *}" "$1" >&3
}

# host ID KIND: runs the file of a holder or a hook, waits, and says its end.
host() {
    if [ "$2" = run ]; then
        # A shell can't undo what it found ignored, but this one set it.
        trap - HUP INT PIPE
    fi
    exec 7<&0
    launch "$@" <&7 7<&- 3>&- &
    pid=$!
    exec 7<&-
    printf '%s\n' "$pid" 1<>"pid.$1"
    printf 'pid %s %s\n' "$1" "$pid" >&3
    wait "$pid"
    code=$?
    # What it left in its group is not ended: that may be the application that
    # it started again, or what is to release in its place.
    printf '%s\n' "$code" 1<>"end.$1"
    # Its last line may have no end.
    if [ "$2" = run ] || ! printf '\n%s exit %s\n' "$nonce" "$code"; then
        printf 'exit %s %s\n' "$1" "$code" >&3
    fi
}

# launch ID KIND: becomes the child. $variables and $words, which the client
# sent, are in the notation of printf %b, without blanks.
launch() {
    folder=$scratch/d.$1
    cd "$folder" || exit 73
    trap - TERM
    # What a look runs is to find what a holder would.
    if [ "$2" = run ] && [ "$role" != look ]; then
        set -- env -i "PATH=$PATH" ${HOME:+"HOME=$HOME"} ${LANG:+"LANG=$LANG"} ${TZ:+"TZ=$TZ"}
    else
        set -- env
    fi
    interpret file
    for word in $variables; do
        value=$(printf '%bx' "$word")
        set -- "$@" "${value%x}"
    done
    set -- "$@" "XLOUD_RUN_FOLDER=$folder" $setsid \
        ${interpreter:+"$interpreter"} ${argument:+"$argument"} "$folder/file"
    for word in $words; do
        value=$(printf '%bx' "$word")
        set -- "$@" "${value%x}"
    done
    exec "$@"
}

# A file in memory may not be executable (mount option noexec), so a script is
# given to its interpreter, as execve(2) says under "Interpreter scripts".
interpret() {
    interpreter='' argument=''
    IFS= read -r line <"$1"
    case $line in
    '#!'*)
        line=${line#??}
        line=${line#"${line%%[! 	]*}"}
        interpreter=${line%%[ 	]*}
        argument=${line#"$interpreter"}
        argument=${argument#"${argument%%[! 	]*}"}
        argument=${argument%"${argument##*[! 	]}"}
        ;;
    *ELF*) chmod 700 "$1" ;;
    *) interpreter=sh ;;
    esac
}

child_ended() {
    eval "[ -z \"\$end_$1\" ]" || return
    eval "end_$1=$2"
    true >"pid.$1"
    if [ "$1" = "$run_id" ]; then
        run_end=$2
        return
    fi
    say exit "$1" "$2"
}

# Hooks and other things that run and end.

tick_run() {
    if [ -n "$run_end" ]; then
        run_wait=$((run_wait + 1))
        [ "$run_wait" -lt 2 ] || run_ended
        return
    fi
    run_left=$((run_left - 1))
    case $run_left in
    0)
        run_late=yes
        signal TERM "$run_id"
        ;;
    -2) signal KILL "$run_id" ;;
    -4) child_ended "$run_id" stuck ;;
    esac
}

# log_ended: its output is complete; when something that it left behind has
# its pipe, that is not waited for.
log_ended() {
    eval "logged=\$logged_err_$run_id\$logged_say_$run_id"
    [ "$logged" != yesyes ] || run_ended
}

run_ended() {
    [ -z "$run_late" ] || signal KILL "$run_id"
    say ran "$run_id" "$run_end" "${run_late:-no}"
    end_keepers "$run_id"
    run_id='' run_end=''
}

end_run() {
    mute=yes run_left=1
    until=$((ticks + 8))
    while [ -n "$run_id" ] && [ "$ticks" -lt "$until" ]; do
        next_event
    done
}

# A keeper ends by itself, unless a process that was left behind has its pipe.
end_keepers() {
    eval "case \$end_$1 in unknown | '') kill -KILL \$listener_$1 ;; esac"
    for one in "err_$1" "say_$1"; do
        eval "[ -n \"\$logged_$one\" ] || [ -z \"\$keeper_$one\" ] ||
            kill -KILL -\$keeper_$one || kill -KILL \$keeper_$one
            logged_$one=yes"
    done
}

signal() {
    eval "target=\$pid_$2"
    [ -z "$target" ] || kill "-$1" "-$target" || kill "-$1" "$target"
} 2>/dev/null

# offer_log: once it is complete; after some ticks also if it isn't.
offer_log() {
    log_wait=$((log_wait - 1))
    eval "logged=\$logged_err_$log_id"
    if [ -n "$logged" ] || [ "$log_wait" -le 0 ]; then
        tell_log "$log_id"
        log_id=''
    fi
}

tell_log() {
    for file in "out.$1" "log.$1"; do
        while IFS= read -r line || [ -n "$line" ]; do
            while [ ${#line} -gt $chunk ]; do
                piece=$(printf "%.${chunk}s" "$line")
                line=${line#"$piece"}
                say text "$1" "$piece"
            done
            say line "$1" "$line"
            line=
        done <"$file"
        say end "$1" "${file%.*}"
    done
}

# Release: everything first, and only then a word about it, as the pipe to the
# client may be full.

lapse() {
    lapsed=${due:-'it was ended'} mute=yes
    each_holder let_go
    each_holder see_end
    done_lines=''
    each_holder add_done
    write_report "$lapsed" "$done_lines"
    say lapsed "$lapsed"
    speak
}

speak() {
    mute=''
    printf '%s' "$later" 2>/dev/null
    later=''
}

# drop ID: releases one alone; one that comes while another is released has its turn after that. Where all are, and are
# told of, one that never started is not among them.
drop() {
    if [ -n "$lapsed" ]; then
        case " $holders" in *" $1 "*) ;; *) say "done" "$1" before 73 no ;; esac
        return
    fi
    dropping="$dropping $1"
    while [ -z "$mute$due$over$release_at" ] && [ -n "$dropping" ]; do
        set -- $dropping
        dropping=${dropping#" $1"}
        mute=yes
        let_go "$1" 1
        see_end "$1" 1
        speak
    done
}

# let_go ID [GRACE]: waits until it says that it has, or has ended; the next one is not to wait until it has cleaned up.
# how_ID tells how it ended: before it was asked, when it was asked, or by force.
let_go() {
    eval "[ -z \"\$how_$1\" ]" || return
    eval "fd=\$input_$1 how_$1=before"
    # It never started.
    [ -n "$fd" ] || { eval "end_$1=73"; return; }
    if eval "[ -z \"\$end_$1\" ]"; then
        eval "how_$1=asked"
        signal CONT "$1"
        printf 'release\n' >&"$fd"
    fi
    # Its host, if it was just begun, has yet to open this, and would wait for a writer for ever. By then its PID is told.
    await_end "$1" 3 "\$pid_$1"
    eval "exec $fd>&-; used_$fd="
    patience "$1"
    see_off "$1" "${2:-$patience}" "\$gone_$1"
}

# see_end ID [GRACE]: and tells of it, once.
see_end() {
    eval "[ -z \"\$seen_$1\" ]" || return
    see_off "$1" "${2:-$grace}"
    has_released "$1"
    eval "seen_$1=yes; say \"done\" $1 \$how_$1 \$end_$1 $said"
    end_keepers "$1"
}

# see_off ID SECONDS [WORD]: waits until it has ended, or WORD expands to something; then ends it.
see_off() {
    await_end "$@" || force "$1" terminated TERM || force "$1" killed KILL || eval "how_$1=stuck end_$1=unknown"
}

# patience ID: sets how many seconds it gets. One that does not read its input
# now won't: it waits for a lock, and others wait behind it; or it was asked
# whether it holds, and hangs.
patience() {
    patience=$grace
    eval "[ -n \"\$ready_$1\" ]" || patience=1
    eval "[ -z \"\$owes_$1\" ]" || [ "$grace" -lt 3 ] || patience=3
}

force() {
    eval "how_$1=$2"
    signal "$3" "$1"
    await_end "$1" 3
}

add_done() {
    has_released "$1"
    eval "done_lines=\"\${done_lines}done $1 \$how_$1 \$end_$1 $said\$newline\""
}

# has_released ID: sets said. Of one that had to be ended, only what it said once it was asked to release counts.
has_released() {
    eval "case \$how_$1 in
        before | asked) said=\${said_$1:-no} ;;
        *) said=\${gone_$1:+yes} ;;
        esac"
    : "${said:=no}"
}

# await_end ID SECONDS [WORD]. A child that is gone without a word has lost its host.
await_end() {
    until=$((ticks + $2)) missed=0
    while eval "[ -z \"\$end_$1${3-}\" ]"; do
        [ "$ticks" -lt "$until" ] || return 1
        seen=$ticks
        next_event
        if [ "$ticks" != "$seen" ] && ! is_alive "$1"; then
            missed=$((missed + 1))
            [ "$missed" -lt 2 ] || eval "end_$1=unknown"
        fi
    done
}

is_alive() {
    eval "target=\$pid_$1"
    [ -z "$target" ] || kill -0 "$target"
}

finish() {
    trap '' TERM
    await_timer
    cd /
    if [ "$over" = bye ] || [ -z "$holders" ]; then
        rm -f "$home/report"
    fi
    leave
    kill -KILL "$relay" $ticker
    case $timer in '' | 0) ;; *) kill -KILL "$timer" ;; esac
    exit 0
}

# await_timer: one that has yet to say who it is would have the lock for seconds more, and the next run would be refused.
await_timer() {
    [ -z "$timer" ] || return 0
    {
        shut
        sleep 2
        printf 'gone\n' >&3
    } </dev/null >/dev/null 2>&1 &
    ticker=$!
    while [ -z "$timer" ] && [ "$failures" -lt 9 ]; do
        next_event
    done
}

leave() {
    rm -rf "$scratch" "$home/lock.d"
    case $home in */look.*) rm -rf "$home" ;; esac
}

# timer MAIN SCRATCH HOME RELAY

timer() {
    trap '' HUP INT PIPE TERM
    trap 'quiet=0' USR1
    main=$1 scratch=$2 home=$3 relay=$4 quiet=0
    printf 'timer %s\n' $$ || exit
    while [ "$quiet" -le "$lease" ]; do
        # It keeps the guard's pipe and the lock to itself.
        sleep 1 >/dev/null 9>&- || exit
        quiet=$((quiet + 1))
        printf 'tick\n' || is_running "$main" || take_over 'the supervisor was killed'
    done
    kill -KILL "$main"
    take_over 'the supervisor did not move'
}

# take_over WHY: main is gone, so each holder has read the end of its input.
take_over() {
    set +f
    for file in "$scratch"/pid.*; do
        pid_1=''
        read -r pid_1 <"$file"
        signal CONT 1
    done 2>/dev/null
    sleep 1
    end_unborn "$scratch"
    # Their hosts tell of it.
    [ -z "$unborn" ] || sleep 1
    # It may hear nothing any more, and has the lock.
    [ "$(readlink "/proc/$relay/cwd")" != "$scratch" ] || kill -KILL "$relay"
    done_lines=''
    end_all "$scratch"
    case $(tell_report) in
    *"report run $nonce"*) ;;
    *) write_report "$1" "$done_lines" ;;
    esac
    leave
    exit 0
}

# end_unborn FOLDER: ends those that were just begun, and sets whether there were any. They wait for main to open their
# pipes; and then have nothing to run.
end_unborn() {
    unborn=''
    for file in "$1"/pid.*; do
        id=${file##*.} pid_1='' end=''
        [ -e "$file" ] || continue
        read -r pid_1 <"$file"
        read -r end <"$1/end.$id"
        [ -z "$pid_1$end" ] || continue
        unborn=yes
        rm -f "$1/d.$id/file"
        for pipe in in say err; do
            true <>"$1/$pipe.$id"
        done
    done
} 2>/dev/null

# end_all FOLDER: sees to it that no child of a main that is gone is left.
# File name generation is on.
end_all() {
    for file in "$1"/pid.*; do
        id=${file##*.} end='' said='' how=asked
        [ -e "$file" ] || continue
        read -r end <"$1/end.$id"
        [ -n "$end" ] || end_one "$1" "$id"
        read -r end <"$1/end.$id"
        read -r said <"$1/said.$id"
        case $how,$said in
        asked,early) said=yes ;;
        *,early) said=no ;;
        esac
        done_lines="${done_lines}done $id $how ${end:-unknown} ${said:-no}$newline"
    done
}

end_one() {
    pid_1='' seconds=0
    read -r pid_1 <"$1/pid.$2"
    [ -n "$pid_1" ] || return
    signal CONT 1
    while is_alive 1 && [ "$seconds" -lt $((grace + 6)) ]; do
        if [ "$seconds" = "$grace" ]; then
            how=terminated
            signal TERM 1
        elif [ "$seconds" = $((grace + 3)) ]; then
            how=killed
            signal KILL 1
        fi
        sleep 1
        seconds=$((seconds + 1))
    done
    ! is_alive 1 || how=stuck
} 2>/dev/null

# What a supervisor left whose timer was killed with it. Its children are
# known by the folder that they work in.
end_leftovers() {
    set +f
    for old in "$home"/run.*; do
        for file in "$old"/pid.*; do
            pid=
            read -r pid 2>/dev/null <"$file"
            case $(readlink "/proc/${pid:-none}/cwd") in
            "$old"*) ;;
            *) [ ! -e "$file" ] || true >"$file" ;;
            esac
        done
        end_unborn "$old"
        done_lines=
        end_all "$old"
        rm -rf "$old"
    done
    set -f
} 2>/dev/null

case $role in
timer)
    shift 6
    timer "$@"
    ;;
*)
    run=$7
    begin "$role"
    ;;
esac
