#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Public keys and certificates on a token, through unmodified openssl programs:
# by URI wherever a program takes one, in lists (compared with what p11tool and
# pkcs11-tool see), and as the certificates from which a chain is built.
# shellcheck disable=SC2317 # functions are called through check and refute
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need certtool p11tool pkcs11-tool softhsm2-util

T=$HSMSIGN_TOKEN
export HSMSIGN_SHIM_MODULE=$MODULE HSMSIGN_SHIM_LOG=$WORK/calls
head -c 100000 /dev/urandom > doc
: > calls

configure() {
    make_conf openssl.cnf "pkcs11-module-path=$HSMSIGN_SHIM" "$@"
}

tool() {
    pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label demo --login \
        --pin "$DEMO_PIN" "$@"
}

# watch COMMAND...: what it calls on the token goes to the file calls
watch() {
    : > calls
    "$@"
}

called() { # how often, function
    equal "$1" "$(grep -c "^$2 " calls)"
}

# says TEXT COMMAND...: the command fails, and says so on standard error
says() {
    "${@:2}" 2> message && return 1
    cat message >&2
    grep -qF -e "$1" message
}

# prints TEXT COMMAND...: the same of storeutl, whose status does not tell
prints() {
    "${@:2}" 2> message
    cat message >&2
    grep -qF -e "$1" message
}

cert() {
    echo "pkcs11:token=demo;object=$1;type=cert"
}

# ---- the certificates ----

certificate() { # name, issuer, extensions
    plain req -new -newkey rsa:2048 -nodes -keyout "$1.key" -subj "/CN=$1" \
        -config req.cnf -out "$1.csr" &&
        plain x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -days 30 \
            -extfile "$3" -out "$1.pem"
}

# root -> middle -> leaf, of which the token gets root and middle
make_chain() {
    printf '%s\n' '[req]' 'distinguished_name = name' '[name]' > req.cnf
    printf '%s\n' 'basicConstraints = critical,CA:TRUE' \
        'subjectKeyIdentifier = hash' > ca.ext
    printf '%s\n' 'basicConstraints = CA:FALSE' \
        'keyUsage = digitalSignature,nonRepudiation' > leaf.ext
    plain req -x509 -newkey rsa:2048 -nodes -keyout root.key -subj /CN=root \
        -config req.cnf -addext 'basicConstraints=critical,CA:TRUE' -days 30 \
        -out root.pem &&
        certificate middle root ca.ext && certificate leaf middle leaf.ext
}

write() { # certificate, id
    plain x509 -in "$1.pem" -outform DER -out "$1.der" &&
        tool --write-object "$1.der" --type cert --label "${1##*/}" --id "$2"
}

write_certificates() {
    cp "$T/rsa2048.pem" "$T/p256.pem" "$T/ed25519.pem" . &&
        write root 70 && write middle 71 && write rsa2048 10 &&
        write p256 13 && write ed25519 16
}

# ---- by URI ----

shows() { # name, command that writes PEM to standard output
    "${@:2}" > shown.pem && plain x509 -in shown.pem -outform DER -out shown.der &&
        plain x509 -in "$1.pem" -outform DER | cmp shown.der -
}

verified() { # signature, CA
    plain cms -verify -binary -inform DER -in "$1" -content doc -CAfile "$2" \
        -purpose any -out content && cmp content doc &&
        certtool --p7-verify --inder --load-ca-certificate "$2" \
            --load-data doc --infile "$1"
}

cms() { # signer, openssl's options
    ours cms -sign -binary -md sha256 -in doc -outform DER -out out "$@" &&
        verified out "$T/ca.pem"
}

tls() { # certificate, key
    local ok=no

    serve -cert "$1" -key "$2" || return 1
    handshake -tls1_2 > client.out && handshake -tls1_3 > client.out && ok=yes
    stop_server
    [ "$ok" = yes ]
}

public_key() { # name, URI
    ours pkey -pubin -in "$2" -pubout -out shown.pub &&
        cmp shown.pub "$T/$1.pub"
}

verifies() { # name, URI
    plain pkeyutl -sign -rawin -inkey "$T/$1.key" -in doc -out sig &&
        ours pkeyutl -verify -rawin -pubin -inkey "$2" -in doc -sigfile sig &&
        ! ours pkeyutl -verify -rawin -pubin -inkey "$2" -in leaf.pem \
            -sigfile sig
}

test_uris() {
    local name uri

    for name in rsa2048 p256 ed25519; do
        check "x509 -in shows the certificate of $name" \
            shows "$name" ours x509 -in "$(cert "$name")"
        uri="pkcs11:token=demo;object=$name"
        check "x509 -in takes a URI without type for $name" \
            shows "$name" ours x509 -in "$uri"
        check "pkey -pubin reads the public key of $name" \
            public_key "$name" "$uri;type=public"
        check "pkey -pubin takes a URI without type for $name" \
            public_key "$name" "$uri"
        check "pkeyutl -verify with the public key of $name" \
            verifies "$name" "$uri;type=public"
        check "s_server with certificate and key of $name" \
            tls "$(cert "$name")" "$(uri "$name")"
    done
    for name in rsa2048 p256; do
        check "cms -sign with certificate and key of $name" \
            cms -signer "$(cert "$name")" -inkey "$(uri "$name")"
        check "cms -sign with one URI for both of $name" \
            cms -signer "pkcs11:token=demo;object=$name"
        check "cms -sign with a certificate of $name from the token and the \
key's file" cms -signer "$(cert "$name")" -inkey "$T/$name.key"
    done
    check 'cms -sign adds a certificate of the token' \
        ours cms -sign -in doc -signer "$(cert p256)" -inkey "$(uri p256)" \
        -certfile "$(cert middle)" -outform DER -out out
    equal 2 "$(plain cms -in out -inform DER -cmsout -print |
        grep -c 'd.certificate:')"
    report $? 'and the signature has both'
}

# ---- by a file that wraps a URI ----

wrap() { # URI
    "$HSMSIGN" uri2pem "$1"
}

# Each kind in one file, in this order, among certificates that are not ours.
wrapped() { # name, order
    local kind

    for kind in $2; do
        case $kind in
        key) wrap "$(uri "$1")" ;;
        public) wrap "pkcs11:token=demo;object=$1;type=public" ;;
        cert) wrap "$(cert "$1")" ;;
        soft) cat "$1.pem" ;;
        ca) cat root.pem ;;
        esac || return 1
    done
}

signs() { # name, file
    ours pkeyutl -sign -rawin -inkey "$2" -in doc -out sig &&
        plain pkeyutl -verify -rawin -pubin -inkey "$T/$1.pub" -in doc \
            -sigfile sig
}

test_files() {
    local name order

    for name in rsa2048 p256 ed25519; do
        for order in 'key cert' 'cert key' 'public cert key ca' \
            'soft public key' 'ca key soft cert'; do
            wrapped "$name" "$order" > file.pem
            check "the key of $name is in a file of: $order" \
                signs "$name" file.pem
        done
        wrapped "$name" 'cert key public' > file.pem
        check "x509 -in finds the wrapped certificate of $name" \
            shows "$name" ours x509 -in file.pem
        check "s_server takes one file with both of $name" \
            tls file.pem file.pem
        wrap "pkcs11:token=demo;object=$name;type=public" > public.pem
        check "pkey -pubin reads the wrapped public key of $name" \
            public_key "$name" public.pem
        check "pkeyutl -verify with the wrapped public key of $name" \
            verifies "$name" public.pem
        wrap "pkcs11:token=demo;object=$name" > untyped.pem
        check "pkey -pubin reads a wrapped URI of $name without type" \
            public_key "$name" untyped.pem
    done
    wrapped p256 'cert key' > file.pem
    check 'cms -sign with one file that wraps certificate and key' \
        cms -signer file.pem
    wrapped p256 'soft key' > haproxy.pem
    check 'cms -sign with one file of a certificate and a wrapped key' \
        cms -signer haproxy.pem
    wrap "$(cert nope)" > file.pem
    check 'a wrapped certificate that is not there is named' \
        says 'no certificate matches' ours x509 -in file.pem -noout
    wrap "$(cert root)" > root.wrapped
    wrap "$(cert middle)" >> root.wrapped
    check 'storeutl -certs reads wrapped certificates' \
        ours storeutl -noout -certs root.wrapped
    grep -q 'Total found: 2' stdout
    report $? 'both of them'
    check 'verify -CAstore takes them' \
        ours verify -no-CAfile -no-CApath -CAstore root.wrapped leaf.pem
}

# ---- without a login ----

test_logins() {
    check 'a certificate by URI' watch ours x509 -in "$(cert p256)" -noout
    called 0 C_Login
    except_strict_cloudhsm 'certificates, too, are seen after a login' \
        report $? 'costs no login'
    check 'a public key by URI' \
        watch public_key p256 'pkcs11:token=demo;object=p256;type=public'
    called 0 C_Login
    except_cloudhsm 'no key is seen without a login' \
        report $? 'costs no login'
    configure
    except_strict_cloudhsm 'certificates, too, are seen after a login' check \
        'a certificate is read without a PIN' ours x509 -in "$(cert p256)" -noout
    configure "pkcs11-module-token-pin = $DEMO_PIN" \
        'pkcs11-module-login-behavior = always'
    check 'with login-behavior = always' \
        watch ours x509 -in "$(cert p256)" -noout
    called 1 C_Login
    report $? 'there is a login'
    configure "pkcs11-module-token-pin = $DEMO_PIN"
    check 'write a certificate that only who is logged in sees' \
        hidden_certificate
    check 'it is read after a login' \
        watch shows hidden ours x509 -in "$(cert hidden)"
    called 1 C_Login
    report $? 'which is made once'
    configure "pkcs11-module-token-pin = $DEMO_PIN" \
        'pkcs11-module-login-behavior = never'
    check 'and not with login-behavior = never, which says why' \
        says 'without a login' ours x509 -in "$(cert hidden)" -noout
    configure "pkcs11-module-token-pin = $DEMO_PIN"
    tool --delete-object --type cert --label hidden > stdout
}

hidden_certificate() {
    certificate hidden root leaf.ext && write hidden 79 &&
        tool --delete-object --type cert --label hidden &&
        GNUTLS_PIN="$DEMO_PIN" p11tool --provider "$SOFTHSM2_MODULE" --batch --login \
            --write --load-certificate hidden.pem --label hidden --id 79 \
            --mark-private pkcs11:token=demo
}

# ---- lists ----

# What storeutl lists is what the tools see, and in order.
lists() { # URI
    ours storeutl -noout "$1" > list && cat list >&2 &&
        sed -n 's/^[0-9]*: //p' list | uniq > order &&
        tool --list-objects > objects &&
        equal 'Pkey Public key Certificate ' "$(tr '\n' ' ' < order)" &&
        equal "$(grep -c '^Private Key Object' objects)" \
            "$(grep -c ': Pkey$' list)" &&
        equal "$(grep -c '^Public Key Object' objects)" \
            "$(grep -c ': Public key$' list)" &&
        equal "$(grep -c '^Certificate Object' objects)" \
            "$(grep -c ': Certificate$' list)"
}

# The same certificates as p11tool exports.
same_certificates() {
    ours storeutl -certs pkcs11:token=demo > ours.out &&
        p11tool --provider "$SOFTHSM2_MODULE" --batch --export-chain \
            'pkcs11:token=demo;type=cert' > /dev/null 2>&1
    certificates ours.out > ours.list
    p11tool --provider "$SOFTHSM2_MODULE" --batch --list-all-certs --only-urls \
        pkcs11:token=demo > urls || return 1
    : > theirs.out
    while read -r url; do
        p11tool --provider "$SOFTHSM2_MODULE" --batch --export "$url" \
            >> theirs.out || return 1
    done < urls
    certificates theirs.out > theirs.list
    [ -s ours.list ] && diff theirs.list ours.list >&2
}

certificates() { # file: a line for each, sorted
    awk '/^-----BEGIN CERT/ { text = ""; in_one = 1; next }
         /^-----END CERT/ { print text; in_one = 0 }
         in_one { text = text $0 }' "$1" | sort
}

same_public_keys() {
    ours storeutl 'pkcs11:token=demo;type=public' > ours.out || return 1
    sed -n '/^-----BEGIN/,/^-----END/p' ours.out | tr -d '\n' > one.line
    for name in rsa2048 rsa3072 rsa4096 p256 p384 p521 ed25519 p256-label; do
        grep -qF -e "$(tr -d '\n' < "$T/$name.pub")" one.line ||
            {
                echo "$name is not listed" >&2
                return 1
            }
    done
}

test_lists() {
    check 'storeutl lists what pkcs11-tool lists, private keys first' \
        watch lists pkcs11:token=demo
    called "$(grep -c '^[0-9]*: ' list)" C_GetAttributeValue
    report $? 'at one call for each object'
    called 3 C_FindObjects
    report $? 'and one search for each class'
    check 'storeutl -certs lists the certificates that p11tool exports' \
        same_certificates
    check 'the public keys are those of the keys' same_public_keys
    check 'storeutl -keys wants one key' \
        prints 'several private keys match' ours storeutl -keys \
        pkcs11:token=demo
    check 'storeutl -keys gives the one that is named' \
        ours storeutl -noout -keys 'pkcs11:token=demo;object=p256'
    equal '0: Pkey' "$(head -1 stdout)"
    report $? 'and that alone'
    check 'storeutl lists several tokens' \
        watch ours storeutl -noout pkcs11:
    called 0 C_Login
    report $? 'and tries the PIN on none of them'
    grep -q Certificate stdout && ! grep -q Pkey stdout
    except_strict_cloudhsm 'certificates, too, are seen after a login' \
        report $? 'so that what they show to all is listed'
    check 'storeutl -crls says that a token has none' \
        prints 'nothing else' ours storeutl -crls pkcs11:token=demo
}

# SoftHSM reads each file: the quickest way to many objects.
more_certificates() {
    local dir file i

    find "$WORK/store.d/tokens" -name '*.object' | sort > before
    write leaf 7a || return 1
    file=$(find "$WORK/store.d/tokens" -name '*.object' | sort |
        comm -13 before -)
    [ -f "$file" ] || return 1
    dir=$(dirname "$file")
    for ((i = 0; i < 600; i++)); do
        cp "$file" "$dir/$(printf %08x "$i")$(tail -c 37 <<< "$file")"
    done
}

test_many() {
    local why='stores 60 certificates, and tells 10 of each HSM in a second'

    check 'make 600 more certificates' more_certificates
    except_cloudhsm "$why" check 'all certificates are listed' \
        watch ours storeutl -noout -certs pkcs11:token=demo
    equal 607 "$(grep -c ': Certificate$' stdout)"
    except_cloudhsm "$why" report $? 'all 607 of them'
    called 3 C_FindObjects
    except_cloudhsm "$why" report $? 'found by one call for 256'
    called 607 C_GetAttributeValue
    except_cloudhsm "$why" report $? 'and read by one for each'
}

# ---- searches and chains ----

found() { # name, storeutl's options
    shows "$1" ours storeutl -certs "${@:2}" pkcs11:token=demo &&
        grep -q 'Total found: 1$' shown.pem
}

serial() {
    plain x509 -in "$1.pem" -noout -serial | sed s/serial=/0x/
}

test_searches() {
    local name

    for name in root middle p256; do
        check "storeutl -subject finds $name" found "$name" -subject "/CN=$name"
        check "storeutl -alias finds $name" found "$name" -alias "$name"
    done
    check 'storeutl -issuer -serial finds middle' \
        found middle -issuer /CN=root -serial "$(serial middle)"
    check 'storeutl -issuer -serial finds root' \
        found root -issuer /CN=root -serial "$(serial root)"
    check 'storeutl -subject finds nothing, and that is no error' \
        ours storeutl -certs -subject /CN=nobody pkcs11:token=demo
    # 3.0 prints "Total found: 0", 3.5 nothing.
    mkdir nothing
    plain storeutl -certs -subject /CN=nobody nothing | cmp - stdout &&
        [ ! -s stderr ]
    report $? 'and the same is said as of an empty directory'
    refute 'storeutl -fingerprint is refused' ours storeutl -certs \
        -fingerprint 00112233 pkcs11:token=demo
}

test_chains() {
    local uri

    for uri in pkcs11:token=demo 'pkcs11:token=demo;type=cert'; do
        check "verify -CAstore $uri builds a chain of two" \
            ours verify -CAstore "$uri" leaf.pem
        check "verify -CAstore $uri with no more than it needs" \
            ours verify -CAstore "$uri" middle.pem
    done
    check 'verify -untrusted from the token' ours verify -no-CAfile \
        -no-CApath -no-CAstore -trusted root.pem \
        -untrusted "$(cert middle)" leaf.pem
    check 'verify says which issuer is not there' says \
        'unable to get local issuer' ours verify -no-CAfile -no-CApath \
        -CAstore 'pkcs11:token=demo' "$T/p384.pem"
    plain cms -sign -binary -md sha256 -in doc -signer leaf.pem -inkey leaf.key \
        -outform DER -out out
    check 'cms -verify -CAstore' ours cms -verify -binary -inform DER -in out \
        -content doc -no-CAfile -no-CApath -CAstore pkcs11:token=demo \
        -purpose any -out content
    cmp content doc
    report $? 'and the content is the one that was signed'
    check 'cms -verify -CAstore refuses a signature of somebody else' \
        says 'certificate verify error' ours cms -verify -binary -inform DER \
        -in out -content doc -no-CAfile -no-CApath \
        -CAstore 'pkcs11:token=second' -purpose any -out content
    plain cms -sign -binary -md sha256 -in doc -signer leaf.pem -inkey leaf.key \
        -certfile middle.pem -outform DER -out out
    check 'the middle of the chain may come with the signature' \
        ours cms -verify -binary -inform DER -in out -content doc -no-CAfile \
        -no-CApath -CAstore 'pkcs11:token=demo;object=root' -purpose any \
        -out content
}

copy_token store.d
configure "pkcs11-module-token-pin = $DEMO_PIN"
check 'make a chain of certificates' make_chain
check 'write certificates to the token' write_certificates
test_uris
test_files
test_logins
test_lists
test_searches
test_chains
test_many
finish
