#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Keys made on the token by unmodified openssl genpkey and req: what they are
# is looked at with OpenSC's pkcs11-tool, what they sign is verified by plain
# openssl with the public key that GnuTLS's p11tool reads from the token.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need pkcs11-tool p11tool

T=$HSMSIGN_TOKEN
DEMO='pkcs11:token=demo'
RSA=(RSA -pkeyopt rsa_keygen_bits:3072)
EC=(EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:named_curve)
head -c 10000 /dev/urandom > doc
make_conf openssl.cnf "pkcs11-module-token-pin=$DEMO_PIN"

tool() {
    pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label demo --login \
        --pin "$DEMO_PIN" "$@" 2> /dev/null
}

# make URI ALGORITHM OPTION...
make() {
    ours genpkey -propquery provider=hsmsign -algorithm "${@:2}" \
        -pkeyopt "pkcs11_uri:$1"
}

# objects LABEL: what pkcs11-tool says of them, one line each; 0.27 has its own
# ways to write a CKA_ID.  CloudHSM takes no CKA_SIGN_RECOVER, of which newer ones
# then tell what SoftHSM behind the simulator has by itself.
objects() {
    tool -O | awk -v label="$1" -v cloudhsm="${HSMSIGN_TEST_CLOUDHSM:-}" '
        function flush() { if (has == label) print text }
        /Object/ { flush(); text = $1 " " $2; has = "" }
        /^  label:/ { has = $0; sub(/^  label: */, "", has) }
        /^  ID:/ { sub(/[0-9]+ \(0x/, ""); gsub(/[:)]/, ""); sub(/ID/, "ID:") }
        cloudhsm != "" { gsub(/, (sign|verify)Recover/, "") }
        /^  (ID|Usage|Access):/ { gsub(/ +/, " "); text = text ";" $0 }
        END { flush() }' | sort
}

# ------------------------------------------------------- what is made

makes() { # FILE ID ALGORITHM OPTION...
    make "$DEMO;object=$1;id=%$2" "${@:3}" -out "$1.pem" &&
        equal '-----BEGIN PKCS#11 PROVIDER URI-----' "$(head -n 1 "$1.pem")" &&
        objects "$1" > listing || return 1
    cat listing >&2
    diff - listing >&2 << END
Private Key; ID: $2; Usage: sign; Access: sensitive, always sensitive, never extractable, local
Public Key; ID: $2; Usage: verify; Access: local
END
}

# text FILE PATTERN: what openssl says of the key
text() {
    ours pkey -in "$1" -noout -text > shown && cat shown >&2 &&
        grep -qE "$2" shown
}

signs() { # FILE
    p11tool --provider "$SOFTHSM2_MODULE" --login --set-pin "$DEMO_PIN" --export-pubkey \
        "$DEMO;object=$1;type=public" --outfile pub > /dev/null 2>&1 || return 1
    ours pkeyutl -sign -rawin -inkey "$1.pem" -in doc -out sig &&
        plain pkeyutl -verify -rawin -pubin -inkey pub -in doc -sigfile sig &&
        ours pkey -in "$1.pem" -pubout | cmp - <(plain pkey -pubin -in pub)
}

requests() { # FILE
    ours req -new -key "$1.pem" -subj "/CN=$1" -out "$1.csr" &&
        plain req -in "$1.csr" -verify -noout > verified 2>&1 &&
        grep -q 'verify OK' verified &&
        plain req -in "$1.csr" -pubkey -noout | cmp - <(plain pkey -pubin -in pub)
}

# Key and certificate in one command.
req_newkey() {
    ours req -new -x509 -propquery '?provider=hsmsign' -newkey rsa:2048 -nodes \
        -pkeyopt "pkcs11_uri:$DEMO;object=newkey" -keyout newkey.pem \
        -subj /CN=newkey -out newkey.crt &&
        plain verify -CAfile newkey.crt newkey.crt &&
        equal 2 "$(objects newkey | grep -cE '(sign; .*never extractable|verify; )')" &&
        ours cms -sign -binary -md sha256 -in doc -signer newkey.crt \
            -inkey newkey.pem -outform DER -out out &&
        plain cms -verify -binary -inform DER -in out -content doc \
            -CAfile newkey.crt -purpose any -out verified && cmp doc verified
}

random_ids() {
    local id

    make "$DEMO;object=random1" ED25519 -out random1.pem &&
        make "$DEMO;object=random2" ED25519 -out random2.pem || return 1
    objects random1 > listing
    cat listing >&2
    id=$(grep -oE 'ID: [0-9a-f]{32};' listing | sort -u)
    equal 1 "$(wc -l <<< "$id")" && ! objects random2 | grep -q "$id" &&
        text random1.pem '^URI: .*object=random1;.*;id=(%[0-9A-F]{2}){16}$'
}

by_id_alone() {
    make "$DEMO;id=%cd" "${EC[@]}" -text > made && cat made >&2 &&
        grep -qE '^URI: .*;type=private;id=%CD$' made &&
        ours pkeyutl -sign -rawin -inkey "$DEMO;id=%cd" -in doc -out sig
}

other_curve() { # NAME TEXT
    make "$DEMO;object=$1" EC -pkeyopt "ec_paramgen_curve:$1" -out curve.pem &&
        text curve.pem "^(ASN1 OID|NIST CURVE): $2\$"
}

key_usage() {
    make "$DEMO;object=usage" ED25519 -pkeyopt pkcs11_key_usage:digitalSignature \
        -out usage.pem && objects usage | grep -q 'Usage: sign; '
}

test_makes() {
    local name

    check 'genpkey makes an RSA key that only signs, and writes its URI' makes rsa 01 "${RSA[@]}"
    check 'genpkey makes an EC key that only signs' makes ec a1 "${EC[@]}"
    check 'genpkey makes an Ed25519 key that only signs' makes ed a2 ED25519
    check 'the RSA key has the size that was asked for' text rsa.pem 'RSA, 3072 bit'
    check 'the EC key has the curve' text ec.pem '^NIST CURVE: P-256$'
    for name in rsa ec ed; do
        check "the new $name key signs, and has its public half" signs "$name"
        check "req -new takes the new $name key" requests "$name"
    done
    check 'req -newkey makes key and certificate' req_newkey
    check 'an id that is not given is random, and the same on both halves' random_ids
    check 'an id is name enough' by_id_alone
    check 'P-521 is a curve too' other_curve P-521 P-521
    check 'brainpoolP256r1 is a curve too' other_curve brainpoolP256r1 brainpoolP256r1
    check 'pkcs11_key_usage may say what is so anyway' key_usage
}

# -------------------------------------------------------- what is not

all_objects() {
    tool -O | sort
}

# refused PATTERN COMMAND...: one error, ours, and nothing new on the token
refused() {
    all_objects > before
    rm -f never.pem
    "${@:2}" -out never.pem > out 2> err && return 1
    cat err >&2
    equal 1 "$(grep -c ':error:' err)" && grep ':error:' err | grep -q ':hsmsign:' &&
        grep -qe "$1" err && ! grep -q 4711 err && [ ! -s out ] &&
        [ ! -s never.pem ] && all_objects | cmp before -
}

test_refusals() {
    local uri="$DEMO;object=never"

    check 'a label that exists is refused' refused \
        'exists already.*token "demo": a private key with this CKA_LABEL.*another object=' \
        make "$DEMO;object=ec" "${EC[@]}"
    check 'an id that exists is refused' refused \
        'exists already.*token "demo": a private key with this CKA_ID.*another id=' \
        make "$uri;id=%a1" "${EC[@]}"
    check 'a wrong token is an error that lists those present' refused \
        'no token matches.*second' make 'pkcs11:token=nope;object=never' "${EC[@]}"
    check 'of several tokens one has to be named' refused 'several tokens match' \
        make 'pkcs11:object=never' "${EC[@]}"
    check 'without pkcs11_uri nothing is made' refused \
        'this is not offered.*which pkcs11_uri has to name' ours genpkey \
        -propquery provider=hsmsign -algorithm ED25519
    check 'a URI without object and id is an error' refused 'object= or id=' \
        make "$DEMO" "${EC[@]}"
    check 'a misspelt URI is an error that shows no PIN' refused 'did you mean "object"' \
        make "$DEMO;objekt=never?pin-value=${DEMO_PIN}4711" "${EC[@]}"
    check 'a key that decrypts is not made' refused 'the pkcs11_key_usage digitalSignature' \
        make "$uri" "${RSA[@]}" -pkeyopt pkcs11_key_usage:keyEncipherment
    check 'a key of 1024 bits is not made' refused '2048 to 16384' \
        make "$uri" RSA -pkeyopt rsa_keygen_bits:1024
    check 'an EC key needs a curve' refused 'ec_paramgen_curve' make "$uri" EC
}

# ---------------------------------------------------------------- PINs

second() { # VARIABLE=VALUE URI
    (
        export "${1?}"
        make "$2" ED25519
    ) | grep -q 'PKCS#11 PROVIDER URI'
}

# pin SENTENCE OPTION QUERY [VARIABLE=VALUE]: a key on the token "second"
pin() {
    conf=$WORK/pin.cnf
    make_conf "$conf" "${2:+pkcs11-module-token-pin = $2}"
    check "$1" second "${4:-NONE=}" "pkcs11:token=second;object=pin$test_count$3"
    conf=$WORK/openssl.cnf
}

test_pins() {
    pin 'PIN from a file in the configuration' "file:$T/second.pin" ''
    pin "PIN from the URI's pin-source" '' "?pin-source=file:$T/second.pin"
    pin 'the URI goes before the configuration' wrong "?pin-source=$T/second.pin"
    pin 'PIN from HSM_PIN' '' '' "HSM_PIN=$(cat "$T/second.pin")"
    pin 'PIN from HSM_PIN_FILE' '' '' "HSM_PIN_FILE=$T/second.pin"
    conf=$WORK/pin.cnf
    make_conf "$conf"
    check 'without a PIN the error says where it may come from' refused \
        'wants a PIN.*HSM_PIN' make "$DEMO;object=never" "${EC[@]}"
    check 'a wrong PIN is the reason, and not shown' refused \
        'C_Login: CKR_PIN_INCORRECT (token "demo")' \
        make "$DEMO;object=never?pin-value=${DEMO_PIN}4711" "${EC[@]}"
    conf=$WORK/openssl.cnf
}

# ------------------------------------------- tokens with ideas of their own

# Through the shim, which answers as told; the log has the calls.
shimmed() { # VARIABLE=VALUE COMMAND...
    : > log
    env "HSMSIGN_SHIM_$1" "HSMSIGN_SHIM_MODULE=$MODULE" \
        "HSMSIGN_LOG=file:$WORK/log,debug" OPENSSL_CONF="$WORK/shim.cnf" \
        timeout 60 setsid -w openssl genpkey -propquery provider=hsmsign \
        -algorithm RSA -out shim.pem -pkeyopt "pkcs11_uri:$DEMO;object=$2"
}

asked() { # how often
    equal "$1" "$(grep -c ' C_GenerateKeyPair ' log)"
}

extractable() { # CKA_EXTRACTABLE is true afterwards
    rm -f shim.pem
    shimmed ATTR=0x162=01 liar 2> err && return 1
    cat err >&2
    grep -q 'the new key can leave the token.*is extractable; delete it (.*object=liar' err &&
        [ ! -s shim.pem ]
}

# Newer pkcs11-tools tell CKA_SIGN_RECOVER, too.
fewer_attributes() {
    shimmed 'FAIL=C_GenerateKeyPair=0xd1*1' fewer && asked 2 &&
        objects fewer | grep -qE 'Usage: sign(, signRecover)?; .*never extractable' &&
        ! grep -q warning log
}

more_uses() {
    shimmed 'FAIL=C_GenerateKeyPair=0xd1*2' more && asked 3 &&
        objects more | grep -q 'Usage: decrypt, .*never extractable' &&
        grep -q 'warning: .*object=more) can do more than sign' log
}

too_large() {
    shimmed 'FAIL=C_GenerateKeyPair=0x62' never 2> err && return 1
    cat err >&2
    equal 1 "$(grep -c ':error:' err)" && asked 1 && grep -q \
        'C_GenerateKeyPair: CKR_KEY_SIZE_RANGE (token "demo", a key of type RSA)' err
}

unreadable() { # after it was made
    shimmed 'FAIL=C_GetAttributeValue=0x30*1' unread 2> err && return 1
    cat err >&2
    grep -q 'the key was made (.*object=unread), but: C_GetAttributeValue: CKR_DEVICE_ERROR' err
}

test_tokens() {
    make_conf shim.cnf "pkcs11-module-token-pin=$DEMO_PIN" \
        "pkcs11-module-path=$HSMSIGN_SHIM"
    check 'a new key that is extractable after all is an error' extractable
    check 'a token that knows fewer attributes gets fewer' fewer_attributes
    check 'or fewer still, with a warning in the log' more_uses
    check 'what the token does not make is told by its answer' too_large
    check 'a new key that cannot be looked at is an error' unreadable
}

# ----------------------------------------------------------- software keys

# genpkey without property query, with the configuration $conf.
software() { # ALGORITHM OPTION...
    rm -f log
    HSMSIGN_LOG=file:$WORK/log,debug ours genpkey -algorithm "$@" -out soft.key \
        2> err || {
        cat err >&2
        return 1
    }
    [ ! -s log ] && grep -q 'BEGIN PRIVATE KEY' soft.key &&
        plain pkeyutl -sign -rawin -inkey soft.key -in doc -out sig
}


test_software() {
    local hint='this is not offered.*"default", which should stand before hsmsign'

    check 'plain genpkey makes software RSA keys, without the token' software RSA
    check 'and EC keys' software "${EC[@]}"
    check 'and Ed25519 keys' software ED25519
    sed -e '/^default = /d' \
        -e 's/^hsmsign = .*/&\ndefault = default_section/' openssl.cnf > first.cnf
    conf=$WORK/first.cnf
    check 'with hsmsign before default, plain genpkey says what to do: RSA' refused \
        "$hint" ours genpkey -algorithm RSA
    check 'EC' refused "$hint" ours genpkey -algorithm "${EC[@]}"
    check 'Ed25519' refused "$hint" ours genpkey -algorithm ED25519
    check 'types that tokens do not sign with are still made' ours genpkey -algorithm X25519
    check 'provider=default makes software keys then' software RSA \
        -propquery provider=default
    sed '/^default = /d' openssl.cnf > alone.cnf
    conf=$WORK/alone.cnf
    check 'without default there is no random id, and nothing is made' no_random_id
    conf=$WORK/openssl.cnf
}

# genpkey itself complains of the same, beside us.
no_random_id() {
    make "$DEMO;object=never" ED25519 2> err && return 1
    cat err >&2
    equal 1 "$(grep -c ':hsmsign:' err)" &&
        grep -q 'configuration is wrong.*CKA_ID: activate "default"' err
}

test_makes
test_refusals
test_pins
test_tokens
test_software
# A refusal is a round trip: what CloudHSM does not take is not asked of it.
asks_once() {
    HSMSIGN_LOG=file:$WORK/calls,debug make "$DEMO;object=once;id=%7f" "${EC[@]}" \
        -out once.pem && equal 1 "$(grep -c C_GenerateKeyPair calls)"
}
check 'a key takes one C_GenerateKeyPair' asks_once

finish
