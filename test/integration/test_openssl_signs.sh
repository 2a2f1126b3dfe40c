#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Unmodified openssl programs sign with keys on a token, and openssl without
# hsmsign, the keys' software twins, and GnuTLS's certtool say that it is
# right.  A table: programs x kinds of keys.
# shellcheck disable=SC2016,SC2317 # openssl.cnf's $; functions that a table calls
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need certtool

T=$HSMSIGN_TOKEN
make_conf openssl.cnf "pkcs11-module-token-pin = $DEMO_PIN" \
    '[ca]' 'default_ca = hsm_ca' '[hsm_ca]' "dir = $WORK" \
    'database = $dir/index.txt' 'new_certs_dir = $dir' 'serial = $dir/serial' \
    'certificate = $dir/self.pem' 'default_md = default' 'policy = any' \
    'default_days = 10' 'default_crl_days = 10' 'unique_subject = no' \
    '[any]' 'commonName = supplied' \
    '[stamp]' "serial = $WORK/tsserial" \
    'default_policy = 1.2.3.4' 'digests = sha256' 'signer_digest = sha256'
head -c 100000 /dev/urandom > doc
head -c 100000 /dev/urandom > other
plain req -new -newkey rsa:2048 -nodes -keyout client.key -subj /CN=client \
    -config openssl.cnf -out client.csr 2> stderr || bail 'no request'

# What a signature with a deterministic algorithm has to be, byte for byte.
same_as_twin() { # key, file, twin's file
    case $1 in
    p*) ;;
    *) cmp "$2" "$3" ;;
    esac
}

detached() {
    plain cms -cmsout -print -inform DER -in "$1" > printed
    grep -q 'eContent: <ABSENT>' printed
}

cms_verifies() { # file, verify's options
    plain cms -verify -binary -inform DER -in "$1" -content doc \
        -CAfile "$T/ca.pem" -purpose any -out verified "${@:2}" &&
        cmp doc verified && detached "$1"
}

certtool_verifies() {
    certtool --p7-verify --inder --load-ca-certificate "$T/ca.pem" \
        --load-data "${2:-doc}" --infile "$1"
}

cms_algorithm() {
    plain cms -cmsout -print -inform DER -in "$1" |
        sed -n '/^        signatureAlgorithm:/,/^        signature:/p'
}

# sign_cms KEY OPTION...: and the twin does the same
sign_cms() {
    ours cms -sign -binary -in doc -signer "$T/$1.pem" -inkey "$(uri "$1")" \
        -outform DER -out out "${@:2}" &&
        plain cms -sign -binary -in doc -signer "$T/$1.pem" \
            -inkey "$T/$1.key" -outform DER -out twin "${@:2}" &&
        equal "$(cms_algorithm twin)" "$(cms_algorithm out)"
}

program_cms() {
    sign_cms "$1" -md sha256 && cms_verifies out && certtool_verifies out
}

program_cms_sha512() {
    sign_cms "$1" -md sha512 && cms_verifies out && certtool_verifies out
}

program_cades() {
    sign_cms "$1" -md sha256 -cades && cms_verifies out -cades &&
        certtool_verifies out
}

# Without the signing time the whole message is deterministic.
program_cms_noattr() {
    sign_cms "$1" -md sha256 -noattr && cms_verifies out &&
        same_as_twin "$1" out twin
}

cms_pss() { # key, salt length...
    sign_cms "$1" -md sha256 -keyopt rsa_padding_mode:pss "${@:2}" &&
        cms_verifies out
}

program_cms_pss_digest() {
    cms_pss "$1" -keyopt rsa_pss_saltlen:digest && certtool_verifies out
}

program_cms_pss_max() {
    cms_pss "$1" -keyopt rsa_pss_saltlen:max
}

program_cms_pss_auto() {
    cms_pss "$1" -keyopt rsa_pss_saltlen:auto
}

program_cms_pss_20() {
    cms_pss "$1" -keyopt rsa_pss_saltlen:20
}

program_cms_pss() {
    cms_pss "$1"
}

dgst() { # key, digest, -sigopts...
    ours dgst "$2" -sign "$(uri "$1")" "${@:3}" -out sig doc &&
        plain dgst "$2" -verify "$T/$1.pub" "${@:3}" -signature sig doc
}

program_dgst() {
    local md

    for md in sha1 sha224 sha256 sha384 sha512 sha512-256 sha3-256; do
        dgst "$1" "-$md" || return 1
        plain dgst "-$md" -sign "$T/$1.key" -out twin doc &&
            same_as_twin "$1" sig twin || return 1
    done
}

program_dgst_pss() {
    local md salt

    for md in sha1 sha256 sha384 sha512; do
        for salt in digest max auto 20 0; do
            dgst "$1" "-$md" -sigopt rsa_padding_mode:pss \
                -sigopt "rsa_pss_saltlen:$salt" || return 1
        done
    done
}

pkeyutl() { # key, input, options...
    ours pkeyutl -sign -inkey "$(uri "$1")" -in "$2" -out sig "${@:3}" &&
        plain pkeyutl -verify -pubin -inkey "$T/$1.pub" -in "$2" \
            -sigfile sig "${@:3}"
}

program_pkeyutl_raw() {
    printf 'twenty bytes of data' > raw
    pkeyutl "$1" raw || return 1
    plain pkeyutl -sign -inkey "$T/$1.key" -in raw -out twin &&
        same_as_twin "$1" sig twin
}

program_pkeyutl_digest() {
    local md

    for md in sha1 sha256 sha384 sha512; do
        plain dgst "-$md" -binary -out hash doc &&
            pkeyutl "$1" hash -pkeyopt "digest:$md" || return 1
    done
}

program_pkeyutl_digest_pss() {
    plain dgst -sha256 -binary -out hash doc &&
        pkeyutl "$1" hash -pkeyopt digest:sha256 \
            -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest
}

program_pkeyutl_rawin() {
    pkeyutl "$1" doc -rawin || return 1
    plain pkeyutl -sign -inkey "$T/$1.key" -in doc -out twin -rawin &&
        same_as_twin "$1" sig twin
}

# 3.5's writes what -verify says to standard output, among what was asked for.
# 3.0's req asks for a digest even of Ed25519 keys, and ignores it there.
program_req() {
    ours req -new -config "$conf" -key "$(uri "$1")" -subj "/CN=$1" \
        -out out.csr &&
        plain req -new -config "$conf" -key "$T/$1.key" -subj "/CN=$1" \
            -out twin.csr &&
        plain req -in out.csr -verify -noout &&
        plain req -in out.csr -noout -pubkey > pub && cmp pub "$T/$1.pub" &&
        same_as_twin "$1" out.csr twin.csr
}

program_req_x509() {
    ours req -x509 -config "$conf" -key "$(uri "$1")" -subj "/CN=self $1" \
        -addext basicConstraints=critical,CA:TRUE -out self.pem &&
        plain verify -check_ss_sig -CAfile self.pem self.pem &&
        plain x509 -in self.pem -noout -pubkey > pub && cmp pub "$T/$1.pub"
}

# Without an -extfile 4.0 takes the first lines of openssl.cnf for extensions.
program_x509_req() {
    ours req -new -config "$conf" -key "$(uri "$1")" -subj "/CN=$1" \
        -out out.csr &&
        ours x509 -req -in out.csr -signkey "$(uri "$1")" -days 3 \
            -extfile /dev/null -out signed.pem &&
        plain verify -check_ss_sig -CAfile signed.pem signed.pem
}

program_x509_ca() {
    program_req_x509 "$1" &&
        ours x509 -req -in client.csr -CA self.pem -CAkey "$(uri "$1")" \
            -set_serial 7 -days 3 -extfile /dev/null -out signed.pem &&
        plain verify -CAfile self.pem signed.pem
}

program_ca() {
    rm -f index.txt* serial*
    : > index.txt
    echo 01 > serial
    program_req_x509 "$1" &&
        ours ca -config "$conf" -batch -notext -keyfile "$(uri "$1")" \
            -in client.csr -out signed.pem &&
        plain verify -CAfile self.pem signed.pem &&
        ours ca -config "$conf" -keyfile "$(uri "$1")" -revoke signed.pem &&
        ours ca -config "$conf" -gencrl -keyfile "$(uri "$1")" -out crl.pem &&
        plain crl -in crl.pem -noout -CAfile self.pem &&
        ! plain verify -crl_check -CRLfile crl.pem -CAfile self.pem signed.pem
}

# The time-stamping authority opens key files only.
program_ts() {
    echo 01 > tsserial
    "$HSMSIGN" uri2pem "$(uri "$1")" > key.pem &&
        ours req -x509 -config "$conf" -key "$(uri "$1")" -subj "/CN=tsa $1" \
            -addext extendedKeyUsage=critical,timeStamping -out tsa.pem &&
        plain ts -query -data doc -sha256 -cert -out query 2> /dev/null &&
        ours ts -reply -config "$conf" -section stamp -queryfile query \
            -signer tsa.pem -inkey key.pem -out reply &&
        plain ts -verify -queryfile query -in reply -CAfile tsa.pem
}

program_pkey_pubout() {
    ours pkey -in "$(uri "$1")" -pubout -out pub && cmp pub "$T/$1.pub"
}

tls() { # key, version
    local ok

    serve -cert "$T/$1.pem" -key "$(uri "$1")" || return 1
    handshake "$2" > client.out
    ok=$?
    stop_server
    [ "$ok" -eq 0 ] && plain x509 -in client.out -noout -pubkey > pub &&
        cmp pub "$T/$1.pub"
}

program_tls12() {
    tls "$1" -tls1_2
}

program_tls13() {
    tls "$1" -tls1_3
}

# A client that shows its certificate signs too.
program_client() {
    conf=/dev/null serve -cert "$T/p256.pem" -key "$T/p256.key" -Verify 1 \
        -CAfile "$T/ca.pem" -verify_return_error || return 1
    echo 'GET /' | ours s_client -connect "127.0.0.1:$port" -ign_eof \
        -CAfile "$T/ca.pem" -verify_return_error -cert "$T/$1.pem" \
        -key "$(uri "$1")" > client.out
    stop_server
    grep -qa "Subject: CN=$1\$" client.out
}

# 3.0 makes no CMS with Ed25519 and hashes no file for it, with any key.
programs=(
    'rsa,ec    cms            cms -sign, verified by openssl and certtool,'
    'rsa,ec    cms_sha512     cms -sign -md sha512'
    'rsa,ec    cades          cms -sign -cades'
    'rsa,ec    cms_noattr     cms -sign -noattr'
    'rsa       cms_pss_digest cms -sign with PSS, salt as long as the digest,'
    'rsa       cms_pss_max    cms -sign with PSS, salt as long as it can be,'
    'rsa       cms_pss_auto   cms -sign with PSS, salt "auto",'
    'rsa       cms_pss_20     cms -sign with PSS, salt of 20 bytes,'
    'rsa       cms_pss        cms -sign with PSS, no salt length given,'
    'rsa,ec    dgst           dgst -sign, seven digests,'
    'rsa       dgst_pss       dgst -sign, PSS, four digests and five salts,'
    'rsa,ec    pkeyutl_raw    pkeyutl -sign'
    'rsa,ec    pkeyutl_digest pkeyutl -sign of a digest'
    'rsa       pkeyutl_digest_pss pkeyutl -sign of a digest with PSS'
    'rsa,ec,ed pkeyutl_rawin  pkeyutl -sign -rawin'
    'rsa,ec,ed req            req -new'
    'rsa,ec,ed req_x509       req -x509'
    'rsa,ec,ed x509_req       x509 -req -signkey'
    'rsa,ec,ed x509_ca        x509 -req -CAkey'
    'rsa,ec,ed ca             ca, ca -revoke and ca -gencrl'
    'rsa,ec    ts             ts -reply'
    'rsa,ec,ed pkey_pubout    pkey -pubout'
    'rsa,ec,ed tls12          s_server with TLS 1.2'
    'rsa,ec,ed tls13          s_server with TLS 1.3'
    'rsa,ec,ed client         s_client with a certificate'
)

# The keys of the fixture's token, and their kinds.
keys=(
    'rsa2048 rsa' 'rsa3072 rsa' 'rsa4096 rsa'
    'p256 ec' 'p384 ec' 'p521 ec' 'ed25519 ed'
)

for key_and_kind in "${keys[@]}"; do
    read -r key kind <<< "$key_and_kind"
    for row in "${programs[@]}"; do
        read -r kinds program title <<< "$row"
        case ,$kinds, in
        *,$kind,*)
            check "$title signs with $key" "program_$program" "$key"
            ;;
        esac
    done
done

sign_cms rsa2048 -md sha256 > stdout 2> stderr
refute 'certtool refuses another document, so that its yes means something' \
    certtool_verifies out other
cp other doc
refute 'openssl refuses another document' cms_verifies out
finish
