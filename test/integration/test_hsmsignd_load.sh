#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hsmsignd with 24 connections of good, bad and aborted requests, ended by
# SIGTERM in the midst of them (HSMSIGN_TEST_STOPS times, else 10), and with an
# HSM that is away for a while.  HSMSIGN_TEST_SOAK: seconds of load, for its memory.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/hsmsignd.sh
. "$HSMSIGN_SOURCE/test/integration/hsmsignd.sh" || exit 1
need python3 curl

KEY=rsa2048
modulus=$(plain rsa -pubin -in "$HSMSIGN_TOKEN/$KEY.pub" -noout -modulus)
modulus=${modulus#Modulus=}
export HSM_MODULE=$MODULE HSM_PIN=$DEMO_PIN HSM_CERT=$HSMSIGN_TOKEN/$KEY.pem
HSM_KEY=$(uri $KEY)
export HSM_KEY HSM_CHAIN=$HSMSIGN_TOKEN/ca.pem

load() { # mode...
    python3 "$HSMSIGN_SOURCE/test/integration/hsmsignd_load.py" "$@" "$modulus" \
        "$HSMSIGND"
}

keys() {
    "$HSMSIGN" keys 'pkcs11:token=demo'
}

signs() {
    rm -f text.sig && echo text > text
    "$HSMSIGN" sign --key "$HSM_KEY" --format raw --in text --out text.sig &&
        plain dgst -sha256 -verify "$HSMSIGN_TOKEN/$KEY.pub" -signature text.sig text
}

# is STATUS PATH [BODY]: what the service answers
is() {
    local got

    got=$(curl -s -m 20 -o answer -w '%{http_code}' ${3:+--data "$3"} \
        "http://127.0.0.1:$port$2")
    equal "$1" "$got" || {
        cat answer hsmsignd.log >&2
        return 1
    }
}

is_signed() {
    is 200 /sign '{"action":"sign","data_to_be_signed":"dGV4dAo="}' &&
        plain dgst -sha256 -verify "$HSMSIGN_TOKEN/$KEY.pub" -signature answer text
}

# Until it is so.
eventually() {
    local i

    for ((i = 0; i < 300; i++)); do
        "$@" > /dev/null 2>&1 && return
        sleep 0.1
    done
    "$@"
}

keys > keys.before
check 'the token signs before' signs
check '24 connections: every answer is right' load load
sed 's/^/# /' stdout
check 'SIGTERM under load: what was read is answered, and it ends well' \
    load stop "${HSMSIGN_TEST_STOPS:-10}"
sed 's/^/# /' stdout
if [ -n "${HSMSIGN_TEST_SOAK:-}" ]; then
    check "its memory does not grow in $HSMSIGN_TEST_SOAK seconds" load soak "$HSMSIGN_TEST_SOAK"
    sed 's/^/# /' stdout
else
    test_count=$((test_count + 1))
    echo "ok $test_count - its memory does not grow # SKIP it takes minutes: HSMSIGN_TEST_SOAK=600"
fi
check 'the token has all its keys afterwards' eval 'keys | diff keys.before -'
check 'and signs' signs

if ! find_p11_kit_client; then
    test_count=$((test_count + 1))
    echo "ok $test_count - an HSM that is away # SKIP there is no p11-kit server here"
    finish
fi
need pkill
socket=$WORK/p11-kit.socket
export P11_KIT_SERVER_ADDRESS=unix:path=$socket
trap 'kill_hsm; clean_up' EXIT

# With a process for each client, which all belong to its session.
start_hsm() {
    setsid p11-kit server --foreground --provider "$MODULE" -n "$socket" \
        'pkcs11:token=demo' > p11-kit.log 2>&1 < /dev/null &
    hsm=$!
    eventually test -S "$socket"
}

kill_hsm() {
    [ -z "${hsm:-}" ] || pkill -KILL -s "$hsm"
    hsm=
    rm -f "$socket"
}

HSM_MODULE=$client
SIGN='{"action":"sign_pkcs7","digest":"'$(sha256sum < text | head -c 64)'"}'
check 'hsmsignd starts while the HSM is away' start_hsmsignd $KEY
check 'it lives' is 200 /healthz
check 'it is not ready' is 503 /readyz
check 'it does not sign' is 503 /sign "$SIGN"
check 'it has no certificates yet' is 503 /sign '{"action":"get_certificates"}'
check 'the HSM comes' start_hsm
check 'it is ready then' eventually is 200 /readyz
check 'and signs' is_signed
for round in first second; do
    check "the HSM goes away for the $round time" kill_hsm
    check 'it does not sign' is 503 /sign "$SIGN"
    check 'it is not ready' is 503 /readyz
    check 'it lives' is 200 /healthz
    check 'it has its certificates' is 200 /sign '{"action":"get_certificates"}'
    check 'the HSM is back' start_hsm
    check 'it signs again' eventually is_signed
    check 'and is ready' is 200 /readyz
done
check 'it has never been started anew, and ends well' stop_hsmsignd
finish
