#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hsmsignd: Document Engine's protocol case by case (hsmsignd_cases.py), and how
# it starts, refuses to, waits for an HSM, and logs.
# shellcheck disable=SC2016,SC2317 # sh -c, and functions for check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/hsmsignd.sh
. "$HSMSIGN_SOURCE/test/integration/hsmsignd.sh"
need python3 certtool softhsm2-util

CASES=$HSMSIGN_SOURCE/test/integration/hsmsignd_cases.py
T=$HSMSIGN_TOKEN
export HSM_MODULE=$MODULE HSM_PIN=$DEMO_PIN PYTHONDONTWRITEBYTECODE=1
port=

# signed_by NAME: the options for that key
signed_by() {
    options=(--key "$(uri "$1")" --cert "$T/$1.pem" --chain "$T/ca.pem")
}

# start ARGUMENT...: on a port that the system chooses; the log is in ./log
start() {
    : > log
    setsid "$HSMSIGND" --port 0 "$@" 2> log > stdout.log < /dev/null &
    server=$!
    wait_for_port log "$server"
}

# stop: with SIGTERM, which it has to leave well
stop() {
    kill -TERM "$server"
    wait "$server"
    status=$?
    server=
    tail -n 20 log >&2
    [ "$status" -eq 0 ] && [ ! -s stdout.log ] && grep -q '"event":"stopped"' log
}

# cases GROUP [NAME]: each is a result; the certificate is that of the key NAME
cases() {
    timeout 500 python3 "$CASES" "$1" "$port" "$T/${2:-rsa2048}.pem" "$T/ca.pem" > cases 2> cases.err
    status=$?
    report_lines cases "$1: "
    # A client that broke down has not said so.
    [ $status -eq 0 ] || grep -q '^not ok' cases || {
        cp cases.err stderr
        report 1 "$1: the client ran"
    }
}

log_is_clean() {
    # The PIN itself is short enough to be part of a number.
    python3 "$CASES" log log "PIN=$DEMO_PIN" ":$DEMO_PIN" "\"$DEMO_PIN" SECRET-OF "$T/rsa2048.key"
}

# served WHAT GROUPS NAME ARGUMENT...
served() {
    local what=$1 group

    signed_by "$3"
    check "it starts: $what" start "${options[@]}" "${@:4}"
    [ "$status" -eq 0 ] || return
    for group in $2; do
        cases "$group" "$3"
    done
    check "it ends at SIGTERM: $what" stop
    check "each line of the log is JSON, without secrets: $what" log_is_clean
}

# refused SENTENCE EXIT TEXT ARGUMENT...: it does not start, and says why
refused() {
    run timeout 30 "$HSMSIGND" --port 0 "${@:4}"
    cp stderr said
    [ "$status" -eq "$2" ] && [ ! -s stdout ] && grep -qF -- "$3" stderr
    report $? "$1"
}

# user NAME SECRET RIGHTS
user() {
    local salt=0123456789abcdef$1

    printf '"%s":{"secret":"sha256:%s:%s","rights":[%s]}' "$1" "$salt" \
        "$(printf %s "$salt$2" | sha256sum | cut -d' ' -f1)" "$3"
}

one_key() { # NAME DIR: a token with that key alone
    mkdir -p "$2/tokens"
    printf '%s\n' "directories.tokendir = $WORK/$2/tokens" 'objectstore.backend = file' \
        'log.level = ERROR' > "$2/softhsm2.conf"
    openssl pkcs8 -topk8 -nocrypt -in "$T/$1.key" -out key.p8
    export SOFTHSM2_CONF=$WORK/$2/softhsm2.conf
    softhsm2-util --init-token --free --label only --so-pin 87654321 --pin "$DEMO_PIN" &&
        softhsm2-util --import key.p8 --token only --pin "$DEMO_PIN" --label "$1" --id 10
}

served 'an RSA key' 'good bad connections' rsa2048 \
    --allow-origin https://good.example,http://localhost:3000
served 'RSA, every hash' algorithms rsa3072
served 'P-256, every hash' 'algorithms one' p256
served 'P-384, every hash' algorithms p384
served 'P-521' one p521
served 'PSS' pss rsa2048 --pss
served 'strict' strict rsa2048 --strict-attributes --strict-digest --signing-time --allow-sha1
served 'the limit of bodies' limits rsa2048 --max-body 1
printf '{"users":{%s,%s}}' "$(user alice SECRET-OF-ALICE '"sign","sign_pkcs7","get_certificates"')" \
    "$(user bob SECRET-OF-BOB '"sign"')" > users.json
served 'users' users rsa2048 --users users.json

# A users file that is not one stops the start.
while IFS='|' read -r what text; do
    printf %s "$text" > bad.json
    refused "a users file is refused: $what" 1 '"event":"users"' "${options[@]}" --users bad.json
done << END
empty|
no JSON|{"users"
no users|{}
a list|{"users":[]}
a plain secret|{"users":{"a":{"secret":"SECRET","rights":[]}}}
a short salt|{"users":{"a":{"secret":"sha256:salt:$(printf %064d 0)","rights":[]}}}
a short hash|{"users":{"a":{"secret":"sha256:0123456789abcdef:00","rights":[]}}}
no rights|{"users":{"a":{"secret":"sha256:0123456789abcdef:$(printf %064d 0)"}}}
an unknown right|{"users":{"a":{"secret":"sha256:0123456789abcdef:$(printf %064d 0)","rights":["all"]}}}
a name with a colon|{"users":{$(user a:b x '"sign"')}}
a user twice|{"users":{$(user a x '"sign"'),$(user a y '"sign"')}}
END
refused 'a users file that is not there stops the start' 1 '"event":"users"' "${options[@]}" --users nothing.json

# --check
signed_by rsa2048
refused '--check is content' 0 '"event":"certificate"' --check "${options[@]}"
check 'and says module, library, slot, token, user, key and expiry' \
    sh -c 'timeout 30 "$@" 2> said; for what in module library slot token user key subject expires days; do
        grep -q "\"$what\":" said || { echo "no $what"; exit 1; }; done' sh "$HSMSIGND" --check "${options[@]}"
user_is() {
    grep '"event":"token"' said | grep -q "\"user\":\"$1\""
}
if on_cloudhsm; then
    check 'the user is the crypto user' user_is "${DEMO_PIN%%:*}"
else
    check 'the user is CKU_USER' user_is CKU_USER
fi
mkdir certs
cp "$T/rsa2048.pem" certs/leaf.pem
cp "$T/ca.pem" certs/ca.crt
cp "$T/p256.pem" certs/another.pem
echo text > certs/README
dated expired 20200101000000Z 20210101000000Z
dated future 20900101000000Z 20910101000000Z
dated usage 20200101000000Z 20900101000000Z keyEncipherment
for mode in --check --pss; do # --pss: as it is started, no more
    refused "another key's certificate, $mode" 1 'none of those that were given or found is of the key' "$mode" \
        --key "$(uri rsa2048)" --cert "$T/p256.pem" --certs certs
    refused "the certificate that was given, and no other, $mode" 1 'it has expired' "$mode" \
        --key "$(uri rsa2048)" --cert expired.pem --certs certs
    refused "an expired certificate, $mode" 1 'it has expired' "$mode" \
        --key "$(uri rsa2048)" --cert expired.pem --chain "$T/ca.pem"
    refused "one that is not valid yet, $mode" 1 'it is not valid yet' "$mode" \
        --key "$(uri rsa2048)" --cert future.pem --chain "$T/ca.pem"
    refused "a key usage that is not to sign, $mode" 1 'its key usage is not to sign' "$mode" \
        --key "$(uri rsa2048)" --cert usage.pem --chain "$T/ca.pem"
    refused "a certificate that is not there, $mode" 1 '"what":"certificate"' "$mode" \
        --key "$(uri rsa2048)" --cert nothing.pem --chain "$T/ca.pem"
    refused "no certificate of that key, $mode" 1 'none of those' "$mode" \
        --key "$(uri p256-bare)" --cert "$T/ca.pem" --chain "$T/ca.pem"
    refused "a file without certificates, $mode" 1 '"what":"certificate"' "$mode" \
        --key "$(uri rsa2048)" --cert /dev/null
    refused "a key that is not there, $mode" 1 'no private key matches' "$mode" \
        --key "$(uri nothing)" --cert "$T/rsa2048.pem"
    refused "an Ed25519 key, $mode" 1 'neither an RSA nor an EC key' "$mode" \
        --key "$(uri ed25519)" --cert "$T/ed25519.pem"
    refused "several keys are refused, $mode" 1 '"event":"candidate"' "$mode" \
        --key 'pkcs11:token=demo;type=private' --cert "$T/rsa2048.pem"
done
check 'and each candidate is named' grep -q '"key":"pkcs11:.*object=p384' said
mkdir both
cp future.pem "$T/rsa2048.pem" "$T/ca.pem" both
refused 'one that is not valid yet does not hide a valid one' 0 '"subject":"/CN=rsa2048' --check \
    --key "$(uri rsa2048)" --certs both
refused 'an incomplete chain warns, no more' 0 'it is not complete' --check \
    --key "$(uri rsa2048)" --cert "$T/rsa2048.pem" --chain "$T/rsa2048.pem" --certs nothing
export HSM_PIN="${DEMO_PIN}9"
refused 'a wrong PIN stops the start' 3 CKR_PIN_INCORRECT "${options[@]}"
check 'and is not in the log' sh -c '! grep -qF "$HSM_PIN" said'
unset HSM_PIN
refused 'without a PIN it does not start' 1 HSM_PIN "${options[@]}"
export HSM_PIN=$DEMO_PIN
HSM_MODULE=/nothing.so refused 'a module that is not there stops the start' 1 '"event":"profile"' --check "${options[@]}"
check 'and all that it says is JSON' python3 -c 'import json; [json.loads(l) for l in open("said")]'

# Options.
while IFS='|' read -r what text arguments; do
    # shellcheck disable=SC2086 # words
    refused "option error: $what" 2 "$text" $arguments
done << 'END'
unknown|unknown option --nothing|--nothing
no option|unknown option x|x
misspelt, with a PIN|unknown option --kye; see|--kye=pkcs11:object=a?pin-value=9876
a URI with a PIN|unknown option pkcs11:object; see|pkcs11:object=a?pin-value=9876
no value|--port needs a value|--port
no file|--verify-audit needs a file|--verify-audit
an empty file|No such file|--verify-audit=
not a number|number from 0 to 65535|--port=x
too large|number from 0 to 65535|--port 65536
negative|number|--workers -1
zero|number from 1|--workers=0
a switch with text|number from 0 to 1|--pss=yes
no name|unknown option|--=1
END
SIGNING_SERVICE_PORT=many refused 'a variable that is no number' 2 'SIGNING_SERVICE_PORT'
SIGNING_SERVICE_PORT='' refused 'an empty variable is none' 0 '"event":"certificate"' --check "${options[@]}"
refused 'an address that is a name' 1 numeric "${options[@]}" --listen localhost
check '--help' sh -c '"$1" --help > help && grep -q SIGNING_SERVICE_PORT help' sh "$HSMSIGND"
check '--version' sh -c '"$1" --version | grep -qE "^hsmsignd [0-9]+\.[0-9]"' sh "$HSMSIGND"

# An HSM that does not answer, as yet.
# away FAILURE: of the shim's
away() {
    HSM_MODULE=$HSMSIGN_SHIM HSMSIGN_SHIM_MODULE=$MODULE HSMSIGN_SHIM_FAIL=$1 start "${options[@]}"
}

for failure in 'C_GetSlotList=0x30*160' 'C_OpenSession=0x32*120'; do
    check "it starts without the HSM: $failure" away "$failure"
    cases away
    cases back
    check "it ends: $failure" stop
    check "and its log is clean: $failure" log_is_clean
done
check '--check says that it is away' bash -c 'HSM_MODULE=$HSMSIGN_SHIM HSMSIGN_SHIM_MODULE=$1 \
    HSMSIGN_SHIM_FAIL=C_GetSlotList=0x30 timeout 30 "${@:2}" 2> said; [ $? = 4 ] && grep -q "\"state\":\"away\"" said' \
    bash "$MODULE" "$HSMSIGND" --check "${options[@]}"
# The key was found; whether it has a certificate on the token nobody knows.
check 'and that it went away then' bash -c 'HSM_MODULE=$HSMSIGN_SHIM HSMSIGN_SHIM_MODULE=$1 \
    HSMSIGN_SHIM_FAIL="C_FindObjectsInit=0x30*1000@2" timeout 30 "${@:2}" 2> said; [ $? = 4 ] &&
    grep -q "\"what\":\"certificate\".*\"state\":\"away\"" said' \
    bash "$MODULE" "$HSMSIGND" --check --key "$(uri rsa2048)"

# All by the environment, as in the guide's docker-compose file.
by_environment() {
    local free

    free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    : > log
    env SIGNING_SERVICE_PORT="$free" "$@" setsid "$HSMSIGND" 2> log > stdout.log < /dev/null &
    server=$!
    wait_for_port log "$server" && equal "$free" "$port"
}

echo "$DEMO_PIN" > pin
environment() { # WHAT KEY VARIABLE=VALUE...
    check "configured by the environment: $1" by_environment "${@:3}"
    cases one "$2"
    check "it ends: $1" stop
}

environment 'HSM_KEY, HSM_CERT, HSM_CHAIN' p256 HSM_KEY="$(uri p256)" HSM_CERT="$T/p256.pem" HSM_CHAIN="$T/ca.pem"
unset HSM_PIN
environment HSM_PIN_FILE rsa2048 HSM_PIN_FILE="$WORK/pin" HSM_KEY="$(uri rsa2048)" \
    SIGNING_SERVICE_CERTS="$WORK/certs"
export HSM_PIN=$DEMO_PIN
check 'a token with one key is made' one_key rsa2048 only
refused 'no certificate at all' 1 HSM_CERT --certs nothing
environment 'the module, the PIN and a directory alone' rsa2048 SIGNING_SERVICE_CERTS="$WORK/certs"
served 'the only key, and --certs' one rsa2048 --key pkcs11:type=private --certs certs
if on_cloudhsm; then
    except_cloudhsm 'the certificates on a token are there in one setting alone' \
        report 0 "certificates of the token"
else
    for name in rsa2048 ca; do
        openssl x509 -in "$T/$name.pem" -outform DER -out "$name.der"
        check "$name goes to the token" pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label only --login \
            --pin "$DEMO_PIN" --write-object "$name.der" --type cert --label "$name"
    done
    environment 'the module and the PIN alone, certificates of the token' rsa2048
fi
finish
