#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Writes to the disks what the kernel has cached. It holds nothing: later writes are not stopped.
. "${0%/*}/common.sh"
options '' "$@"

quiesce() {
    sync </dev/null >/dev/null || fail "sync failed"
    READY='{"gives": "crash", "data": []}'
}

verify() {
    HELD='{"holds": "nothing"}'
}

release() {
    :
}

hold
