#!/bin/sh
# hold-ledger: a holding hook for an application that takes an flock on
# <folder>/lock for each of its writes.
#
#   --quiesce ./hold-ledger,folder=/srv/ledger

[ "$1" = hold ] || { echo "the first argument must be hold" >&2; exit 2; }
shift
folder=/srv/ledger
for word; do
    case $word in
    folder=*) folder=${word#*=} ;;
    *) echo "unknown option $word" >&2; exit 2 ;;
    esac
done

# The lock is this process's own: it ends when this process ends, however
# that is. There is nothing to clean up. One who is told to end says so, too.
trap 'exit 1' TERM
exec 9>>"$folder/lock" || exit 1
flock -w 10 9 || { echo "ledger writes and writes" >&2; exit 75; }
sync
size=$(wc -c <"$folder/data")
trap 'echo released; exit 0' TERM
echo "ready {\"gives\": \"application\", \"position\": \"$size bytes\"}"

# The end of the input is a release, too: then the client is gone.
while read -r word; do
    case $word in
    verify)
        # Somebody may have put another file in the lock's place.
        [ "$folder/lock" -ef /proc/self/fd/9 ] ||
            { echo "the lock file is another one" >&2; exit 1; }
        echo "held {\"position\": \"$(wc -c <"$folder/data") bytes\"}"
        ;;
    release) break ;;
    esac
done
exec 9>&-
echo released
# Whether anybody could hear it or not.
exit 0
