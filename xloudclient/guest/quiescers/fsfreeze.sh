#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Freezes file systems: what is on the disk is complete, and nothing is written until they are thawed.
#
# Options
#   mounts  mount points, separated by colons; default: every writable file system on a disk of this machine
#
# Needs root. What can't be frozen (nfs, fuse, ...) is named in `skipped`; with `mounts` that is a failure.
# One of these on a disk of its own (vfat, as for EFI) is written out and watched instead: it must not be written to.
# The latest mounted is frozen first, so the root file system comes last.
#
# A frozen file system stays frozen when the process that froze it ends. So two more processes watch, in two sessions:
# the guard thaws when this process ends without having thawed; the second guard, in this session, when the first one ends.
# What a freeze that is under way then still freezes, because a disk does not answer, is thawed as soon as it ends.
# Everything they need is loaded before, and nothing here writes outside the run folder, which must not be frozen itself.
#
# A path may lead elsewhere before the thaw: another mount is over it, a folder above was renamed, or `umount -l` took it
# away. So in each file system a process stays from the beginning on, its pin, and it is frozen and thawed by the working
# folder of that. While the pin is there, the file system is busy, and umount(8) refuses.
#
# What proves the freeze: freezing once more is refused as busy, and the disk has counted no sector written since.
#
# With by=agent it freezes nothing. It is held around the freeze of the guest agent, and `verify`, asked after the thaw,
# tells whether each file system was seen frozen in between: something that wants to write had to wait. The agent thaws
# at once what it froze when it can't freeze all, and calls its hook as after any thaw. What was not seen frozen was not
# frozen for long, or not at all; what was seen began to be frozen, which says nothing of how the agent's freeze ended.
. "${0%/*}/common.sh"
mounts='' by=''
options 'mounts by' "$@"

# Lists of mount points, written as printf's %b reads them (\0040 for a space), so that no name has a blank or a pattern.
# Before one that has a pin is the number of that process: 123/srv/data.
WANTED='' WATCHED='' SKIPPED='' FROZEN='' WRITES='' PINS='' GUARDED='' SECOND='' IS_GUARDED='' IS_ENDED=''
UNGUARDED='the process that was to thaw has ended'
PATTERNS='s/\*/\\0052/g; s/?/\\0077/g; s/\[/\\0133/g'

# Sets NAME to the mount point that $1 is the written form of, and PLACE to what leads there whatever becomes of it.
unescape() {
    NAME=/${1#*/} PLACE=/proc/${1%%/*}/cwd
    case $NAME in
    *\\*)
        NAME=$(printf '%b.' "$NAME")
        NAME=${NAME%.}
        ;;
    esac
}

# Sets SOURCE: the device, or the like, that holds what is at the path $1.
find_source() {
    SOURCE=$(findmnt -n -v -r -o SOURCE --target "$1" </dev/null | tail -n 1)
}

# nap SECONDS: what sleeps is no sign of life.
nap() {
    { sleep "$1" 2>/dev/null || sleep 1; } 6>&- 7>&-
}

examine() {
    need setsid
    if [ -z "$by" ]; then
        need fsfreeze findmnt
        [ "$(id -u)" = 0 ] || fail "only root can freeze file systems"
    fi
    choose
    [ -n "$WANTED" ] || fail "there is no file system to freeze"
    pin
    [ -n "$by" ] || refuse_the_run_folder
    describe
    READY="{\"gives\": \"filesystem\", \"data\": [], \"frozen\": [$DESCRIBED], \"still\": [$STILL], \"skipped\": [$SKIPPED]}"
    [ "$MODE" != check ] || refuse_frozen
}

quiesce() {
    if [ -n "$by" ]; then
        refuse_frozen
        look_out
        [ -z "$COUNTERS" ] || settle
        return
    fi
    # Between a freeze and the note that it was done nothing may come.
    trap 'IS_ENDED=yes' TERM
    watch
    to_disk
    for mount in $WANTED; do
        freeze "$mount"
    done
    trap ended_early TERM
    refuse_the_ended
    tell_guard all || fail "$UNGUARDED"
    settle
}

# Whether a file system is frozen is seen only by what waits. rmdir(2) asks for leave to write before it looks for the
# folder (Linux, fs/namei.c, do_rmdir), so one that does not exist tells it, and nothing is changed. Where it waits, it
# does so until the thaw and no longer.
refuse_frozen() {
    for mount in $WANTED; do
        unescape "$mount"
        rm -f "fsfreeze-answer.$$"
        {
            rmdir "$PLACE/.xloudclient-is-it-frozen"
            true >"fsfreeze-answer.$$"
        } </dev/null >/dev/null 2>&1 5>&- &
        answer_left=20
        until [ -e "fsfreeze-answer.$$" ]; do
            [ "$answer_left" -gt 0 ] || fail "$NAME is frozen already: a freeze that is not ours" 75
            answer_left=$((answer_left - 1))
            nap 0.1
        done
    done
}

# look_out: for each file system a process that marks it once it was seen frozen.
look_out() {
    look_number=0
    for mount in $WANTED; do
        unescape "$mount"
        look_number=$((look_number + 1))
        # In braces: what is closed for a function call, dash keeps open to restore it.
        { look_at "$PLACE" "fsfreeze-seen-$look_number.$$"; } </dev/null >/dev/null 2>&1 5>&- &
        # It never rests, and those that are locked meanwhile come first; but not so far that it is not there in time.
        renice -n 5 -p "$!" >/dev/null 2>&1 5>&-
    done
}

# look_at PLACE FILE: makes FILE once the freeze was seen; ends with the pin. A freeze may be over within a tenth of a
# second, in which a busy machine does not start a process. So one asks a great many times, and is watched without a pause.
look_at() {
    look_names=.xloudclient-is-it-frozen
    while [ "${#look_names}" -lt 60000 ]; do
        look_names="$look_names $look_names"
    done
    while [ -e "$1" ]; do
        # shellcheck disable=SC2086 # words
        (cd "$1" && exec rmdir $look_names) &
        look_pid=$!
        until is_over; do
            if is_waiting && waits_for_a_thaw; then
                true >"$2"
                wait "$look_pid"
                return
            fi
        done
        wait "$look_pid"
    done
}

# Whether it waits for what a freeze has taken (Linux, fs/super.c, sb_start_write; fs/namespace.c, mnt_want_write), and
# not for a disk or for another process. Where the kernel does not say, or no more than that it reads under a lock, it is
# to wait there for longer than anything else would keep it.
waits_for_a_thaw() {
    find_place
    case $look_place in
    *percpu_rwsem* | *percpu_down_read* | *sb_start_write* | *mnt_want_write*) return 0 ;;
    '' | 0 | *rwsem_down_read*) ;;
    *) return 1 ;;
    esac
    look_before=$look_place
    sleep 0.01 && ! is_over && is_waiting && find_place && [ "$look_place" = "$look_before" ]
}

# Sets look_place: where in the kernel it waits (proc(5), wchan).
find_place() {
    look_place=''
    read -r look_place 2>/dev/null <"/proc/$look_pid/wchan"
    true
}

# Whether it has ended: nobody has waited for it yet. Sets look_state (proc(5), state).
is_over() {
    look_state=''
    read -r look_state 2>/dev/null <"/proc/$look_pid/stat"
    look_state=${look_state##*) }
    case $look_state in Z* | '') ;; *) return 1 ;; esac
}

# Whether it slept in the kernel then: one that only had no turn yet is running.
is_waiting() {
    case $look_state in [DS]*) ;; *) return 1 ;; esac
}

# Prints a line for each mounted file system: its mount point, source, type and options.
list() {
    # findmnt writes \xHH for what is no plain character.
    findmnt -n -r -v -o TARGET,SOURCE,FSTYPE,OPTIONS </dev/null | awk '
        function number(digits) {
            return (index("0123456789abcdef", substr(digits, 1, 1)) - 1) * 16 + index("0123456789abcdef", substr(digits, 2)) - 1
        }
        {
            line = ""
            while (match($0, /\\x[0-9a-f][0-9a-f]/)) {
                code = number(substr($0, RSTART + 2, 2))
                line = line substr($0, 1, RSTART - 1) sprintf(code <= 32 || code == 92 ? "\\0%03o" : "%c", code)
                $0 = substr($0, RSTART + 4)
            }
            print line $0
        }' | sed "$PATTERNS"
}

# Sets WANTED, latest mounted first, each file system once.
choose() {
    asked=''
    [ -z "$mounts" ] || asked=:$(printf '%s' "$mounts" | sed "s/\\\\/\\\\0134/g; s/ /\\\\0040/g; $PATTERNS"):
    seen=' '
    list >"fsfreeze-mounts.$$"
    while read -r mount source type state; do
        case $asked in
        '') ;;
        *:"$mount":*) asked=${asked%%:"$mount":*}:${asked#*:"$mount":} ;;
        *) continue ;;
        esac
        case $source,$seen in /dev/*,*" $source "*) continue ;; esac
        choose_one
    done <"fsfreeze-mounts.$$"
    asked=${asked#:}
    [ -z "${asked%:}" ] || fail "there is no file system mounted at ${asked%%:*}"
}

choose_one() {
    case $type,$state in
    ext[234],rw* | xfs,rw* | btrfs,rw* | f2fs,rw* | jfs,rw* | nilfs2,rw* | reiserfs,rw* | gfs2,rw* | ocfs2,rw* | bcachefs,rw*)
        case " $WANTED " in
        *" $mount "*) fail "can't freeze what another file system is mounted over: $mount" ;;
        esac
        WANTED="$mount${WANTED:+ $WANTED}"
        seen="$seen$source "
        return
        ;;
    *,ro*) why='read-only' ;;
    nfs*,* | cifs,* | smb*,* | ceph,* | 9p,* | virtiofs,* | fuse,* | fuse.*,* | vfat,* | exfat,* | ntfs*,* | fuseblk,* | zfs,*)
        why="$type can't be frozen"
        ;;
    *) why="$type has no disk of its own" ;;
    esac
    unescape "$mount"
    [ -z "$mounts" ] || fail "$NAME can't be frozen: $why"
    case $why/$source in
    *"can't be frozen//dev/"*) WATCHED="$mount${WATCHED:+ $WATCHED}" ;;
    *"can't be frozen"/*) skip "$why" ;;
    esac
}

# skip WHY: adds the file system NAME to what is reported as not frozen.
skip() {
    [ "${#SKIPPED}" -lt 1500 ] || return 0
    # It is not looked at: one on the network could keep us for ever.
    json "$NAME"
    SKIPPED="${SKIPPED:+$SKIPPED, }{\"path\": $JSON, \"disks\": []"
    json "$1"
    SKIPPED="$SKIPPED, \"reason\": $JSON}"
}

# Each pin is in a session of its own: where ours is killed, it is still there for the guard. All end with the last process
# that has descriptor 5: this one, the guards, and what freezes and thaws.
pin() {
    mkfifo "pins.$$" || fail "no named pipe can be made in $PWD"
    exec 5<>"pins.$$"
    for mount in $WANTED; do
        unescape "$mount"
        setsid sh -c "trap '' HUP INT PIPE TERM; cd \"\$1\" && read -r _" pin "$NAME" <"pins.$$" >/dev/null 2>&1 5>&- &
        leave_group "$!"
        PINS="${PINS:+$PINS }$!$mount"
    done
    WANTED=$PINS
    pin_left=100
    for mount in $WANTED; do
        unescape "$mount"
        until is_in_place; do
            [ "$pin_left" -gt 0 ] && [ -e "$PLACE" ] || fail "no process could be started that stays in $NAME"
            pin_left=$((pin_left - 1))
            nap 0.05
        done
    done
}

# Whether the path still leads to where the pin is.
is_in_place() {
    # shellcheck disable=SC3013 # it is in POSIX.1-2024
    [ "$PLACE" -ef "$NAME" ]
}

refuse_the_run_folder() {
    find_source .
    here=$SOURCE
    for mount in $WANTED; do
        unescape "$mount"
        find_source "$NAME"
        [ "$here" != "$SOURCE" ] || fail "$NAME can't be frozen: it holds the folder that this hook runs in, $PWD"
    done
}

# Sets DESCRIBED and STILL before anything is frozen, and COUNTERS, the disks' own counts of writes.
describe() {
    LIST='' COUNTERS=''
    find_swaps
    for mount in $WANTED; do
        describe_one
        is_in_place || fail "$NAME leads elsewhere than a moment ago" 75
    done
    DESCRIBED=$LIST LIST=''
    # These are written to after the agent's thaw.
    [ -z "$by" ] || COUNTERS=''
    for mount in $WATCHED; do
        describe_one
        [ -r "$counter" ] || fail "nobody can tell whether $NAME, which can't be frozen, is written to"
    done
    STILL=$LIST
}

describe_one() {
    unescape "$mount"
    where "$NAME"
    LIST="${LIST:+$LIST, }$WHERE"
    find_source "$NAME"
    device=$(readlink -f "$SOURCE")
    counter=/sys/class/block/${device##*/}/stat
    # Swapping to a file is writing that a freeze doesn't stop, and changes nothing that counts.
    case $SWAPS in *" $SOURCE "*) return ;; esac
    [ ! -r "$counter" ] || COUNTERS="$COUNTERS $counter"
}

# Sets SWAPS, the file systems that have a swap file.
find_swaps() {
    SWAPS=' '
    while read -r file type _; do
        [ "$type" = file ] || continue
        find_source "$file"
        SWAPS="$SWAPS$SOURCE "
    done 2>/dev/null </proc/swaps
}

# Sets WRITES. The kernel ends a write before it counts it, so the first look may be too early. What is not counted is
# in flight; so is what is read, and of that there may be no end.
settle() {
    settle_left=20 settle_same=0 WRITES=''
    while [ "$settle_same" -lt 3 ] && [ "$settle_left" -gt 0 ]; do
        count_writes
        settle_same=$((settle_same + 1))
        if [ "$COUNT" != "$WRITES" ] || { [ "$flying" -gt 0 ] && [ "$settle_left" -gt 15 ]; }; then
            settle_same=0
        fi
        WRITES=$COUNT
        settle_left=$((settle_left - 1))
        nap 0.1
    done
}

# Sets COUNT, and flying (Linux, Documentation/block/stat.rst). A sync(1) of others counts as a write of no sector.
count_writes() {
    COUNT='' flying=0
    for counter in $COUNTERS; do
        read -r _ _ _ _ _ _ sectors _ pending _ <"$counter" && COUNT="$COUNT $sectors" flying=$((flying + ${pending:-0}))
    done
}

# What both guards run. Their input: `thaw MOUNT` before it is frozen, `keep MOUNT` when that failed, `done` after the thaw.
# The first one tells the second one all it hears. Descriptor 8 ends with the last process that may be freezing: what was
# told last. The others may be frozen again by then, by somebody else. Where a pin was killed, only the path is left.
# shellcheck disable=SC2016 # expanded by the other processes
THAW='set -f
    mounts=" "
    thaw() {
        # At once: the disk of one may not answer.
        for mount; do
            (
                place=/proc/${mount%%/*}/cwd
                [ -e "$place" ] || place=$(printf "%b" "/${mount#*/}.")
                exec fsfreeze --unfreeze "${place%.}"
            ) </dev/null >/dev/null 2>&1 &
        done
    }
    while IFS=" " read -r word mount; do
        case $word in
        thaw) mounts=" $mount$mounts" ;;
        keep) mounts="${mounts%%" $mount "*} ${mounts#*" $mount "}" ;;
        "done") break ;;
        esac
        printf "%s %s\n" "$word" "$mount"
    done 2>/dev/null
    if [ "$word" != "done" ]; then
        thaw $mounts
        read -r _ <&8
        set -- $mounts
        [ "$#" = 0 ] || thaw "$1"
        wait
    fi
    echo "done"'

# Descriptor 6 is the other end of their 8: this process has it, and whatever freezes. That has no 7: a sign of life that
# lasted as long as a disk that hangs would keep all that was frozen before.
watch() {
    fsfreeze --version </dev/null >/dev/null 2>&1
    mkfifo "second.$$" "freezing.$$" || fail "no named pipe can be made in $PWD"
    exec 6<>"freezing.$$"
    GUARDED=yes
    sh -c "trap '' HUP INT PIPE TERM; $THAW" second 8<"freezing.$$" <"second.$$" >/dev/null 2>&1 6>&- &
    SECOND=$!
    guard "exec 8<\"\$2\" 6>&- >\"\$1\"; rm -f \"\$@\"; $THAW" "second.$$" "freezing.$$"
    # It can write to the second one: both are there.
    watch_left=100
    while [ -e "freezing.$$" ]; do
        [ "$watch_left" -gt 0 ] && [ -z "$IS_ENDED" ] || fail "no process could be started that thaws"
        watch_left=$((watch_left - 1))
        nap 0.05
    done
    IS_GUARDED=yes
}

tell_guard() {
    printf '%s\n' "$*" 2>/dev/null >&7
}

refuse_the_ended() {
    [ -z "$IS_ENDED" ] || fail 'was ended before it was ready'
}

freeze() {
    refuse_the_ended
    unescape "$1"
    tell_guard thaw "$1" || fail "$UNGUARDED"
    freezing
    code=$?
    # One that was ended by a signal may have frozen it before.
    case $code in
    0 | 129 | 1[3-9]? | 2??) FROZEN="$1${FROZEN:+ $FROZEN}" ;;
    *) tell_guard keep "$1" ;;
    esac
    [ "$code" != 0 ] || return 0
    refuse_the_ended
    why "fsfreeze-error.$$"
    case $LINE in
    *busy*) fail "$NAME is frozen already: a freeze that is not ours" 75 ;;
    *) fail "$NAME can't be frozen: $LINE" ;;
    esac
}

freezing() {
    fsfreeze --freeze "$PLACE" </dev/null >/dev/null 2>"fsfreeze-error.$$" 7>&-
}

# why FILE: sets LINE to what fsfreeze said there, but for the path.
why() {
    first_line "$1"
    LINE=${LINE##*"$PLACE: "}
}

was_seen_frozen() {
    look_number=0
    for mount in $WANTED; do
        look_number=$((look_number + 1))
        [ ! -e "fsfreeze-seen-$look_number.$$" ] || continue
        unescape "$mount"
        REASON="the guest agent was not seen to freeze $NAME"
        return 1
    done
}

# A file system that can be frozen was not frozen any more; it is thawed again at once, with all the others.
verify() {
    [ -z "$by" ] || was_seen_frozen || return 1
    for mount in $FROZEN; do
        unescape "$mount"
        # It may be frozen, once more: then it is what was told last.
        tell_guard thaw "$mount" || {
            REASON=$UNGUARDED
            return 1
        }
        if freezing; then
            REASON="$NAME was thawed by somebody else"
            return 1
        fi
        why "fsfreeze-error.$$"
        case $LINE in
        *busy*) ;;
        *)
            REASON="nobody can tell whether $NAME is frozen: $LINE"
            return 1
            ;;
        esac
    done
    count_writes
    if [ "$COUNT" != "$WRITES" ]; then
        REASON="something was written meanwhile: the disks counted$WRITES sectors, and now$COUNT"
        return 1
    fi
    HELD="{\"sectors\": \"${COUNT# }\"}"
}

release() {
    code=0
    [ -z "$GUARDED" ] || thaw
    # Who is told that it is over may unmount it.
    exec 5>&-
    for mount in $PINS; do
        wait "${mount%%/*}"
    done 2>/dev/null
    PINS=''
    return "$code"
}

# Sets code to 1, and REASON, where it failed. All at once: the disk of one may not answer. One that is thawed already is no
# failure: a guest agent's thaw thaws ours too.
thaw() {
    GUARDED=''
    # Without the other, each of them waits for ever.
    [ -n "$IS_GUARDED" ] || kill -KILL ${GUARD:+"$GUARD"} ${SECOND:+"$SECOND"} 2>/dev/null
    already='' thaws='' number=0
    for mount in $FROZEN; do
        number=$((number + 1))
        unescape "$mount"
        fsfreeze --unfreeze "$PLACE" </dev/null >/dev/null 2>"fsfreeze-error-$number.$$" 6>&- 7>&- &
        thaws="$thaws $!"
    done
    number=0
    # shellcheck disable=SC2086 # numbers
    set -- $thaws
    for mount in $FROZEN; do
        number=$((number + 1)) process=$1
        shift
        wait "$process" && continue
        unescape "$mount"
        why "fsfreeze-error-$number.$$"
        case $LINE in
        *'nvalid argument'*) already="$already $NAME" ;;
        *)
            code=1
            REASON="$NAME can't be thawed: $LINE"
            ;;
        esac
    done
    exec 6>&-
    # On a failure the guards try once more.
    [ "$code" = 0 ] || exec 7>&-
    unguard
    # A shell tells of one that was killed.
    wait "$SECOND" 2>/dev/null
    [ -z "$already" ] || NOTE="had been thawed by somebody else:$already"
}

hold
