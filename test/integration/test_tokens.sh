#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Keys on tokens of others: test_tokens.sh TOKEN, a row of the table in tokens.sh.
#
# A cell is one kind of key and one thing to do with it.  What the token's list
# of mechanisms has, has to work; what it lacks is a skip that says so.  Each
# signature is verified by openssl without hsmsign and by a second
# implementation, with the public key that the token's own tool told.
#
# With HSMSIGN_TOKENS=FILE each cell leaves a line there, from which
# tokens_table.py makes the README's table: token, its version, OpenSSL's (3.0),
# kind, what, result (works, or why not), separated by tabs.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/tokens.sh
. "$HSMSIGN_SOURCE/test/integration/tokens.sh" || exit 1
: "${HSMSIGN_SIGN_MANY:?}" "${HSMSIGN_MECHANISMS:?}"
token=$1
kind='' uri='' pub='' made_uri=''
kinds=(rsa2048 p256 p384 ed25519)
# The mechanisms that make and use each kind.
declare -A makes=([rsa2048]=CKM_RSA_PKCS_KEY_PAIR_GEN [p256]=CKM_EC_KEY_PAIR_GEN
    [p384]=CKM_EC_KEY_PAIR_GEN [ed25519]=CKM_EC_EDWARDS_KEY_PAIR_GEN)
declare -A types=([rsa2048]=rsa:2048 [p256]=ec:P-256 [p384]=ec:P-384
    [ed25519]=ed25519)

result() { # what, result
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$token" "$version" "$libcrypto" "$kind" \
        "$1" "$2" >> results
}

# cell WHAT SENTENCE COMMAND...: it has to work
cell() {
    check "$token: $2" "${@:3}"
    if [ "$status" -eq 0 ]; then
        result "$1" works
    else
        result "$1" fails
    fi
}

# without WHAT SENTENCE REASON: the token has no such thing
without() {
    result "$1" "no: $3"
    skip "$token: $2" "$3"
}

has() { # mechanism
    grep -qxE "$1" mechanisms
}

# lacks MECHANISM WHAT SENTENCE: a skip, if the token has no such mechanism
lacks() {
    has "$1" && return 1
    without "$2" "$3" "its list of mechanisms has no ${1//|/ or }"
}

second_opinion() { # format, salt, file, [document]
    /usr/bin/python3 "$HSMSIGN_SOURCE/test/integration/verify_signature.py" "$1" "$pub" \
        "${@:2}"
}

# ---- signatures ----

digest_signs() { # digest, salt for the second opinion (none: another way), option...
    ours dgst "-$1" -sign "$uri" "${@:3}" -out sig doc &&
        plain dgst "-$1" -verify "$pub" "${@:3}" -signature sig doc &&
        if [ -n "$2" ]; then second_opinion raw "$2" sig doc; fi
}

pss_signs() { # digest, MGF1 digest
    digest_signs "$1" '' -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest \
        -sigopt "rsa_mgf1_md:$2" || return 1
    /usr/bin/python3 - "$1" "$2" "$pub" << 'EOF'
import sys
from Cryptodome.Hash import SHA1, SHA256, SHA3_256
from Cryptodome.PublicKey import RSA
from Cryptodome.Signature import pss

hashes = {"sha1": SHA1, "sha256": SHA256, "sha3-256": SHA3_256}
digest, mask = hashes[sys.argv[1]], hashes[sys.argv[2]]
with open(sys.argv[3], "rb") as file:
    key = RSA.import_key(file.read())
with open("doc", "rb") as file:
    message = digest.new(file.read())
with open("sig", "rb") as file:
    signature = file.read()
verifier = pss.new(key, mask_func=lambda seed, size: pss.MGF1(seed, size, mask),
                   salt_bytes=digest.digest_size)
verifier.verify(message, signature)
EOF
}

pkeyutl_signs() { # salt for the second opinion, option...
    ours pkeyutl -sign -rawin -inkey "$uri" -in doc -out sig "${@:2}" &&
        plain pkeyutl -verify -rawin -pubin -inkey "$pub" -in doc -sigfile sig "${@:2}" &&
        second_opinion raw "$1" sig doc
}

hsmsign_signs() {
    ours_hsmsign sign --key "$uri" --format raw --in doc --out sig || return 1
    if [ "$kind" = ed25519 ]; then
        plain pkeyutl -verify -rawin -pubin -inkey "$pub" -in doc -sigfile sig
    else
        plain dgst -sha256 -verify "$pub" -signature sig doc
    fi && second_opinion raw - sig doc
}

hsmsign_cades() {
    ours_hsmsign sign --key "$uri" --cert cert.pem --format cades --in doc --out p7 &&
        plain cms -verify -cades -binary -inform DER -in p7 -content doc -CAfile cert.pem \
            -purpose any -out verified && cmp doc verified && second_opinion cms - p7 doc
}

cms_signs() {
    ours cms -sign -binary -md sha256 -in doc -signer cert.pem -inkey "$uri" \
        -outform DER -out p7 &&
        plain cms -verify -binary -inform DER -in p7 -content doc -CAfile cert.pem \
            -purpose any -out verified && cmp doc verified && second_opinion cms - p7 doc
}

requests() {
    ours req -new -key "$uri" -subj "/CN=$kind" -out csr &&
        plain req -verify -noout -in csr && same_key req csr && second_opinion signed - csr
}

same_key() { # openssl command, file
    plain "$1" -in "$2" -noout -pubkey > told.pub && cmp told.pub "$pub"
}

# ---- what the tool does ----

ours_hsmsign() {
    OPENSSL_CONF=$conf timeout 60 setsid -w "$HSMSIGN" "$@"
}

loads() {
    ours pkey -in "$uri" -pubout -out told.pub && cmp told.pub "$pub"
}

listed() {
    ours_hsmsign keys "$uri" > listed && cat listed &&
        equal 1 "$(grep -c . listed)" && cut -f 2,3 listed > told &&
        equal "private	${types[$kind]}" "$(cat told)"
}

self_signs() {
    ours_hsmsign selfsign --key "$uri" --subject "/CN=$kind" --out cert.pem &&
        same_key x509 cert.pem && second_opinion signed - cert.pem
}

# The token gives back the certificate that it was given.
stores() {
    local at

    at=$(ours_hsmsign import-cert --key "$uri" --cert cert.pem) &&
        ours x509 -in "$at" -outform DER -out stored.der &&
        plain x509 -in cert.pem -outform DER -out cert.der && cmp stored.der cert.der
}

generates() {
    made_uri=$(ours_hsmsign keygen --type "${types[$kind]}" --label "made-$kind" \
        --token "pkcs11:token=${label// /%20}") &&
        ours pkey -in "$made_uri" -pubout -out "made-$kind.pub"
}

# The public key is what the new key itself tells.
generated_signs() {
    local uri=$made_uri pub=$WORK/made-$kind.pub

    sign_plainly
}

signs_many() {
    OPENSSL_CONF=$conf timeout 150 "$HSMSIGN_SIGN_MANY" "$1" "$uri" "$pub"
}

# ---- cells of each kind ----

# As simply as there is.
sign_plainly() {
    case $kind in
    ed25519) pkeyutl_signs - ;;
    *) digest_signs sha256 - ;;
    esac
}

# A signature's calls, beyond those of a process that only loads the key.
calls() {
    cut -d ' ' -f 1 calls | tr '\n' ' '
}

costs_two() {
    local conf=$WORK/shim.cnf before

    export HSMSIGN_SHIM_MODULE=$module HSMSIGN_SHIM_LOG=$WORK/calls
    : > calls
    ours pkey -in "$uri" -noout || return 1
    before=$(calls)
    : > calls
    sign_plainly || return 1
    equal "${before}C_SignInit C_Sign " "$(calls)"
}

rsa_cells() {
    local pss='-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest'

    lacks CKM_RSA_PKCS pkcs1 "signs with $kind, RSASSA-PKCS1-v1_5" || {
        cell pkcs1 "signs with $kind, RSASSA-PKCS1-v1_5, SHA-256" digest_signs sha256 -
        cell pkcs1 "pkeyutl signs with $kind" pkeyutl_signs -
    }
    # shellcheck disable=SC2086 # words
    lacks 'CKM_RSA_PKCS_PSS|CKM_RSA_X_509' pss "signs with $kind, PSS" || {
        cell pss "signs with $kind, PSS, SHA-256" digest_signs sha256 digest $pss
        cell pss "pkeyutl signs with $kind, PSS" pkeyutl_signs digest \
            ${pss//-sigopt/-pkeyopt}
    }
    pss_cell pss sha256 sha256
    pss_cell pss-mgf1 sha256 sha1
    pss_cell pss-sha3 sha3-256 sha3-256
}

# What the token itself does not do is padded by hsmsign and signed with
# CKM_RSA_X_509, if it has that.
pss_cell() { # what, digest, MGF1 digest
    local sentence="signs with $kind, PSS, $2, MGF1 with $3"
    local conf=$WORK/shim.cnf

    export HSMSIGN_SHIM_MODULE=$module HSMSIGN_SHIM_LOG=$WORK/calls
    : > calls
    if has CKM_RSA_X_509; then
        check "$token: $sentence" pss_signs "$2" "$3"
        if [ "$status" -ne 0 ]; then
            result "$1" fails
        elif tail -n 2 calls | grep -q '^C_SignInit 0x0 .*mechanism=0x3 '; then
            result "$1" 'padded here'
        else
            result "$1" works
        fi
        return
    fi
    run pss_signs "$2" "$3"
    if [ "$status" -eq 0 ]; then
        report 0 "$token: $sentence"
        result "$1" works
    else
        grep -q 'nor CKM_RSA_X_509 for what is padded here' stderr
        report $? "$token: refuses what it cannot: $sentence"
        without "$1" "$sentence" 'it has neither this in PSS nor CKM_RSA_X_509'
    fi
}

ec_cells() {
    lacks CKM_ECDSA ecdsa "signs with $kind" || {
        cell ecdsa "signs with $kind, ECDSA, SHA-256" digest_signs sha256 -
        cell ecdsa "pkeyutl signs with $kind" pkeyutl_signs -
    }
}

ed_cells() {
    lacks CKM_EDDSA eddsa "signs with $kind" ||
        cell eddsa "pkeyutl signs with $kind" pkeyutl_signs -
}

# What has to be there to sign at all with this kind.
signs_with() {
    case $kind in
    rsa2048) has CKM_RSA_PKCS ;;
    ed25519) has CKM_EDDSA ;;
    *) has CKM_ECDSA ;;
    esac
}

common_cells() {
    cell load "loads $kind by its URI" loads
    case $kind in
    rsa2048) rsa_cells ;;
    ed25519) ed_cells ;;
    *) ec_cells ;;
    esac
    signs_with || return
    cell keys "hsmsign keys lists $kind" listed
    cell req "req -new with $kind" requests
    cell selfsign "hsmsign selfsign with $kind" self_signs
    cell sign "hsmsign sign with $kind" hsmsign_signs
    # OpenSSL 3.0 has no CMS with Ed25519, whatever the key.
    if [ "$kind" != ed25519 ]; then
        cell cms "cms -sign with $kind" cms_signs
        cell cades "hsmsign sign --format cades with $kind" hsmsign_cades
    fi
    import_cell
    cell threads "eight threads sign with $kind" signs_many threads
    cell child "a child signs with $kind after a fork" signs_many child
    [ "$token" = tpm2 ] || cell fork "so do parent and child" signs_many fork
    cell calls "a signature with $kind is C_SignInit and C_Sign" costs_two
}

import_cell() {
    local sentence="hsmsign import-cert for $kind"

    # certutil has made one with the key.
    if [ "$token" = nss ] && [ "$uri" = "$own" ]; then
        refute "$token: $sentence says that there is another" stores
        return
    fi
    run stores
    if [ "$status" -ne 0 ] && grep -q 'the token takes no certificates' stderr; then
        without import-cert "$sentence" "$(reason)"
        return
    fi
    report "$status" "$token: $sentence"
    [ "$status" -ne 0 ] || result import-cert works
}

keygen_cells() {
    local sentence="hsmsign keygen makes $kind" mechanism=${makes[$kind]}

    if ! has "$mechanism"; then
        refute "$token: $sentence is refused" generates
        grep -q 'makes no such keys' stderr || report 1 "$token: and the reason is told"
        without keygen "$sentence" "$(reason)"
        return
    fi
    run generates
    if [ "$status" -ne 0 ] && grep -q 'makes no such keys' stderr; then
        without keygen "$sentence" "$(reason)"
        return
    fi
    report "$status" "$token: $sentence"
    [ "$status" -eq 0 ] || { result keygen fails && return; }
    result keygen works
    cell keygen "what keygen made signs, $kind" generated_signs
    # NSS 3.110 has Ed25519, and its certutil none.
    [ "$kind" != ed25519 ] || [ "$status" -ne 0 ] || result eddsa works
    [ "$token" = nss ] || return
    uri=$made_uri pub=$WORK/made-$kind.pub
    cell selfsign "hsmsign selfsign with $kind, a key without certificate" self_signs
    import_cell
}

kind_cells() {
    run "own_key_${token//-/_}" "$kind"
    if [ "$status" -eq 0 ]; then
        report 0 "$token: its own tool makes $kind"
        uri=$own pub=$WORK/own-$kind.pub
        common_cells
    elif has "${makes[$kind]}" && [ "$kind" != ed25519 ]; then
        report 1 "$token: its own tool makes $kind"
    else
        without own "its own tool makes $kind" "$(reason)"
    fi
    keygen_cells
}

# tpm2-pkcs11 authorizes by a session of the TPM whose nonces both processes
# would have to know, over a connection whose answers may go to the other one.
# Last, since the TPM locks after some such failures.
cannot_share() {
    local sentence='parent and child sign after a fork'

    kind=rsa2048 uri="pkcs11:token=$label;object=own-rsa2048;type=private"
    pub=$WORK/own-rsa2048.pub
    refute "$token: it is told that it cannot, when $sentence" signs_many fork
    grep -qE 'HMAC check failed|Authorizing the TPM response failed|Esys_.*(malformed|not large enough)' stderr ||
        report 1 "$token: it is for the session that they share"
    without fork "$sentence" 'they share the session of the TPM'
}

# ---- all of it ----

# The README's table is what was found here, if it was made from these versions.
compare() {
    local sentence="$token: the README's table says what was found"

    run python3 "$HSMSIGN_SOURCE/test/tokens_table.py" --in "$HSMSIGN_SOURCE/README.md" \
        results
    if [ -s stdout ]; then
        skip "$sentence" "$(cat stdout)"
    else
        report "$status" "$sentence"
    fi
}

prepare() {
    local row name package missing=''
    local -a programs

    for row in "${tokens[@]}"; do
        read -r name package programs <<< "$row"
        [ "$name" != "$token" ] || break
    done
    [ "$name" = "$token" ] || bail "$token is no token of tokens.sh"
    PATH=$PATH:/usr/sbin:/sbin
    # shellcheck disable=SC2068,SC2048 # words
    for name in ${programs[*]}; do
        command -v "$name" > /dev/null || missing=$name
    done
    if [ -n "$missing" ]; then
        skip "$token signs" "$missing is not installed"
        finish
    fi
    version=$(dpkg-query -W -f '${Version}' "$package" 2> /dev/null |
        sed 's/^[0-9]*://; s/[-+].*//')
    libcrypto=$(plain version | cut -d ' ' -f 2 | cut -d . -f 1,2)
}

prepare
if [ "$token" = opencryptoki ] && [ "${HSMSIGN_INSIDE:-}" != yes ]; then
    enter_opencryptoki "$@"
    skip "$token signs" "no place of its own for it: $(reason)"
    finish
fi
run "start_${token//-/_}"
report "$status" "$token: an empty token starts"
[ "$status" -eq 0 ] || finish
options=()
[ -z "$pin" ] || options+=("pkcs11-module-token-pin = $pin")
[ -z "$init_args" ] || options+=("pkcs11-module-init-args = $init_args")
make_conf openssl.cnf "pkcs11-module-path=$module" "${options[@]}"
make_conf shim.cnf "pkcs11-module-path=$HSMSIGN_SHIM" "${options[@]}"
conf=$WORK/openssl.cnf
head -c 20000 /dev/urandom > doc
"$HSMSIGN_MECHANISMS" "$module" "$label" ${init_args:+"$init_args"} > mechanisms ||
    bail 'no list of mechanisms'
for kind in "${kinds[@]}"; do
    kind_cells
done
[ "$token" != tpm2 ] || cannot_share
[ -z "${HSMSIGN_TOKENS:-}" ] || cat results >> "$HSMSIGN_TOKENS"
compare
finish
