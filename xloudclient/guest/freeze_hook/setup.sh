#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the freeze hook in a guest, removes it, or tells of it. It runs once, in a folder that has the hook's files.
#   setup install|remove|status place=FOLDER [root=FOLDER] [since=N] [expect=yes]
#     place   where the hook is kept
#     root    what stands for / (empty: the guest itself)
#     since   tell of the freezes after number N (default: of none)
#     expect  tell the hook, too, that the run this is part of leaves the holding to it
#
# How the guest agent comes to call it:
#   key     `fsfreeze-hook` in qemu-ga.conf, a file of no package: it outlives upgrades. What it named before is called by
#           ours. The agent reads it when it starts.
#   folder  An agent whose command line names a hook (RHEL) does not look at that key. If that hook is the stock runner,
#           ours goes into the runner's folder, which is no package's either. The runner ignores how a hook ends, so there
#           a failed hold does not keep the agent from freezing; the record tells of it all the same.
#
# What it prints, one fact a line: absent, closed (not for this account) or installed, nonce OF THE RECORDS, cap SECONDS,
# holder NAME OPTIONS, agent used|absent|stale|other WHAT, process BOOT PID START (of the agent), last N, record N and the
# record's lines up to `end`; last N again, after all records: what does not end with it was cut. After absent: agent
# stale, if the agent that runs still calls what was removed. For that a hook is left that does nothing, beside the file
# `removed`.

set -f
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
# Some shells keep here-documents in files, and /tmp may be frozen. The folder of a run is in memory.
TMPDIR=${XLOUD_RUN_FOLDER:-$PWD}
export TMPDIR
umask 022
verb=$1 place='' root='' since=999999999 expect=''
shift
for word; do
    case $word in
    place=* | root=* | since=* | expect=*) eval "${word%%=*}=\${word#*=}" ;;
    *) exit 2 ;;
    esac
done
uid=$(id -u)
hook=$place/hook
configuration=$root/etc/qemu/qemu-ga.conf

# fail SENTENCE [STATUS]
fail() {
    printf '%s\n' "$1" >&2
    exit "${2:-1}"
}

# The guest agent: AGENT, its process; NAMED, the hook on its command line; STATE, the folder there in which it tells that
# it has frozen; STAMP, which process of which boot it is.
find_agent() {
    AGENT='' NAMED='' STATE='' STAMP='' option=''
    for process in $(ps -e -o pid= 2>/dev/null || { cd /proc && set +f && echo [0-9]*; }); do
        is_agent "$process" 2>/dev/null || continue
        AGENT=$process
        break
    done
    [ -n "$AGENT" ] || return 0
    { read -r boot </proc/sys/kernel/random/boot_id; read -r stat <"/proc/$AGENT/stat"; } 2>/dev/null
    set -- ${stat##*) }
    STAMP="$boot $AGENT ${20}"
    while IFS= read -r word; do
        case $option in -t | --statedir) STATE=$word ;; esac
        option=$word
        case $word in
        -t?*) STATE=${word#-t} ;;
        --statedir=*) STATE=${word#*=} ;;
        -F | --fsfreeze-hook) NAMED=/etc/qemu/fsfreeze-hook ;;
        -F*) NAMED=${word#-F} ;;
        --fsfreeze-hook=*) NAMED=${word#*=} ;;
        esac
    done <<END
$(tr '\0' '\n' <"/proc/$AGENT/cmdline")
END
}

# is_agent PID: whether that is this guest's agent, and not what another account or a container calls so. Who owns
# /proc/PID does not tell: of a process that can't be dumped, that is always root.
is_agent() {
    { read -r name <"/proc/$1/comm"; } && [ "$name" = qemu-ga ] || return 1
    first=1
    [ -z "$root" ] || first=self
    while read -r name real effective _; do
        [ "$name" != Uid: ] || [ "$real $effective" = "$uid $uid" ] || return 1
    done <"/proc/$1/status"
    namespace=$(readlink "/proc/$1/ns/mnt") && [ "$namespace" = "$(readlink "/proc/$first/ns/mnt")" ] &&
        is_ours "/proc/$1/exe" L
}

# is_ours PATH [L]: whether nobody but root (or who runs this) can write there. With L, links are followed; else refused.
is_ours() {
    ls "-ldn${2-}" "$1" 2>/dev/null | {
        IFS=' ' read -r mode _ owner _
        case $mode in l* | ?????w* | ????????w*) exit 1 ;; esac
        [ "$owner" = 0 ] || [ "$owner" = "$uid" ]
    }
}

# refuse_others PATH: fails if somebody else could put something in the place of PATH, or of a folder on the way to it.
refuse_others() (
    path=$root
    IFS=/
    for part in ${1#/}; do
        path=$path/$part
        is_ours "$path" || fail "$path is a link, or others than root can write there: root's files are not put there"
    done
)

# Sets RUNNER, the folder of the stock runner that the agent was told to run, or fails.
find_runner() {
    RUNNER=''
    [ -n "$NAMED" ] && [ "$NAMED" != "$hook" ] || return 0
    RUNNER=$root$NAMED.d
    [ -d "$RUNNER" ] && grep -q fsfreeze-hook.d "$root$NAMED" || RUNNER=''
    [ -n "$RUNNER" ] || fail "the guest agent is started with --fsfreeze-hook=$NAMED: name that hook in \
$configuration instead (fsfreeze-hook=$NAMED below [general]), restart the agent, and install again"
    refuse_others "$NAMED" && refuse_others "$NAMED.d" || exit 1
}

# Prints what the key names; several lines if it is there several times.
named_by_key() {
    [ ! -e "$configuration" ] || awk '
        /^[ \t]*\[/ { general = /^[ \t]*\[general\][ \t]*$/ }
        general && /^[ \t]*fsfreeze-hook[ \t]*=/ { sub(/^[^=]*=[ \t]*/, ""); sub(/[ \t]+$/, ""); print }' "$configuration"
}

# prepare_key [PATH]: writes $configuration.xloud, where the key names PATH, or nothing. It has the owner and mode of the
# file that it is to take the place of.
prepare_key() {
    # It may be a link to where it is really kept.
    [ ! -L "$configuration" ] || configuration=$(readlink -f "$configuration") || fail "can't follow $configuration"
    file=/dev/null
    [ ! -e "$configuration" ] || file=$configuration
    text=$(hook=${1-} awk '
        function put() {
            if (done || ENVIRON["hook"] == "") return
            if (!seen) print "[general]"
            print "fsfreeze-hook=" ENVIRON["hook"]
            done = 1
        }
        /^[ \t]*\[/ {
            general = /^[ \t]*\[general\][ \t]*$/
            print
            if (general) { seen = 1; put() }
            next
        }
        general && /^[ \t]*fsfreeze-hook[ \t]*=/ { next }
        { print }
        END { put() }' "$file") || fail "can't read $configuration"
    {
        { [ ! -e "$configuration" ] || cp -p "$configuration" "$configuration.xloud"; } &&
            printf '%s\n' "$text" >"$configuration.xloud" && [ "$(cat "$configuration.xloud")" = "$text" ]
    } 2>/dev/null || give_up
}

# give_up: a disk that is full must not cost the agent its configuration.
give_up() {
    rm -f "$configuration.xloud"
    fail "can't write ${configuration%/*}: the guest agent's configuration is as it was"
}

install() {
    [ -n "$root" ] || [ "$uid" = 0 ] || fail 'only root can install a freeze hook: sudo needs a password there'
    find_agent
    [ -n "$AGENT" ] || command -v qemu-ga >/dev/null || [ -x "$root/usr/bin/qemu-ga" ] ||
        fail 'there is no guest agent in this guest: install the package qemu-guest-agent'
    find_runner
    refuse_freeze
    clean_up
    loaded=''
    read -r loaded 2>/dev/null <"$place/removed"
    abandon
    copy
    leave_runners "${RUNNER:+$RUNNER/xloudclient}"
    if [ -n "$RUNNER" ]; then
        printf '%s\n' "$RUNNER/xloudclient" >"$place/runner" || fail "can't write in $place"
        # Not what a link there names. A file with a dot is not run by the runner.
        rm -f "$RUNNER/.xloudclient" && printf '#!/bin/sh\nexec %s "$@"\n' "$hook" >"$RUNNER/.xloudclient" &&
            chmod 755 "$RUNNER/.xloudclient" && mv "$RUNNER/.xloudclient" "$RUNNER/xloudclient" ||
            fail "can't write in $RUNNER"
        drop_key
    elif [ "$(named_by_key)" != "$hook" ]; then
        set_our_key
    fi
    ! command -v restorecon >/dev/null || restorecon -R "$place" ${RUNNER:+"$RUNNER"}
}

# leave_runners [FILE]: removes what had stock runners call us, but FILE. A runner that the key named before us would have
# our hook call itself.
leave_runners() {
    but=${1-} file=''
    read -r file 2>/dev/null <"$place/runner"
    set +f
    set -- "$file" "$root"/etc/*/fsfreeze-hook.d/xloudclient
    set -f
    for file; do
        [ ! -e "$file" ] || [ "$file" = "$but" ] || rm -f "$file" || fail "can't remove $file"
    done
    [ -n "$but" ] || rm -f "$place/runner"
}

# What an interrupted one left: between the two moves of put_in_place the hook is at .old; .new was never in its place.
take_back() {
    [ -e "$place" ] || [ ! -e "$place.old" ] || mv "$place.old" "$place"
} 2>/dev/null

clean_up() {
    take_back
    rm -rf "$place.new" "$place.old" "$configuration.xloud" || fail "can't write in ${place%/*}"
}

# copy: puts the files into their folder, which is whole at any time. What was there before us is kept.
copy() {
    mkdir -p "${place%/*}" || fail "can't write in ${place%/*}"
    keep_what_was
    set +f
    cp hook supervisor settings holder.* "$place.new" || fail "can't write in $place.new"
    set -f
    chmod 700 "$place.new/hook"
    if [ -z "$RUNNER" ] && read -r before 2>/dev/null <"$place/previous"; then
        printf 'previous %s\n' "$before" >>"$place.new/settings" || fail "can't write in $place.new"
    fi
    put_in_place
}

# keep_what_was: begins .new, with what is needed to leave the agent's configuration as it was.
keep_what_was() {
    (umask 077; mkdir "$place.new") || fail "can't write in ${place%/*}"
    for file in original written previous stale made runner; do
        [ ! -e "$place/$file" ] || cp -p "$place/$file" "$place.new" || fail "can't write in $place.new"
    done
}

put_in_place() {
    [ ! -e "$place" ] || mv "$place" "$place.old"
    mv "$place.new" "$place" || fail "can't write $place"
    rm -rf "$place.old"
}

# set_our_key: all that remove and status need is written before the key is, which is what has the agent call us.
set_our_key() {
    before=$(named_by_key | tail -n 1)
    rm -f "$place/original" "$place/previous"
    [ -z "$before" ] || printf '%s\n' "$before" >"$place/previous" || fail "can't write in $place"
    printf 'previous %s\n' "$before" >>"$place/settings" || fail "can't write in $place"
    if [ -e "$configuration" ]; then
        cp -p "$configuration" "$place/original" && cmp -s "$configuration" "$place/original" || fail "can't write in $place"
    fi
    if [ ! -d "${configuration%/*}" ]; then
        true >"$place/made" && mkdir -p "${configuration%/*}" || fail "can't write ${configuration%/*}"
    fi
    prepare_key "$hook"
    cp -p "$configuration.xloud" "$place/written" || fail "can't write in $place"
    [ -z "$AGENT" ] || [ "$loaded" = "$STAMP" ] || printf '%s\n' "$STAMP" >"$place/stale" || fail "can't write in $place"
    mv "$configuration.xloud" "$configuration" || give_up
    restart_agent
}

# drop_key: leaves the agent's configuration as it was before us, and all that was changed since.
drop_key() {
    [ "$(named_by_key)" = "$hook" ] || return 0
    if ! cmp -s "$configuration" "$place/written"; then
        before=''
        read -r before 2>/dev/null <"$place/previous"
        prepare_key "$before"
        mv "$configuration.xloud" "$configuration" || give_up
    elif [ -e "$place/original" ]; then
        [ ! -L "$configuration" ] || configuration=$(readlink -f "$configuration")
        cp -p "$place/original" "$configuration.xloud" 2>/dev/null &&
            cmp -s "$place/original" "$configuration.xloud" && mv "$configuration.xloud" "$configuration" || give_up
    else
        rm -f "$configuration"
        [ ! -e "$place/made" ] || rmdir "${configuration%/*}" 2>/dev/null
    fi
    restart_agent
}

# An agent that is not restarted goes on as it is: with nothing, or with what was removed before.
restart_agent() {
    [ -n "$AGENT" ] || return 0
    [ -z "$root" ] && [ -d /run/systemd/system ] || return 0
    # Frozen, it could not be thawed by one that knows nothing of it.
    ! is_freezing || return 0
    systemctl try-restart qemu-guest-agent.service
    # It is looked for next, and may not be itself yet.
    sleep 1
} </dev/null >/dev/null 2>&1

abandon() {
    [ ! -x "$hook" ] || [ -e "$place/removed" ] || "$hook" abandon </dev/null >/dev/null 2>&1
}

# remove: does all of its work, whatever an interrupted one left or took away.
remove() {
    is_here || return 0
    [ -n "$root" ] || [ "$uid" = 0 ] || fail 'only root can remove a freeze hook: sudo needs a password there'
    find_agent
    refuse_freeze
    clean_up
    abandon
    find_home
    [ -z "$home" ] || rm -rf "$home/agent"
    loaded=''
    if is_calling; then
        loaded=$STAMP
        leave_nothing_to_do
    fi
    leave_runners
    drop_key
    find_agent
    if [ -z "$loaded" ] || [ "$loaded" != "$STAMP" ]; then
        # as a whole: half a folder would be nothing that can be called
        [ ! -e "$place" ] || mv "$place" "$place.new" && rm -rf "$place.new" || fail "can't remove $place"
        rmdir "${place%/*}" 2>/dev/null
    fi
    true
}

# is_here: whether there is anything of ours.
is_here() {
    set +f
    set -- "${place%/*}" "$root"/etc/*/fsfreeze-hook.d/xloudclient
    set -f
    for file; do
        [ ! -e "$file" ] || return 0
    done
    [ "$(named_by_key)" = "$hook" ]
}

# is_calling: whether the agent that runs has read that it is to call our hook.
is_calling() {
    [ -n "$AGENT" ] || return 1
    stamp=''
    ! read -r stamp 2>/dev/null <"$place/removed" || [ "$stamp" != "$STAMP" ] || return 0
    stamp=''
    read -r stamp 2>/dev/null <"$place/stale"
    [ "$stamp" != "$STAMP" ] && [ "${NAMED:-$hook}" = "$hook" ] && [ "$(named_by_key)" = "$hook" ]
}

# leave_nothing_to_do: what an agent that was not restarted goes on to call. If it were gone, that agent would not freeze.
leave_nothing_to_do() {
    mkdir -p "${place%/*}" || fail "can't write in ${place%/*}"
    keep_what_was
    printf '%s\n' "$STAMP" >"$place.new/removed" && cat >"$place.new/hook" <<'END' || fail "can't write in $place.new"
#!/bin/sh
# The freeze hook was removed, and the guest agent was not restarted since. It calls this, and what it had before.
read -r previous 2>/dev/null <"${0%/*}/previous" && [ -x "$previous" ] || exit 0
exec "$previous" "$@"
END
    chmod 700 "$place.new/hook"
    put_in_place
}

# is_freezing: whether the agent has frozen something, or our hook is at work, or a write where we are has to wait. What
# is left of a freeze whose thaw never came is none.
is_freezing() {
    [ ! -e "${STATE:-$root/var/run}/qga.state.isfrozen" ] || return 0
    find_home
    if [ -n "$home" ] && [ -e "$home/agent/open" ] && (
        set -- parts '' 15 12 no sh
        # shellcheck source=/dev/null
        . "$place/supervisor"
        is_taken || { home=$home/agent && is_taken; }
    ); then
        return 0
    fi
    # It is answered at once, though there is no such folder; see fsfreeze.sh.
    rmdir "$root/.xloudclient-is-it-frozen" >/dev/null 2>&1 &
    left=20
    while kill -0 $! 2>/dev/null; do
        [ "$left" -gt 0 ] || return 0
        left=$((left - 1))
        sleep 0.1 2>/dev/null || sleep 1
    done
    return 1
}

refuse_freeze() {
    take_back
    ! is_freezing || fail 'a freeze is on in the guest: the freeze hook is left as it is' 75
}

# Sets home, where the hook keeps its records.
find_home() {
    home=''
    [ ! -e "$place/supervisor" ] || home=$(
        set -- parts '' 15 12 no sh
        # shellcheck source=/dev/null
        . "$place/supervisor"
        choose_home >/dev/null && printf '%s' "$home"
    )
}

status() {
    take_back
    if [ ! -x "$hook" ]; then
        if [ -e "$place" ]; then echo closed; else echo absent; fi
        return
    fi
    find_agent
    if [ -e "$place/removed" ]; then
        echo absent
        ! is_calling || echo agent stale
        return
    fi
    echo installed
    grep -e '^nonce ' -e '^cap ' -e '^holder ' "$place/settings"
    tell_agent
    [ -z "$STAMP" ] || printf 'process %s\n' "$STAMP"
    find_home
    [ -z "$expect" ] || true >agent-expected
    tell_last
    while [ "$since" -lt "$last" ]; do
        since=$((since + 1))
        [ -r "$home/agent/record.$since" ] || continue
        printf 'record %s\n' "$since"
        shorten <"$home/agent/record.$since"
        echo end
    done
    tell_last
}

tell_last() {
    last=''
    [ -z "$home" ] || read -r last 2>/dev/null <"$home/agent/last"
    last=${last:-0}
    printf 'last %s\n' "$last"
}

# shorten: of what a holder wrote it leaves the last lines, as all that is told here has an end (64 KiB).
shorten() {
    awk '
        $2 == "line" || $2 == "text" { kept[++count] = substr($0, 1, 300); next }
        {
            for (i = count > 20 ? count - 19 : 1; i <= count; i++) print kept[i]
            count = 0
            print
        }'
}

tell_agent() {
    stale=''
    read -r stale 2>/dev/null <"$place/stale"
    if [ -z "$AGENT" ]; then
        echo agent absent
    elif [ -n "$NAMED" ] && [ "$NAMED" != "$hook" ]; then
        if [ -x "$root$NAMED.d/xloudclient" ]; then echo agent used; else printf 'agent other %s\n' "$NAMED"; fi
    elif [ "$(named_by_key)" != "$hook" ]; then
        printf 'agent other %s\n' "$(named_by_key)"
    elif [ "$stale" = "$STAMP" ]; then
        echo agent stale
    else
        echo agent used
    fi
}

case $verb in
install | remove) "$verb" ;;
status) ;;
*) exit 2 ;;
esac
status
