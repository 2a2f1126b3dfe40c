#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Options that stand between the token and who gets a signature, through
# unmodified openssl programs on SoftHSM.
# shellcheck disable=SC2317 # functions are called through check and refute
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need pkcs11-tool python3 sha256sum

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

# ---- hsmsign-spki-sha256, spki-sha256= ----

pin() { # KEY: as the man page says
    openssl pkey -pubin -in "$T/$1.pub" -outform DER | sha256sum |
        cut -d ' ' -f 1
}

refused_as() { # TEXT KEY [URI]
    says "$1" sign "${@:2}" && grep -qF "$(pin "$2")" message
}

test_pinned() {
    local key reason='the key is not the one that is pinned'

    configure
    for key in rsa2048 p256 p256-bare p256-cert ed25519; do
        check "$key, pinned by its URI, signs" \
            sign "$key" "$(uri "$key")?spki-sha256=$(pin "$key")"
        check "$key is refused where its URI pins another" \
            refused_as "$reason" "$key" \
            "$(uri "$key")?spki-sha256=$(pin rsa3072)"
    done
    check 'a PIN and a pinned key stand in one URI' sign p256 \
        "$(uri p256)?pin-value=1234&spki-sha256=$(pin p256)"
    check 'a file made of such a URI pins, too' eval "
        '$HSMSIGN' uri2pem '$(uri p256)?spki-sha256=$(pin p384)' > pem &&
        refused_as '$reason' p256 pem"
    configure "hsmsign-spki-sha256 = $(pin p256),$(pin p384)"
    check 'keys that the configuration pins sign' eval \
        'sign p256 && sign p384'
    check 'another key is refused' refused_as "$reason" rsa2048
    check 'no key is made where keys are pinned' says 'is made anew' \
        ours genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
        -propquery provider=hsmsign -pkeyopt 'pkcs11_uri:pkcs11:object=new'
}

# ---- hsmsign-audit ----

# one KEY RESULT: the log has one line, which is what it should be
one() {
    python3 - "$1" "$2" audit << 'EOF_PYTHON'
import datetime
import hashlib
import json
import sys

key, result, path = sys.argv[1:]
[line] = open(path, encoding="ascii").read().splitlines()
entry = json.loads(line)
data = open("doc", "rb").read()
if entry["digest"] is not None:
    assert entry["digest"] == "SHA2-256", line
    data = hashlib.sha256(data).digest()
assert entry["data_sha256"] == hashlib.sha256(data).hexdigest(), line
assert entry["key"].startswith("pkcs11:token=demo;"), line
assert f";object={key};" in entry["key"] and "pin" not in entry["key"], line
assert entry["result"] == result, line
assert entry["mechanism"].startswith("CKM_"), line
age = datetime.datetime.now(datetime.timezone.utc) - (
    datetime.datetime.fromisoformat(entry["time"].replace("Z", "+00:00")))
assert abs(age.total_seconds()) < 3600, line
assert entry["latency_ms"] >= 0 and entry["retries"] == 0, line
assert entry["pid"] > 0 and len(entry) == 9, line
EOF_PYTHON
}

audited() { # KEY
    rm -f audit
    sign "$1" "$(uri "$1")?pin-value=1234" && one "$1" ok
}

test_audit() {
    local key

    make_conf openssl.cnf "hsmsign-audit = file:$WORK/audit"
    for key in rsa2048 p256 p384 ed25519; do
        check "the audit log has a line for a signature of $key" audited "$key"
    done
    check 'it is for its owner alone' equal 600 "$(stat -c %a audit)"
    configure 'hsmsign-audit = file:/dev/full'
    check 'a log that is full lets nothing be signed' \
        says 'the audit log cannot be written' sign p256
    refute 'nor written' test -s sig
    configure 'hsmsign-audit = file:/dev/full,warn' \
        "hsmsign-log = file:$WORK/log"
    check 'unless a warning is enough' sign p256
    check 'which is in the log' grep -q 'not in the audit log: .*/dev/full' log
    configure "hsmsign-audit = file:$WORK/audit" 'hsmsign-verify = on'
    rm -f audit
    check 'a signature that is refused is in it' \
        says 'the signature does not verify' sign p256-bare
    check 'with the reason' one p256-bare P11_BAD_SIGNATURE
}

test_pinned
test_verify
test_audit
configure
check 'a pinned public key does not do: the private key has to sign' \
    says 'signs with another one' \
    sign p256-bare "$(uri p256-bare)?spki-sha256=$(pin p256)"
finish
