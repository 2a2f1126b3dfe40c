#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What openssl programs cost on the token, by the log of a PKCS #11 module (the
# shim) that stands in front of SoftHSM.  On a network HSM each of these calls
# is a request.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need pkcs11-tool softhsm2-util p11tool

T=$HSMSIGN_TOKEN
export HSMSIGN_SHIM_MODULE=$MODULE HSMSIGN_SHIM_LOG=$WORK/calls
head -c 100000 /dev/urandom > doc
: > all_calls

# C_GetTokenInfo is called for each slot: of SoftHSM's two, and these costs are
# for two, one is the free slot that it always shows; CloudHSM has none such.
slots=2
! on_cloudhsm || slots=1

# One token, and the free slot.
two_slots() {
    softhsm2-util --delete-token --token second &&
        softhsm2-util --show-slots > slots && equal 2 "$(grep -c ^Slot slots)"
}

configure() { # OPTION...
    make_conf openssl.cnf "pkcs11-module-path=$HSMSIGN_SHIM" "$@"
}

tool() {
    pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label demo --login \
        --pin "$DEMO_PIN" "$@"
}

# watch COMMAND...: its calls go to the file calls
watch() {
    local ok

    : > calls
    "$@"
    ok=$?
    cat calls >> all_calls
    [ "$ok" -eq 0 ] || sed 's/^/# /' calls >&2
    return "$ok"
}

names() {
    cut -d ' ' -f 1 calls | tr '\n' ' '
}

# What a module answers by itself is no round trip.
round_trips() {
    grep -cvE '^C_(GetFunctionList|GetInfo|GetSlotList|GetMechanism)' calls
}

at_most() { # number, command
    watch "${@:2}" || return 1
    echo "$(round_trips) round trips: $(names)" >&2
    [ "$(round_trips)" -gt 0 ] && [ "$(round_trips)" -le "$1" ]
}

exactly() { # number, command
    watch "${@:2}" || return 1
    names >&2
    equal "$1" "$(round_trips)"
}

load() {
    ours pkey -in "$(uri "$1")" -noout
}

sign() {
    ours pkeyutl -sign -rawin -inkey "$(uri "$1")" -in doc -out sig &&
        plain pkeyutl -verify -rawin -pubin -inkey "$T/$1.pub" -in doc \
            -sigfile sig
}

cms() {
    ours cms -sign -binary -md sha256 -in doc -signer "$T/$1.pem" \
        -inkey "$(uri "$1")" -outform DER -out out &&
        plain cms -verify -binary -inform DER -in out -content doc \
            -CAfile "$T/ca.pem" -purpose any -out verified
}

# ---- what loading costs ----

# key, round trips to load it, for a cold cms -sign ("-": 3.0 has none), the
# public file (or "-"), where the public half comes from
costs=(
    'rsa2048    9  11 -             the private object'
    'rsa3072    9  11 -             the private object'
    'rsa4096    9  11 -             the private object'
    'p256      11  13 p256.pem      a configured file, with a proof of two calls'
    'p384      11  13 p384.pub      a configured file, with a proof of two calls'
    'p256-bare 11  13 p256-bare.pem a configured file, with a proof of two calls'
    'ed25519   11   - ed25519.pem   a configured file, with a proof of two calls'
    'p256      13  15 -             a public object'
    'p384      13  15 -             a public object'
    'p521      13  15 -             a public object'
    'ed25519   13   - -             a public object'
    # The class has to be known before CKA_VALUE may be asked for.
    'p256-cert 14  16 -             a certificate on the token'
)

test_costs() { # what else there is on the token
    local key load cms file from

    for row in "${costs[@]}"; do
        read -r key load cms file from <<< "$row"
        if [ "$file" = - ]; then
            configure "pkcs11-module-token-pin = $DEMO_PIN"
        else
            configure "pkcs11-module-token-pin = $DEMO_PIN" \
                "hsmsign-public-file = $T/$file"
        fi
        check "at most $load round trips load $key, public half from $from$1" \
            at_most "$load" load "$key"
        [ "$cms" = - ] || check "$cms round trips for a cold cms -sign with \
$key, public half from $from$1" exactly "$((cms - 2 + slots))" cms "$key"
    done
    configure "pkcs11-module-token-pin = $DEMO_PIN"
}

# ---- what a signature costs ----

# The calls of a process that signs are those of one that loads, and these.
costs_beyond_load() { # calls, key, command
    local before

    watch load "$2" && before=$(names) &&
        watch "${@:3}" && equal "$before${1:+$1 }" "$(names)"
}

digest_sign() {
    ours dgst -sha256 -sign "$(uri "$1")" -out sig doc &&
        plain dgst -sha256 -verify "$T/$1.pub" -signature sig doc
}

# pkeyutl and dgst ask for the size first; that is not seen on the token.
test_signatures() {
    local key

    for key in rsa2048 p256 p521 ed25519; do
        check "one signature of pkeyutl with $key is C_SignInit and C_Sign" \
            costs_beyond_load 'C_SignInit C_Sign' "$key" sign "$key"
    done
    for key in rsa2048 p256; do
        check "one signature of dgst with $key is C_SignInit and C_Sign" \
            costs_beyond_load 'C_SignInit C_Sign' "$key" digest_sign "$key"
    done
    check 'the size that pkey -text_pub prints is not asked of the token' \
        costs_beyond_load '' rsa2048 \
        ours pkey -in "$(uri rsa2048)" -noout -text_pub
}

# handshakes CALLS KEY: what each of three handshakes costs a running server
handshakes() {
    local version ok=yes

    : > calls
    serve -cert "$T/$2.pem" -key "$(uri "$2")" || return 1
    for version in -tls1_2 -tls1_3 -tls1_3; do
        : > calls
        handshake "$version" > client.out || ok=no
        cat calls >> all_calls
        equal "$1 " "$(names)" || ok=no
    done
    stop_server
    [ "$ok" = yes ]
}

test_server() {
    local key

    for key in rsa2048 p256 ed25519; do
        check "each handshake of s_server with $key is C_SignInit and C_Sign" \
            handshakes 'C_SignInit C_Sign' "$key"
    done
}

# ---- tokens that want more, or less, than one login ----

with() { # VARIABLE=VALUE, command
    (
        export "${1?}"
        "${@:2}"
    )
}

logins() { # expected C_Login lines without the session, one space apart
    equal "$1" "$(sed -n 's/^C_Login 0x0 session=[^ ]* //p' calls |
        tr '\n' ' ' | sed 's/ $//')"
}

signs_with_logins() { # logins, key, command's environment...
    with "$3" watch sign "$2" && logins "$1"
}

test_always_authenticate() {
    local key

    for key in rsa2048 p256 ed25519; do
        check "always-authenticate: a signature with $key costs three calls" \
            with HSMSIGN_SHIM_ATTR=0x202=01 costs_beyond_load \
            'C_SignInit C_Login C_Sign' "$key" sign "$key"
        check "always-authenticate: so does each handshake with $key" \
            with HSMSIGN_SHIM_ATTR=0x202=01 handshakes \
            'C_SignInit C_Login C_Sign' "$key"
    done
    check 'always-authenticate: CKU_USER, then CKU_CONTEXT_SPECIFIC' \
        signs_with_logins 'user=0x1 pin=given user=0x2 pin=given' rsa2048 \
        HSMSIGN_SHIM_ATTR=0x202=01
    check "always-authenticate: make a key that is SoftHSM's own idea of it" \
        tool --keypairgen --key-type EC:prime256v1 --label always --id 40 \
        --always-auth
    ours pkey -in "$(uri always)" -pubout > always.pub
    T=$WORK except_cloudhsm 'there is no CKA_ALWAYS_AUTHENTICATE' \
        check "always-authenticate: SoftHSM's own idea of it is met" \
        signs_with_logins 'user=0x1 pin=given user=0x2 pin=given' always A=
}

# A token with its own key pad, and a person who types the PIN there.
test_key_pad() {
    export HSMSIGN_SHIM_TOKEN_FLAGS=+0x100 HSMSIGN_SHIM_PINPAD=$DEMO_PIN
    configure
    check 'protected authentication path: C_Login without a PIN' \
        signs_with_logins 'user=0x1 pin=none' rsa2048 A=
    check 'protected authentication path: for always-authenticate keys too' \
        signs_with_logins 'user=0x1 pin=none user=0x2 pin=none' rsa2048 \
        HSMSIGN_SHIM_ATTR=0x202=01
    configure 'pkcs11-module-token-pin = not-this-one'
    check 'protected authentication path: a configured PIN is not sent' \
        signs_with_logins 'user=0x1 pin=none' rsa2048 A=
    unset HSMSIGN_SHIM_TOKEN_FLAGS HSMSIGN_SHIM_PINPAD
}

test_no_login() {
    configure
    plain genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
        -out open.key 2> stderr
    plain pkey -in open.key -pubout -out open.pub
    check 'make a private key that wants no login' \
        env GNUTLS_PIN="$DEMO_PIN" p11tool --provider "$SOFTHSM2_MODULE" --batch \
        --login --write --no-mark-private --load-privkey open.key \
        --label open 'pkcs11:token=demo'
    T=$WORK except_cloudhsm 'no key is seen without a login' \
        check 'a token without CKF_LOGIN_REQUIRED is not logged in to' \
        signs_with_logins '' open HSMSIGN_SHIM_TOKEN_FLAGS=-0x4
    configure "pkcs11-module-token-pin = $DEMO_PIN"
}

# ---- recovery ----

# What goes wrong once, in front of which call; each is mended unnoticed.
faults=(
    'C_SignInit 0xb3  1  the session is no longer valid'
    'C_Sign     0xb3  1  the session is lost in the midst of a signature'
    'C_SignInit 0xb0  1  the session was closed'
    'C_SignInit 0x90  1  the session is stuck in an operation'
    'C_Sign     0x91  1  the operation was forgotten'
    'C_Sign     0x30  1  the device failed'
    'C_SignInit 0x32  1  the device was removed and came back'
    'C_Sign     0x6   1  the token was busy'
    'C_SignInit 0x60  1  the handle of the key is no longer valid'
    'C_SignInit 0x82  1  the handle of the object is no longer valid'
    'C_SignInit 0x101 1  the token forgot the login'
    'C_Sign     0x101 1  the token forgot the login in the midst of a signature'
    'C_SignInit 0xb3  2  the next session is no longer valid either'
)

# One login more for each loss: the PIN might be another one by now, and lock.
signs_after() { # function, what it answers, how often, environment
    with "HSMSIGN_SHIM_FAIL=$1=$2*$3" with "$4" watch sign p256 &&
        equal "$3" "$(grep -c "^$1 $2 " calls)" &&
        [ "$(grep -c ^C_Login calls)" -le $((1 + $3)) ]
}

# Closing the last session would log out.
never_without_session() {
    awk '/^C_OpenSession 0x0/ { open++ }
         /^C_CloseSession 0x0/ && --open == 0 { bad = 1; print NR ": " $0 }
         END { exit bad || open == 0 }' calls >&2
}

test_recovery() {
    local function rv times what asked

    for row in "${faults[@]}"; do
        read -r function rv times what <<< "$row"
        check "a signature is made although $what" \
            signs_after "$function" "$rv" "$times" A=
        check "and the new session is opened before the old one is closed" \
            never_without_session
        check "a signature is made although $what, and one session is allowed" \
            signs_after "$function" "$rv" "$times" HSMSIGN_SHIM_MAX_SESSIONS=1
    done
    refute 'no signature is made by a token that is gone for good' \
        with HSMSIGN_SHIM_FAIL=C_SignInit=0x30 watch sign p256
    asked=$(grep -c C_SignInit calls)
    grep -q 'CKR_DEVICE_ERROR .*(tried [0-9]* times in 3' stderr &&
        [ "$asked" -gt 3 ] && [ "$asked" -lt 60 ]
    report $? 'a token that is gone is asked again, with pauses, for three seconds'
    [ "$(grep -c C_Finalize calls)" -eq 0 ]
    report $? 'and its module, which answers, is not started anew'
}

# ---- secrets ----

test_secrets() {
    # Whoever searches by CKA_ID finds these beside the private key's halves.
    check 'make a secret key with the CKA_ID of an EC key' \
        tool --keygen --key-type AES:32 --id 17 --label trap
    plain pkcs8 -topk8 -nocrypt -in "$T/p384.key" -out trap.p8
    check 'make another private key with the same CKA_ID' \
        softhsm2-util --import trap.p8 --token demo --pin "$DEMO_PIN" \
        --label trap --id 17 --force
    check 'the key beside them signs' watch cms p256-bare
    [ "$(grep -c C_GetAttributeValue calls)" -ge 3 ] && ! grep 0x11 calls
    report $? "secret and private keys are never asked for CKA_VALUE"
    [ "$(grep -c 'attrs=.*0x11$' all_calls)" -ge 2 ]
    report $? "certificates are, so that this log would show it"
    ! grep -E '[=,]0x12[345678](,|$)' all_calls > stderr
    report $? 'no call in all of these runs asks for part of a private key'
}

# ---- a token with many keys ----

# Copies of a key's files: the quickest way, and SoftHSM reads each of them.
more_objects() {
    local dir file i
    local -a files

    dir=$(dirname "$(find "$WORK/calls.d/tokens" -name token.object)")
    find "$dir" -name '*.object' | sort > before
    plain pkcs8 -topk8 -nocrypt -in "$T/p384.key" -out many.p8
    softhsm2-util --import many.p8 --token demo --pin "$DEMO_PIN" --label many \
        --id 90 || return 1
    mapfile -t files < <(find "$dir" -name '*.object' | sort | comm -13 before -)
    equal 2 "${#files[@]}" || return 1
    for ((i = 0; i < 1000; i++)); do
        for file in "${files[@]}"; do
            cp "$file" "$dir/$(printf %08x "$i")$(tail -c 34 <<< "$file")"
        done
    done
    equal 2000 "$(find "$dir" -name '0000*.object' | wc -l)" &&
        tool --list-objects --type privkey > list &&
        [ "$(grep -c 'label: *many' list)" -eq 1001 ]
}

copy_token calls.d
configure "pkcs11-module-token-pin = $DEMO_PIN"
except_cloudhsm 'a slot is a cluster, and there is one' check \
    'one round trip more for a third slot, with an RSA key' exactly 12 cms rsa2048
except_cloudhsm 'a slot is a cluster, and there is one' check \
    'one round trip more for a third slot, with an EC key' exactly 16 cms p256
check 'SoftHSM has two slots' two_slots
test_costs ''
test_signatures
test_server
test_always_authenticate
test_key_pad
test_no_login
test_recovery
test_secrets
check 'make 2,000 more objects' more_objects
costs=("${costs[0]}" "${costs[5]}" "${costs[7]}" "${costs[11]}")
test_costs ', among 2,000 more objects'
finish
