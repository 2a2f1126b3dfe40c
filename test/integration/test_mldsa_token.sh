#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# ML-DSA keys on a real token, NSS's softokn: made by hsmsign keygen and openssl
# genpkey, used by unmodified openssl and hsmsign, and what they sign is
# verified by plain openssl.  Skipped where OpenSSL is older than 3.5, or there
# is no NSS with ML-DSA (3.110 has none, 3.131 does).
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1

NSS='pkcs11:token=NSS%20Certificate%20DB'

# skip_all REASON: one result that counts as skipped
skip_all() {
    echo "ok 1 - ML-DSA keys on NSS sign # SKIP $1"
    echo 1..1
    exit 0
}

# hs SUBCOMMAND...: hsmsign with the same configuration
hs() {
    OPENSSL_CONF=$conf timeout 30 setsid -w "$HSMSIGN" "$@"
}

# verified FILE OPTION...: a raw signature of doc, for the set $set
verified() {
    plain pkeyutl -verify -pubin -inkey "$set.pub" -rawin -in doc -sigfile "$@"
}

find_token() {
    local path

    for path in /usr/lib/*/libsoftokn3.so /usr/lib/*/nss/libsoftokn3.so \
        /usr/lib64/libsoftokn3.so; do
        [ ! -e "$path" ] || module=$path
    done
}

make_database() {
    mkdir db && echo nss-pin-1 > pin && certutil -N -d sql:"$WORK/db" -f pin
}

# ------------------------------------------------------- per set of parameters

made() {
    [[ $key == "$NSS;object=$set;type=private;id="* ]] || {
        echo "hsmsign keygen printed: $key" >&2
        return 1
    }
    hs keys "$NSS;object=$set" > listing && cat listing >&2 &&
        equal 'private public' "$(cut -f 2 listing | xargs)" &&
        equal "$set $set" "$(cut -f 3 listing | xargs)"
}

# The public key as NSS tells it, not as a signature of ours would.
public() {
    ours pkey -pubin -in "$NSS;object=$set;type=public" -pubout -out "$set.pub" &&
        ours pkey -in "$key" -pubout | cmp - "$set.pub" &&
        plain pkey -pubin -in "$set.pub" -noout -text > shown &&
        equal "${set^^} Public-Key:" "$(head -n 1 shown)"
}

text() {
    ours pkey -in "$key" -noout -text > shown && cat shown >&2 &&
        grep -qE "^PKCS#11 Private-Key: \(${set^^}, [0-9]+ bit\)$" shown
}

signs() { # OPTION OF pkeyutl...
    ours pkeyutl -sign -rawin -inkey "$key" -in doc -out sig "$@" &&
        equal "$size" "$(wc -c < sig)" && verified sig "$@"
}

with_context() {
    signs -pkeyopt context-string:letter || return 1
    if verified sig; then return 1; fi
}

deterministic() {
    signs -pkeyopt deterministic:1 && mv sig first &&
        signs -pkeyopt deterministic:1 && cmp first sig
}

refuses() { # OPTION
    if ours pkeyutl -sign -rawin -inkey "$key" -in doc -out never \
        -pkeyopt "$1" 2> err; then return 1; fi
    cat err >&2
    grep -q ':hsmsign:.*a parameter is not taken' err
}

pem_file() {
    ours pkey -in "$key" -out "$set.pem" &&
        ours pkeyutl -sign -rawin -inkey "$set.pem" -in doc -out sig &&
        verified sig
}

req() {
    ours req -new -key "$key" -subj /CN=leaf -out "$set.csr" &&
        plain req -in "$set.csr" -verify -noout &> said && cat said >&2 &&
        grep -q 'verify OK' said &&
        ours req -new -x509 -key "$key" -subj "/CN=$set" -out "$set.crt" \
            -addext basicConstraints=critical,CA:TRUE &&
        plain verify -CAfile "$set.crt" "$set.crt"
}

x509() {
    plain x509 -in "$set.crt" -noout -text > shown &&
        equal 2 "$(grep -c "Signature Algorithm: ${set^^}" shown)" &&
        ours x509 -req -in "$set.csr" -CA "$set.crt" -CAkey "$key" -out leaf.crt &&
        plain verify -CAfile "$set.crt" leaf.crt
}

# verify_cms FILE OPTION...
verify_cms() {
    plain cms -verify -binary -content doc -inform DER -CAfile "$set.crt" \
        -purpose any -out /dev/null -in "$@"
}

cms() { # OPTION...
    ours cms -sign -binary -md sha512 -in doc -signer "$set.crt" -inkey "$key" \
        -outform DER -out doc.p7s "$@" && verify_cms doc.p7s "$@"
}

tool_signs() { # FORMAT
    hs sign --key "$key" --cert "$set.crt" --format "$1" --in doc --out "doc.$1"
}

tool_raw() {
    tool_signs raw && verified doc.raw
}

tool_cms() {
    tool_signs cms && verify_cms doc.cms &&
        hs verify --format cms --in doc --sig doc.cms --ca "$set.crt"
}

tool_cades() {
    tool_signs cades && verify_cms doc.cades -cades &&
        hs verify --format cades --in doc --sig doc.cades --ca "$set.crt"
}

tool_certificates() {
    hs csr --key "$key" --subject /CN=csr --out tool.csr &&
        plain req -in tool.csr -verify -noout &&
        hs selfsign --key "$key" --subject /CN=selfsign --out tool.crt &&
        plain verify -CAfile tool.crt tool.crt &&
        hs import-cert --key "$key" --cert tool.crt &&
        hs keys "$NSS;object=$set;type=cert" > listing && cat listing >&2 &&
        equal "cert $set" "$(cut -f 2,3 listing | tr '\t' ' ')"
}

doctor() {
    hs doctor --key "$key" --cert "$set.crt" > said
    cat said >&2
    grep -q '^ok .*signature: made and verified' said
}

# A TLS server's certificate: the client has to see that it signed.
tls() {
    serve -cert "$set.crt" -key "$key" || return 1
    plain s_client -connect "127.0.0.1:$port" -CAfile "$set.crt" \
        -verify_return_error < /dev/null > said 2>&1
    stop_server
    cat said >&2
    grep -q '^Verify return code: 0 (ok)' said &&
        grep -qi "^Peer signature type: ${set//-/}" said
}

genpkey() {
    ours genpkey -propquery provider=hsmsign -algorithm "${set^^}" \
        -pkeyopt "pkcs11_uri:$NSS;object=genpkey-$set" -out genpkey.pem &&
        ours pkey -in genpkey.pem -pubout -out genpkey.pub &&
        ours pkeyutl -sign -rawin -inkey genpkey.pem -in doc -out sig &&
        plain pkeyutl -verify -pubin -inkey genpkey.pub -rawin -in doc -sigfile sig
}

test_set() {
    key=$(hs keygen --type "$set" --label "$set" --token "$NSS" 2> stderr)
    check "$set: hsmsign keygen makes the key, keys lists it" made
    check "$set: the public key is the token's" public
    check "$set: pkey -text shows type and URI" text
    check "$set: pkeyutl signs" signs
    check "$set: with a context string" with_context
    check "$set: deterministic if asked for" deterministic
    check "$set: mu is refused" refuses mu:1
    check "$set: an encoded message is refused" refuses message-encoding:0
    check "$set: a PEM file of the URI signs" pem_file
    check "$set: req makes requests and certificates" req
    check "$set: x509 signs a request" x509
    check "$set: cms signs" cms
    check "$set: cms signs CAdES" cms -cades
    check "$set: hsmsign sign: raw" tool_raw
    check "$set: hsmsign sign: cms" tool_cms
    check "$set: hsmsign sign: cades" tool_cades
    check "$set: hsmsign csr, selfsign, import-cert" tool_certificates
    check "$set: hsmsign doctor" doctor
    check "$set: s_server" tls
    check "$set: genpkey makes a key that signs" genpkey
}

module=
plain genpkey -algorithm ML-DSA-65 -out /dev/null 2> /dev/null ||
    skip_all "$(openssl version | cut -d ' ' -f 1,2) has no ML-DSA: 3.5 and newer do"
find_token
[ -n "$module" ] || skip_all 'there is no NSS (libsoftokn3.so)'
command -v certutil > /dev/null || skip_all 'there is no certutil of NSS'
make_database > stdout 2> stderr || bail "certutil makes no database: $(cat stderr)"
make_conf openssl.cnf "pkcs11-module-path=$module" \
    "pkcs11-module-init-args=configDir=sql:$WORK/db" \
    "pkcs11-module-token-pin=file:$WORK/pin"
if ! hs keygen --type ml-dsa-65 --label first --token "$NSS" > stdout 2> stderr &&
    grep -q 'makes no such keys' stderr; then
    skip_all 'this NSS has no ML-DSA'
fi
head -c 10000 /dev/urandom > doc
for row in 'ml-dsa-44 2420' 'ml-dsa-65 3309' 'ml-dsa-87 4627'; do
    read -r set size <<< "$row"
    test_set
done
finish
