# Completion of `openstack` for bash and zsh: commands and options as the
# client knows them, and after the commands of xloudclient the names of
# servers, snapshots and profiles.
#
#   bash:  . PREFIX/share/xloudclient/completion.sh        in ~/.bashrc
#   zsh:   autoload -Uz compinit bashcompinit; compinit; bashcompinit
#          . PREFIX/share/xloudclient/completion.sh        in ~/.zshrc
#
# The client takes a second or two to start. So what it said is kept in
# ~/.cache/xloudclient: commands for a day, names for a minute.

# _xloud_kept MINUTES COMMAND...: its output, no older than that. A failure is
# kept as well, as no output: a wait at each key would be worse.
_xloud_kept() {
    local minutes=$1 folder=${XDG_CACHE_HOME:-$HOME/.cache}/xloudclient file
    shift
    file=$folder/complete-$(printf '%s\n' "$@" "$OS_CLOUD" "$OS_AUTH_URL" \
        "$OS_PROJECT_ID" "$OS_PROJECT_NAME" "$OS_USERNAME" \
        "$OS_REGION_NAME" | cksum | tr ' ' -)
    if [ -z "$(find "$file" -mmin "-$minutes" 2>/dev/null)" ]; then
        (
            umask 077
            mkdir -p "$folder" || exit
            # nothing that it could ask a password from
            timeout 20 "$@" </dev/null >"$file.$$" || : >"$file.$$"
            mv -f "$file.$$" "$file"
        ) 2>/dev/null
    fi
    cat "$file" 2>/dev/null
}

# _xloud_known COMMAND: what may follow it, as `openstack complete` told.
_xloud_known() {
    printf '%s\n' "$commands" | sed -n "s/^ *cmds${1:+_$1}='\(.*\)'\$/\1/p"
}

# _xloud_offer: of the lines of the input, those that begin with the word.
_xloud_offer() {
    local line
    while IFS= read -r line; do
        case $line in
        '') ;;
        "$word"*) COMPREPLY+=("$line") ;;
        esac
    done
}

# _xloud_names THINGS: the names of servers or snapshots, quoted for the shell:
# they are other people's.
_xloud_names() {
    local name
    _xloud_kept 1 "$client" "${of_client[@]}" "$@" list -f value -c Name |
        while IFS= read -r name; do printf '%q\n' "$name"; done
}

_xloud_profiles() {
    local file
    for file in "${XDG_CONFIG_HOME:-$HOME/.config}"/xloudclient/profiles/*.yaml; do
        file=${file##*/}
        [ "$file" = '*.yaml' ] || printf '%s\n' "${file%.yaml}"
    done
}

# The options of our commands that have no value: what follows is none of it.
_xloud_flags=' -4 -6 --all-projects --auto-approve --auto-network --convert
 --data-volumes --delete-on-termination --discard-lower --dry-run --fit-width
 --group --hidden --include-foreign --long --no-config-drive --no-data-volumes
 --no-network --no-security-group --no-source-defaults --noindent --print-empty
 --private --protected --public --rehearse --shared --sort-ascending
 --sort-descending --source-defaults --trust-metadata --use-config-drive --wait '
_xloud_flags=${_xloud_flags//$'\n'/}

# _xloud_things: the names that a command is about.
_xloud_things() {
    case $command in
    server_snapshot_recover | snapshot_list) ;;
    server_snapshot_* | snapshot_prune) _xloud_names server ;;
    snapshot_diagnose)
        _xloud_names server
        _xloud_names snapshot
        ;;
    snapshot_*) _xloud_names snapshot ;;
    esac
}

# _xloud_values: what may stand where the command line has no command and no
# option; nothing where a file may, or a value that nobody knows.
_xloud_values() {
    case $before in
    --profile) _xloud_profiles ;;
    --quiesce)
        printf '%s\n' auto none agent sync fsfreeze mysql postgresql redis \
            service,name= pair,file=
        ;;
    --require | --consistency)
        printf '%s\n' none crash filesystem application
        ;;
    --on-error) printf '%s\n' fail continue ;;
    --server) _xloud_names server ;;
    -*)
        case $_xloud_flags in *" $before "*) _xloud_things ;; esac
        ;;
    *) _xloud_things ;;
    esac
}

_xloud_openstack() {
    local client=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]}
    local before=${COMP_WORDS[COMP_CWORD - 1]} command='' known next i=1
    local commands
    local -a of_client
    of_client=()
    COMPREPLY=()
    # the client's own options; all but these have a value
    while [ "$i" -lt "$COMP_CWORD" ]; do
        next=${COMP_WORDS[i]}
        case $next in
        -v | -vv | -q | --verbose | --quiet | --debug | --timing | --insecure) ;;
        -*)
            of_client+=("$next")
            i=$((i + 1))
            [ "${COMP_WORDS[i]}" != = ] || i=$((i + 1))
            next=${COMP_WORDS[i]}
            ;;
        *) break ;;
        esac
        of_client+=("$next")
        i=$((i + 1))
    done
    commands=$(_xloud_kept 1440 "$client" complete --shell none)
    known=$(_xloud_known '')
    while [ "$i" -lt "$COMP_CWORD" ]; do
        next=${COMP_WORDS[i]//-/_}
        case $next in _* | *[!a-z0-9_]*) break ;; esac
        next=${command:+${command}_}$next
        [ -n "$(_xloud_known "$next")" ] || break
        command=$next known=$(_xloud_known "$next")
        i=$((i + 1))
    done
    # after a whole command come its options, and values
    case $known/$word in
    -*/-* | [!-]*) known=$(printf '%s\n' "$known" | tr ' ' '\n') ;;
    *) known=$(_xloud_values) ;;
    esac
    _xloud_offer <<EOF
$known
EOF
}

complete -o default -F _xloud_openstack openstack
