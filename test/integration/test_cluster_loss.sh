#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Sixteen threads sign through a simulated CloudHSM cluster that loses an HSM
# every other moment, or refuses what is too much for a second: as long as one
# HSM remains, no caller notices.
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
on_cloudhsm || bail 'this is for the simulator'
need awk

SECONDS_EACH=${HSMSIGN_CHAOS_SECONDS:-6}
make_conf "$conf" "pkcs11-module-token-pin = $DEMO_PIN"

# sign SWITCHES CHANGES: with the cluster as these say; the file whose changes
# lose an HSM changes so often in a second
# shellcheck disable=SC2317 # run calls it
sign() {
    local end number=0 signer feed

    echo 0 > control
    : > log
    mkfifo feed
    HSMSIGN_CLOUDHSM_SIM="$HSMSIGN_TEST_CLOUDHSM,control=$WORK/control,$1" \
        OPENSSL_CONF=$conf HSMSIGN_LOG=file:$WORK/log,debug timeout 120 \
        "${HSMSIGN_CHAOS_SIGN:?}" 5 "$(uri rsa2048)" "$HSMSIGN_TOKEN/rsa2048.pub" \
        "$(uri p256)" "$HSMSIGN_TOKEN/p256.pub" < feed > signatures &
    signer=$!
    exec {feed}> feed
    rm feed
    end=$((SECONDS + SECONDS_EACH))
    while [ "$SECONDS" -lt "$end" ]; do
        if [ "$2" -gt 0 ]; then
            number=$((number + 1))
            echo "$number" > control.new && mv control.new control
            sleep "$(awk "BEGIN { print 1 / $2 }")"
        else
            sleep 1
        fi
    done
    exec {feed}>&-
    wait "$signer" || return
    echo "# $(grep -c ' ok$' signatures) signatures, $(grep -cv ' ok$' signatures)" \
        "failures, $number HSMs lost, $(grep -cE "$refusals" log) calls refused"
    [ "$(grep -cv ' ok$' signatures)" = 0 ] || grep -v ' ok$' signatures >&2
}

refusals='CKR_(FUNCTION_FAILED|DEVICE_ERROR|OPERATION_ACTIVE|SESSION_HANDLE_INVALID|USER_NOT_LOGGED_IN|KEY_HANDLE_INVALID|OBJECT_HANDLE_INVALID)'
while IFS='|' read -r sentence switches changes; do
    run sign "$switches" "$changes"
    grep '^#' stdout
    [ "$status" = 0 ] && [ "$(grep -c ' ok$' signatures)" -ge 100 ] &&
        ! grep -qv ' ok$' signatures
    report $? "$sentence: every signature is made, and verifies"
    [ "$(grep -cE "$refusals" log)" -ge 1 ]
    report $? "$sentence: the cluster did refuse calls"
done << 'ROWS'
an HSM is lost and replaced|hsms=3,replace=100ms|4
with it the login and the handles|hsms=3,replace=100ms,lose-login=on,lose-handles=on|4
an HSM is lost for each hundred calls|hsms=2,lose-every=100|0
more than the cluster does in a second|hsms=2,hsm2m=off|0
all of this|hsms=3,hsm2m=off,replace=100ms,lose-every=150,lose-login=on,lose-handles=on|4
ROWS
finish
