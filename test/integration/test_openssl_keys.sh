#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# How unmodified openssl programs come by a key: the ways to name it, the
# places from which its PIN comes, and the public half of keys whose token
# does not tell it.
# shellcheck disable=SC2317 # functions are called through check and refute
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need certtool pkcs11-tool

T=$HSMSIGN_TOKEN
head -c 100000 /dev/urandom > doc

# sign KEY INKEY [OPTION]...: with pkeyutl, which takes keys of all types
sign() {
    ours pkeyutl -sign -rawin -inkey "$2" -in doc -out sig "${@:3}" &&
        plain pkeyutl -verify -rawin -pubin -inkey "$T/$1.pub" -in doc \
            -sigfile sig
}

cms() { # certificate, key, key's fixture name
    ours cms -sign -binary -md sha256 -in doc -signer "$1" -inkey "$2" \
        -outform DER -out out &&
        plain cms -verify -binary -inform DER -in out -content doc \
            -CAfile "$T/ca.pem" -purpose any -out verified &&
        certtool --p7-verify --inder --load-ca-certificate "$T/ca.pem" \
            --load-data doc --infile out
}

tls() { # certificate, key
    local ok=no

    serve -cert "$1" -key "$2" || return 1
    handshake -tls1_2 > client.out && handshake -tls1_3 > client.out && ok=yes
    stop_server
    [ "$ok" = yes ]
}

# says TEXT COMMAND...: the command fails, and says so on standard error
says() {
    "${@:2}" 2> message && return 1
    cat message >&2
    grep -qF -e "$1" message
}

# ---- names ----

# Files that lead to a key.
names_of_files() {
    local key=$1 dir=$1.d

    mkdir "$dir"
    "$HSMSIGN" uri2pem "$(uri "$key")" > "$dir/wrapped" &&
        cat "$T/$key.pem" "$dir/wrapped" > "$dir/behind" &&
        cat "$T/$key.pem" "$T/ca.pem" "$dir/wrapped" > "$dir/behind_two" &&
        cat "$dir/wrapped" "$T/$key.pem" > "$dir/before" &&
        { echo 'Made by a person.' && cat "$dir/wrapped"; } > "$dir/commented"
}

test_names() {
    local key name

    make_conf openssl.cnf "pkcs11-module-token-pin = $DEMO_PIN"
    for key in rsa2048 p256 ed25519; do
        check "uri2pem wraps the URI of $key" names_of_files "$key"
        check "$key by URI" sign "$key" "$(uri "$key")"
        check "$key by a URI without type" sign "$key" \
            "pkcs11:token=demo;object=$key"
        check "$key by a file that wraps its URI" sign "$key" "$key.d/wrapped"
        check "$key by the same file as file: URI" sign "$key" \
            "file:$WORK/$key.d/wrapped"
        for name in behind behind_two before commented; do
            check "$key by a file that wraps its URI, ${name/_/ } certificate" \
                sign "$key" "$key.d/$name"
        done
        check "TLS with $key by a file that wraps its URI" \
            tls "$T/$key.pem" "$key.d/wrapped"
    done
    check 'rsa2048 by id' sign rsa2048 'pkcs11:token=demo;id=%10'
    check 'p256 by id and object' sign p256 \
        'pkcs11:token=demo;id=%13;object=p256'
    check 'one of two keys with the same label, by id' sign twin \
        'pkcs11:token=demo;object=twin;id=%31'
    for key in rsa2048 p256; do
        check "cms -sign with $key by a file that wraps its URI" \
            cms "$T/$key.pem" "$key.d/wrapped"
        check "cms -sign with a file of the certificate and $key's URI" \
            signer_alone "$key.d/behind"
    done
}

signer_alone() {
    ours cms -sign -binary -md sha256 -in doc -signer "$1" -outform DER \
        -out out &&
        plain cms -verify -binary -inform DER -in out -content doc \
            -CAfile "$T/ca.pem" -purpose any -out verified
}

# ---- PINs ----

# pin SENTENCE OPTION QUERY [ENVIRONMENT]... [-- SIGN'S OPTION...]
pin() {
    local sentence=$1 query=$3
    local -a environment=() options

    options=('# no option')
    [ -z "$2" ] || options=("pkcs11-module-token-pin = $2")
    make_conf pin.cnf "${options[@]}"
    shift 3
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        environment+=("$1")
        shift
    done
    check "$sentence" pin_signs "$(uri rsa2048 second)$query" "${@:2}"
    check "$sentence, through a file that wraps the URI" \
        pin_signs_wrapped "$query" "${@:2}"
}

pin_signs() {
    conf=pin.cnf
    (
        [ ${#environment[@]} -eq 0 ] || export "${environment[@]}"
        sign rsa2048 "$@"
    )
}

# uri2pem takes no pin-value: nobody should write one to a file.
pin_signs_wrapped() {
    case $1 in
    *pin-value*)
        says pin-value "$HSMSIGN" uri2pem "$(uri rsa2048 second)$1"
        ;;
    *)
        "$HSMSIGN" uri2pem "$(uri rsa2048 second)$1" > pin.pem &&
            pin_signs pin.pem "${@:2}"
        ;;
    esac
}

test_pins() {
    local secret escaped quoted

    secret=$(cat "$T/second.pin")
    # What openssl.cnf(5) wants escaped, outside and inside single quotes.
    escaped=$(sed "s/[\$#'\"\\\\]/\\\\&/g" "$T/second.pin")
    quoted="'$(sed "s/['\\\\]/\\\\&/g" "$T/second.pin")'"
    echo 'not the PIN' > wrong.pin
    pin 'PIN from a file in the configuration' "file:$T/second.pin" ''
    pin 'PIN from a variable in the configuration' env:P '' "P=$secret"
    pin 'PIN in the configuration, escaped' "$escaped" ''
    pin 'PIN in the configuration, quoted' "$quoted" ''
    pin "PIN from the URI's pin-source=file:" '' "?pin-source=file:$T/second.pin"
    pin "PIN from the URI's pin-source=/" '' "?pin-source=$T/second.pin"
    pin "PIN from the URI's pin-value" '' "?pin-value=$(percent_encode "$secret")"
    pin 'PIN from HSM_PIN' '' '' "HSM_PIN=$secret"
    pin 'PIN from HSM_PIN_FILE' '' '' "HSM_PIN_FILE=$T/second.pin"
    pin 'PIN from -passin pass:' '' '' -- -passin "pass:$secret"
    pin 'PIN from -passin file:' '' '' -- -passin "file:$T/second.pin"
    pin 'PIN from -passin env:' '' '' "P=$secret" -- -passin env:P
    pin 'HSM_PIN goes before HSM_PIN_FILE' '' '' "HSM_PIN=$secret" \
        "HSM_PIN_FILE=$WORK/wrong.pin"
    # One source is tried: a wrong one does not hide behind another.
    pin 'the configuration goes before HSM_PIN' "file:$T/second.pin" '' \
        HSM_PIN=wrong
    pin 'the URI goes before the configuration' "file:$WORK/wrong.pin" \
        "?pin-source=file:$T/second.pin"
    pin 'the configuration goes before -passin' "file:$T/second.pin" '' \
        -- -passin pass:wrong
    test_prompt
}

prompted() {
    conf=pin.cnf
    echo "$DEMO_PIN" | ours pkeyutl -sign -rawin -inkey "$1" -in doc -out sig \
        2> prompt
    cat prompt >&2
    grep -q 'demo.*PIN' prompt &&
        plain pkeyutl -verify -rawin -pubin -inkey "$T/p256.pub" -in doc \
            -sigfile sig
}

test_prompt() {
    make_conf pin.cnf
    check 'a person is asked for the PIN of the token by its name' \
        prompted "$(uri p256)"
    "$HSMSIGN" uri2pem "$(uri p256)" > pin.pem
    check 'a person is asked once, too, when a file wraps the URI' \
        prompted pin.pem
    equal 1 "$(grep -o demo prompt | wc -l)"
    report $? 'the question is asked once'
}

# ---- public halves ----

pubout() {
    ours pkey -in "$(uri "$1")" -pubout -out pub && cmp pub "$T/$1.pub"
}

named_curve() {
    ours req -x509 -config openssl.cnf -key "$(uri "$1")" -subj "/CN=$1" \
        -out self.pem &&
        plain verify -check_ss_sig -CAfile self.pem self.pem &&
        plain x509 -in self.pem -noout -text > text &&
        grep -q 'ASN1 OID: prime256v1' text && grep -q 'NIST CURVE: P-256' text
}

# A key that knows no public half by itself: $1 says what else there is.
without_public_half() {
    check "cms -sign with the right certificate, $1" \
        cms "$T/p256-bare.pem" "$(uri p256-bare)"
    check "cms -sign with another P-256 certificate, $1, is refused" says \
        'key values mismatch' cms "$T/p256.pem" "$(uri p256-bare)"
    check "s_server with the right certificate, $1" \
        tls "$T/p256-bare.pem" "$(uri p256-bare)"
    check "s_server with another P-256 certificate, $1, is refused" says \
        'key values mismatch' tls "$T/p256.pem" "$(uri p256-bare)"
    check "pkeyutl signs, $1" sign p256-bare "$(uri p256-bare)"
}

# What needs the public half says what is missing.
# An EC key tells its public half by its signatures, an Edwards key cannot.
tells_public_half() {
    check "$2, the public half is told by signatures" pubout "$1"
    check "$2, a certificate has its named curve" named_curve "$1"
}

misses_public_half() {
    check "$2, req -new says where to name the certificate" \
        says hsmsign-public-file \
        ours req -new -config openssl.cnf -key "$(uri "$1")" -subj /CN=x -out x
    check "$2, pkey -pubout says where to name the certificate" \
        says hsmsign-public-file ours pkey -in "$(uri "$1")" -pubout -out x
}

test_public_file() {
    local file

    cat "$T/p256.pem" "$T/rsa2048.pub" "$T/p384.pem" "$T/p256-bare.pub" > many
    cat "$T"/{p256,p256-cert,p384,rsa2048,ca}.pem > strangers
    { echo 'A comment.' && cat "$T/rsa2048.key" "$T/p256-bare.pem"; } > mixed
    for file in "$T/p256-bare.pem" "$T/p256-bare.pub" many mixed; do
        make_conf openssl.cnf "pkcs11-module-token-pin = $DEMO_PIN" \
            "hsmsign-public-file = $file"
        check "the public half is found in ${file##*/}" pubout p256-bare
        check "a certificate has its named curve, by ${file##*/}" \
            named_curve p256-bare
    done
    without_public_half 'the right file configured'
    for file in "$T/p256.pem" strangers; do
        make_conf openssl.cnf "pkcs11-module-token-pin = $DEMO_PIN" \
            "hsmsign-public-file = $file"
        without_public_half "${file##*/} configured, of other keys"
        tells_public_half p256-bare "with ${file##*/}, of other keys"
        misses_public_half ed25519-bare "with ${file##*/}, of other keys"
    done
    check 'a file of other keys does not harm a key that knows its own' \
        pubout p384
    make_conf openssl.cnf "pkcs11-module-token-pin = $DEMO_PIN" \
        'hsmsign-public-file = gone.pem'
    check 'a file that is not there is named' \
        says 'hsmsign-public-file = gone.pem' sign p256 "$(uri p256)"
}

test_public_halves() {
    local key

    make_conf openssl.cnf "pkcs11-module-token-pin = $DEMO_PIN"
    without_public_half 'nothing configured'
    tells_public_half p256-bare 'with nothing configured'
    misses_public_half ed25519-bare 'with nothing configured'
    for key in p256 p256-cert p256-label; do
        check "the public half of $key is found" pubout "$key"
        check "a certificate of $key has its named curve" named_curve "$key"
        check "cms -sign with $key" cms "$T/$key.pem" "$(uri "$key")"
        check "s_server with $key" tls "$T/$key.pem" "$(uri "$key")"
    done
    test_public_file
    # A public key that bears the label of another's private key.
    copy_token strange
    plain pkey -pubin -in "$T/p256.pub" -outform DER -out stranger.der
    check 'make a public key with the label of another private key' \
        pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label demo --login \
        --pin "$DEMO_PIN" --write-object stranger.der --type pubkey \
        --label p256-bare --id 99
    make_conf openssl.cnf "pkcs11-module-token-pin = $DEMO_PIN"
    without_public_half 'a stranger with its label on the token'
    tells_public_half p256-bare 'with a stranger on the token'
}

test_names
test_pins
conf=$WORK/openssl.cnf
test_public_halves
finish
