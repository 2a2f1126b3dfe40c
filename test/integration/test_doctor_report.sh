#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hsmsign doctor --report: what it says of the simulator of AWS CloudHSM is what
# the simulator was told to do, and what it did there leaves nothing behind.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need python3

doctor() {
    OPENSSL_CONF=$conf "$HSMSIGN" doctor --key "$(uri p256)" --report report.json
}

# agrees SWITCHES: a report of the simulator as these say, and whether it does
agrees() {
    rm -f report.json
    HSMSIGN_CLOUDHSM_SIM=$1 doctor > said &&
        python3 "$HSMSIGN_SOURCE/test/integration/doctor_report.py" rules "$1" report.json
}

# told NAME [VERDICT OBSERVED]: what the report has on a row
told() {
    python3 - "$@" << 'END'
import json, sys
rows = {row['name']: row for row in json.load(open('report.json'))['rows']}
row = rows[sys.argv[1]]
print(row)
sys.exit([row['verdict'], row.get('observed')] != sys.argv[2:])
END
}

run "$HSMSIGN" doctor --key "$(uri p256)" --report report.json
if grep -q 'built without jansson' stderr; then
    echo '1..0 # SKIP hsmsign was built without jansson'
    exit 0
fi
"$HSMSIGN_CLOUDHSM_RULES" > rules || bail 'no rules'

# SoftHSM is no CloudHSM.
make_conf "$conf" "pkcs11-module-token-pin=$DEMO_PIN"
check 'SoftHSM is examined too' doctor
check 'it opens sessions that only read' told read-only refuted CKR_OK
check 'it takes a callback' told notify refuted CKR_OK
check 'it shows public keys before login' told visible-before-login refuted on
check 'its keys may have 1024 bits' told rsa-size refuted CKR_OK
check 'a child may go on calling it' told fork refuted CKR_OK
check 'it has no C_GetInterface either' told there_is_no_get_interface confirmed 'absent, 2.40'

# By the name that hsmsign knows it by.
MODULE=$WORK/libcloudhsm_pkcs11.so
ln -s "$HSMSIGN_CLOUDHSM" "$MODULE"
make_conf "$conf" "pkcs11-module-token-pin=$DEMO_PIN"
while read -r switches sentence; do
    [ "$switches" != - ] || switches=
    check "the report agrees: $sentence" agrees "$switches"
done << 'END'
- as AWS CloudHSM is assumed to be
strict the same, strictly; a call in a child hangs
certificates=on with certificates, seen before login
certificates=on,certificate-visible=off not seen before login
visible-before-login=on public keys are seen before login
read-only=CKR_OK,notify=CKR_OK sessions as PKCS #11 has them
first-slot=0x7,token-flags=0x40c another slot, other flags
not-listed=CKR_GENERAL_ERROR,set-attribute=CKR_ATTRIBUTE_READ_ONLY other answers of functions
single-part=CKR_FUNCTION_FAILED,unlisted-mechanism=CKR_FUNCTION_FAILED of mechanisms
private-false=CKR_TEMPLATE_INCONSISTENT,rsa-size=CKR_ATTRIBUTE_VALUE_INVALID of templates
fork=CKR_DEVICE_ERROR of a child's calls
eddsa=0x80001057 a mechanism of the vendor's own
login=30ms,latency=2ms slow
END

# says SENTENCE SWITCHES KEY TEXT
says() {
    HSMSIGN_CLOUDHSM_SIM=$2 OPENSSL_CONF=$conf "$HSMSIGN" doctor --key "$(uri "$3")" > said
    check "$1" grep -F "$4" said
}
says 'fewer sessions than wanted are a warning' max-sessions=3 p256 \
    'warning  sessions: 3 at once and not one more, CKR_SESSION_COUNT'
says 'a key that the token does not sign with is named' '' ed25519 \
    'warning  mechanisms: none of the token'
says 'a call that fails has its fix once' hsms=1 p256 CKR_FUNCTION_FAILED
check 'in a line that ends with it' sh -c '! grep -E "^(error|warning)" said | grep -vE "; fix: ."'

keys() {
    HSMSIGN_CLOUDHSM_SIM='' OPENSSL_CONF=$conf "$HSMSIGN" keys 'pkcs11:token=demo'
}
keys > before
check 'the calls of it can be logged' env HSMSIGN_LOG="file:$WORK/log,debug" \
    OPENSSL_CONF="$conf" "$HSMSIGN" doctor --key "$(uri p256)" --report report.json
keys > after
check 'it leaves no object behind' cmp before after
check 'it never tries a wrong PIN' sh -c '! grep C_Login log | grep -v "CKR_OK (0x0)"'
check 'it logs in once for itself and once as a program' equal 2 "$(grep -c C_Login log)"
# The provider's own is left to the end of the process.
check 'it closes each session that it opens' equal \
    "$(grep -c 'C_OpenSession .*CKR_OK' log)" "$(($(grep -c C_CloseSession log) + 1))"
check 'it opens few' test "$(grep -c C_OpenSession log)" -lt 60
check 'it makes few calls' test "$(grep -c ' C_' log)" -lt 250
check 'it signs few times' test "$(grep -c ' C_Sign ' log)" -lt 30

check 'the report is for its owner alone' equal 600 "$(stat -c %a report.json)"
check 'with no other file beside it' sh -c '! ls -a | grep "^\.hsmsign-"'
check 'it names no key, token, user, file or PIN' \
    sh -c '! grep -iE "p256|demo|crypto_user|password|pkcs11:|/|serial" report.json'
refute 'a file that cannot be written is an error' env OPENSSL_CONF="$conf" "$HSMSIGN" \
    doctor --key "$(uri p256)" --report /nothing/here.json
cp stdout said
check 'and says what to do' grep '^error .*; fix: .' said
make_conf "$conf" "pkcs11-module-token-pin=crypto_user:wrong-password"
refute 'a login that fails is an error' doctor
check 'and the report says that nothing was probed' \
    sh -c '! grep -E "confirmed|refuted" report.json'
finish
