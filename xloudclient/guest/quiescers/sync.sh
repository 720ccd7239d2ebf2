#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Writes to the disks what the kernel has cached. It holds nothing: later writes are not stopped.
. "${0%/*}/common.sh"
options '' "$@"

examine() {
    READY='{"gives": "crash", "data": []}'
}

quiesce() {
    sync </dev/null >/dev/null || fail "sync failed"
}

verify() {
    HELD='{"holds": "nothing"}'
}

release() {
    :
}

hold
