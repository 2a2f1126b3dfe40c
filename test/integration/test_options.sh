#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Options that stand between the token and who gets a signature, through
# unmodified openssl programs on SoftHSM.
# shellcheck disable=SC2317 # functions are called through check and refute
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need pkcs11-tool

T=$HSMSIGN_TOKEN
head -c 100000 /dev/urandom > doc

configure() { # OPTION...
    make_conf openssl.cnf 'pkcs11-module-token-pin = 1234' "$@"
}

# sign KEY [URI]: with pkeyutl, which takes keys of all types
sign() {
    rm -f sig
    ours pkeyutl -sign -rawin -inkey "${2:-$(uri "$1")}" -in doc -out sig &&
        plain pkeyutl -verify -rawin -pubin -inkey "$T/$1.pub" -in doc \
            -sigfile sig
}

# says TEXT COMMAND...: the command fails, and says so on standard error
says() {
    "${@:2}" 2> message && return 1
    cat message >&2
    grep -qF -e "$1" message
}

# ---- hsmsign-verify ----

# PKCS #11 says that the same CKA_ID makes a pair, so that it is believed.
give_wrong_public_key() { # KEY, OF
    local id

    id=$(ours pkey -in "$(uri "$1")" -noout -text |
        sed -n 's/.*id=\([%0-9A-F]*\).*/\1/p') || return 1
    [ -n "$id" ] && plain pkey -pubin -in "$T/$2.pub" -outform DER \
        -out wrong.der && pkcs11-tool --module "$SOFTHSM2_MODULE" \
        --token-label demo --login --pin 1234 --write-object wrong.der \
        --type pubkey --label wrong --id "${id//%/}"
}

test_verify() {
    local mode key

    for mode in off sample on; do
        configure "hsmsign-verify = $mode"
        for key in rsa2048 p256 p256-bare ed25519; do
            check "with hsmsign-verify = $mode, $key signs" sign "$key"
        done
        check "with hsmsign-verify = $mode, rsa2048 signs with PSS" \
            ours dgst -sha256 -sign "$(uri rsa2048)" -sigopt \
            rsa_padding_mode:pss -out sig doc
    done
    check 'the token gets a public key of another key for p256-bare' \
        give_wrong_public_key p256-bare p256
    for mode in sample on; do
        configure "hsmsign-verify = $mode"
        check "with hsmsign-verify = $mode, what it does not verify is \
refused" says 'the signature does not verify' sign p256-bare
        refute 'and not even written' test -s sig
    done
    configure 'hsmsign-verify = off'
    check 'with hsmsign-verify = off, nobody looks' sign p256-bare
}

test_verify
finish
