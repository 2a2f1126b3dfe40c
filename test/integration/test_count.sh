#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The line that a run ends with: what counts as what.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1

log() { # FILE RESULT TAP
    printf '%s\n' "$3" > printed
    "$HSMSIGN_SOURCE/test/log_result.py" "a test" "$2" printed >> "$1"
}

counts() { # LINE STATUS LOG...
    local status=0

    "$HSMSIGN_SOURCE/test/count.py" "${@:3}" > counted || status=$?
    cat counted
    equal "$1" "$(tail -n 1 counted)" && equal "$2" "$status"
}

prints() { # TEXT: in what was counted last
    grep -qF -e "$1" counted
}

log good 0 $'ok 1 - a\nok 2 - b\nok 3 - c # SKIP not here\n1..3'
log bad 1 $'ok 1 - a\nnot ok 2 - b\n1..2'
log crash 1 'ok 1 - a'
log silent 0 'no TAP at all'
log nothing 0 'ok 1 - a # SKIP not here'
check 'each line of TAP counts' counts '2 passed, 0 failed, 1 skipped' 0 good
check 'a failure is one, and the exit status' counts '1 passed, 1 failed, 0 skipped' 1 bad
check 'it is shown' prints 'failed: a test: not ok 2 - b'
check 'so is a crash without a failure in TAP' counts '1 passed, 1 failed, 0 skipped' 1 crash
check 'a program without TAP is one test' counts '1 passed, 0 failed, 0 skipped' 0 silent
check 'skipped tests alone are not enough' counts '0 passed, 0 failed, 1 skipped' 1 nothing
check 'what may fail is skipped, what must not is not' \
    counts '4 passed, 1 failed, 2 skipped' 1 good bad --may crash
check 'with a warning' prints 'warning: a test: ERROR'
check '--must ends --may' counts '2 passed, 1 failed, 1 skipped' 1 --may bad --must crash
finish
