#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A token behind a socket (p11-kit server) whose server is killed in the midst
# of a run of hsmsign, and is back a second later: no signature is lost.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1

N=400
find_p11_kit_client || {
    echo '1..0 # SKIP there is no p11-kit server here'
    exit
}
need setsid pkill

HSMSIGN=$(realpath "$HSMSIGN")
socket=$WORK/p11-kit.socket
export P11_KIT_SERVER_ADDRESS=unix:path=$socket
# The shim makes each call take a while, so that the run lasts.
export HSM_MODULE=$HSMSIGN_SHIM HSM_PIN=1234 HSMSIGN_SHIM_MODULE=$client
export HSMSIGN_SHIM_DELAY_US=2000 HSMSIGN_SHIM_LOG=$WORK/calls
trap 'kill_server; clean_up' EXIT

# With a process for each client, which all belong to its session.
start_server() {
    setsid p11-kit server --foreground --provider "$SOFTHSM2_MODULE" \
        -n "$socket" 'pkcs11:token=demo' > server.log 2>&1 < /dev/null &
    serving=$!
    for ((i = 0; i < 600; i++)); do
        [ -S "$socket" ] && can_list && return
        sleep 0.05
    done
    return 1
}

can_list() {
    HSMSIGN_SHIM_LOG=/dev/null timeout 30 "$HSMSIGN" keys "$(uri p256)" 2> list.err |
        grep -q p256
}

kill_server() {
    [ -z "${serving:-}" ] || pkill -KILL -s "$serving"
    serving=
    rm -f "$socket"
}

some_are_signed() { # number
    for ((i = 0; i < 1200; i++)); do
        [ "$(find signed -name '*.sig' 2> /dev/null | wc -l)" -lt "$1" ] || return 0
        sleep 0.02
    done
    return 1
}

sign_through_an_outage() {
    local status

    timeout 200 "$HSMSIGN" sign --key "$(uri p256)" --format raw --threads 4 \
        --force --out-dir signed docs/* 2> run.err &
    run=$!
    some_are_signed 50 || return 1
    kill_server
    [ "$(find signed -name '*.sig' | wc -l)" -lt "$N" ] || return 1
    sleep 1
    start_server || return 1
    wait "$run"
    status=$?
    cat run.err >&2
    return "$status"
}

all_verify() {
    local document

    for document in docs/*; do
        plain dgst -sha256 -verify "$HSMSIGN_TOKEN/p256.pub" -signature \
            "signed/${document##*/}.sig" "$document" > /dev/null || return 1
    done
}

mkdir docs
for ((i = 0; i < N; i++)); do
    echo "document $i" > "docs/$i"
done
check 'a token behind a socket' start_server
check 'a run goes on when its server was killed and is back' sign_through_an_outage
grep -q " $N signed, 0 skipped, 0 failed" run.err
report $? 'no document has failed'
check 'and openssl verifies every signature' all_verify
[ "$(grep -c '^C_Finalize' calls)" -ge 1 ] && [ "$(grep -c '^C_Login 0x0' calls)" -ge 2 ]
report $? 'the module was started anew, and logged in again'
finish
