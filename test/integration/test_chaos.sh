#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Sixteen threads sign with a token behind a socket that is killed, restarted,
# cut and slowed by chance: see chaos.py for what is done, and what may fail.
# HSMSIGN_CHAOS_SECONDS says for how long; HSMSIGN_CHAOS_SEED repeats a run.
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1

DEADLINE=3000
find_p11_kit_client || {
    echo '1..0 # SKIP there is no p11-kit server here'
    exit
}
need python3 pkill

make_conf "$conf" "pkcs11-module-path=$client" 'pkcs11-module-token-pin = 1234' \
    "hsmsign-deadline = $DEADLINE"
P11_KIT_SERVER_ADDRESS=unix:path=$WORK/proxy.socket OPENSSL_CONF=$conf \
    python3 "$HSMSIGN_SOURCE/test/integration/chaos.py" server.socket proxy.socket \
    "${HSMSIGN_CHAOS_SECONDS:-12}" "${HSMSIGN_CHAOS_SEED:-1}" $DEADLINE \
    p11-kit server --foreground --provider "$SOFTHSM2_MODULE" \
    -n "$WORK/server.socket" 'pkcs11:token=demo' -- \
    "${HSMSIGN_CHAOS_SIGN:?}" 20 "$(uri rsa2048)" "$HSMSIGN_TOKEN/rsa2048.pub" \
    "$(uri p256)" "$HSMSIGN_TOKEN/p256.pub"
