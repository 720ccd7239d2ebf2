#!/bin/sh
# A guest hook: takes out of the disk what must not be the same on two
# servers, for as long as a snapshot is taken, and puts it back.
set -eu
root=/
kept=/run/generalize  # a tmpfs: not on the disk that is captured

cd "$root"
case $1 in
pre)
    umask 077
    mkdir "$kept"
    set --
    for path in etc/machine-id etc/ssh/ssh_host_*_key* \
        var/lib/cloud var/log/cloud-init*.log; do
        if [ -e "$path" ]; then
            set -- "$@" "$path"
        fi
    done
    tar -cf "$kept/part" "$@"
    mv "$kept/part" "$kept/files"
    rm -rf "$@"
    # there and empty: the next boot makes one
    : >etc/machine-id
    ;;
post)
    # not there: nothing was taken out
    if [ -e "$kept/files" ]; then
        tar -xf "$kept/files"
    fi
    rm -rf "$kept"
    ;;
esac
