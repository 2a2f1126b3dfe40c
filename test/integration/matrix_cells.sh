# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # kind, name, key and their like: test_matrix.sh's
# shellcheck disable=SC2317 # functions that a table calls
#
# What a cell of test_matrix.sh does, three functions per command:
#
#   sign_X    the command under test, with $key as its key; makes "out"
#   verify_X  openssl that has never heard of hsmsign
#   other_X   another implementation, named in $verifier
#
# A cell's variables:  type rsa, ec, ed25519 or ml-dsa;  salt a PSS salt length
# or "-";  name the key's files: $name.pem is its certificate, $name.pub its
# public key;  key what the command is told to sign with.

# The command under test; $cell_conf decides whether it knows of tokens.
program() {
    OPENSSL_CONF=$cell_conf timeout 30 setsid -w openssl "$@"
}

# pss OPTION: how the command is told of PSS goes to $options.  One that cannot
# be told says so by itself: its option is unknown.
pss() {
    options=()
    [ "$salt" = - ] ||
        options=("$1" rsa_padding_mode:pss "$1" "rsa_pss_saltlen:$salt")
}

# Ed25519 and ML-DSA take the document: no digest may be named.
digest_option() {
    options=()
    case $type in
    rsa | ec) options=("$@") ;;
    esac
}

# ---- other implementations ----

# What GnuTLS calls the signature.
gnutls_algorithm() {
    case $type$salt in
    rsa-) echo RSA-SHA256 ;;
    rsa*) echo RSA-PSS-SHA256 ;;
    ec-) echo ECDSA-SHA256 ;;
    ed25519-) echo EdDSA-Ed25519 ;;
    esac
}

# by_gnutls TEXT COMMAND...: it succeeds, prints the text, and the algorithm if
# it is one of those that print it
by_gnutls() {
    verifier=GnuTLS
    "${@:2}" > gnutls.out 2>&1 && grep -q -e "$1" gnutls.out && {
        ! grep -q 'Signature Algorithm:' gnutls.out ||
            grep -q "Signature Algorithm: $(gnutls_algorithm)\$" gnutls.out
    } && return
    cat gnutls.out >&2
    return 1
}

# second FORMAT TEXT GNUTLS... -- FILE [DOCUMENT]: GnuTLS where it takes the
# salt, PyCryptodome where a salt has to be looked at
second() {
    local form=$1 text=$2
    local -a words=()

    shift 2
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    case $salt in
    - | digest) by_gnutls "$text" "${words[@]}" || return 1 ;;
    esac
    [ "$salt" = - ] || by_python "$form" "${@:2}"
}

# by_python FORMAT FILE [DOCUMENT]
by_python() {
    verifier=${verifier:+$verifier, }PyCryptodome
    [ "$type" != ed25519 ] || verifier=python-ecdsa
    "$HSMSIGN_SOURCE/test/integration/verify_signature.py" "$1" "$name.pub" \
        "$salt" "${@:2}"
}

# ---- documents ----

sign_cms() {
    pss -keyopt
    program cms -sign -binary -md "$cms_digest" -in doc -signer "$name.pem" \
        -inkey "$key" -outform DER -out out "${options[@]}" "$@"
}

verify_cms() {
    plain cms -verify -binary -inform DER -in out -content doc \
        -CAfile "$T/ca.pem" -purpose any -out verified "$@" &&
        cmp doc verified
}

other_cms() {
    second cms 'Signature Algorithm' certtool --p7-verify --inder \
        --load-ca-certificate "$T/ca.pem" --load-data doc --infile out \
        -- out doc
}

sign_cms_cades() { sign_cms -cades; }
verify_cms_cades() { verify_cms -cades; }
other_cms_cades() { other_cms; }
sign_cms_noattr() { sign_cms -noattr; }
verify_cms_noattr() { verify_cms; }
other_cms_noattr() { other_cms; }

sign_smime() {
    pss -keyopt
    program smime -sign -md sha256 -in text -signer "$name.pem" \
        -inkey "$key" -out out "${options[@]}"
}

verify_smime() {
    plain smime -verify -in out -CAfile "$T/ca.pem" -purpose any \
        -out verified && cmp text verified
}

other_smime() {
    plain smime -pk7out -in out -out out.p7 &&
        second cms 'Signature Algorithm' certtool --p7-verify \
            --load-ca-certificate "$T/ca.pem" --load-data text \
            --infile out.p7 -- out.p7 text
}

sign_ts() {
    pss -sigopt
    echo 01 > tsserial
    program ts -reply -config programs.cnf -section stamp -queryfile query \
        -signer "$name.tsa.pem" -inkey "$key" -out out "${options[@]}"
}

verify_ts() {
    plain ts -verify -queryfile query -in out -CAfile "$T/ca.pem"
}

other_ts() {
    plain ts -reply -in out -token_out -out token.p7 2> /dev/null &&
        by_gnutls 'Signature Algorithm' certtool --p7-verify --inder \
            --load-ca-certificate "$T/ca.pem" --infile token.p7
}

sign_dgst() {
    local -a digest

    digest_option -sha256
    digest=("${options[@]}")
    pss -sigopt
    program dgst "${digest[@]}" -sign "$key" "${options[@]}" -out out doc
}

verify_dgst() {
    local -a digest

    digest_option -sha256
    digest=("${options[@]}")
    pss -sigopt
    plain dgst "${digest[@]}" -verify "$name.pub" "${options[@]}" \
        -signature out doc
}

other_dgst() { by_python raw out doc; }

sign_pkeyutl() {
    local -a digest

    digest_option -digest sha256
    digest=("${options[@]}")
    pss -pkeyopt
    program pkeyutl -sign -rawin "${digest[@]}" -inkey "$key" \
        "${options[@]}" -in doc -out out
}

verify_pkeyutl() {
    local -a digest

    digest_option -digest sha256
    digest=("${options[@]}")
    pss -pkeyopt
    plain pkeyutl -verify -rawin "${digest[@]}" -pubin -inkey "$name.pub" \
        "${options[@]}" -in doc -sigfile out
}

other_pkeyutl() { by_python raw out doc; }

# ---- certificates ----

# ca_with OPTION...: the key is a CA's whose certificate is its own
ca_with() {
    printf 'V\t391231235959Z\t\t05\tunknown\t/CN=x\n' > index.txt
    : > index.txt.attr
    echo 07 > serial
    printf '%s\n' '[ca]' 'default_ca = own' '[own]' 'database = index.txt' \
        'new_certs_dir = .' 'serial = serial' "certificate = $name.pem" \
        'default_md = default' 'policy = any' 'default_days = 10' \
        'default_crl_days = 10' '[any]' 'commonName = supplied' > ca.cnf
    pss -sigopt
    program ca -config ca.cnf -batch -keyfile "$key" "${options[@]}" "$@"
}

sign_ca() { ca_with -notext -in client.csr -out out; }

verify_ca() {
    plain verify -CAfile "$T/ca.pem" -untrusted "$name.pem" out
}

other_ca() {
    second signed 'The certificate is trusted' certtool --verify \
        --load-ca-certificate "$name.pem" --infile out -- out
}

sign_crl() { ca_with -gencrl -out out; }

# It leaves with 0 whatever it found.
verify_crl() {
    plain crl -in out -noout -CAfile "$name.pem" > verified 2>&1
    grep -q '^verify OK$' verified
}

other_crl() {
    second signed 'Verified' certtool --verify-crl \
        --load-ca-certificate "$name.pem" --infile out -- out
}

sign_x509() {
    pss -sigopt
    program x509 -req -in client.csr -CA "$name.pem" -CAkey "$key" \
        -set_serial 7 -days 3 -extfile /dev/null -out out "${options[@]}"
}

verify_x509() { verify_ca; }
other_x509() { other_ca; }

sign_req() {
    pss -sigopt
    program req -new -config programs.cnf -key "$key" -subj "/CN=$name" \
        -out out "${options[@]}"
}

# As with lists.  3.0 says it on standard error.
verify_req() {
    plain req -in out -verify -noout > verified 2>&1
    grep -q 'verify OK$' verified && plain req -in out -noout -pubkey > seen &&
        cmp seen "$name.pub"
}

other_req() {
    second signed 'Self signature: verified' certtool --crq-info \
        --infile out -- out
}

sign_ocsp() {
    local -a digest

    digest_option -rmd sha256
    digest=("${options[@]}")
    pss -rsigopt
    program ocsp -index ocsp.txt -CA "$T/ca.pem" -rsigner "$name.pem" \
        -rkey "$key" "${digest[@]}" -reqin ocsp.req -respout out -ndays 3 \
        "${options[@]}"
}

verify_ocsp() {
    plain ocsp -no_nonce -respin out -reqin ocsp.req \
        -issuer "$T/ca.pem" -serial 5 \
        -verify_other "$name.pem" -trust_other > verified 2>&1
    grep -q '^Response verify OK$' verified
}

other_ocsp() {
    second ocsp 'Verifying OCSP Response: Success' ocsptool \
        --verify-response --load-response out --load-signer "$name.pem" \
        -- out
}

# ---- CMP ----

# cmp_server PORT_FILE OPTION...: a CA that has never heard of hsmsign, for one
# exchange.  $server and $port are as serve leaves them.
cmp_server() {
    local i

    port=
    : > server.out
    OPENSSL_CONF=/dev/null timeout 30 openssl cmp -port 0 \
        -max_msgs 2 -srv_cert server.pem -srv_key server.key \
        -srv_trusted "$T/ca.pem" "$@" > server.out 2> server.err < /dev/null &
    server=$!
    for ((i = 0; i < 200; i++)); do
        port=$(sed -n 's/^ACCEPT .*:\([0-9][0-9]*\) .*$/\1/p' server.out)
        [ -z "$port" ] || return 0
        kill -0 "$server" 2> /dev/null || break
        sleep 0.05
    done
    stop_server
    return 1
}

# The client signs a request and a confirmation, and the server, a plain
# openssl, answers what it has verified.
cmp_exchange() { # certificate that the server gives, client's options...
    rm -f out out.1
    pss -sigopt
    cmp_server -rsp_cert "$1" || return 1
    program cmp -config '' -cmd cr -server "127.0.0.1:$port" -path pkix/ \
        -cert "$name.pem" -key "$key" -subject /CN=new \
        -srvcert server.pem -total_timeout 20 \
        -certout enrolled.pem -reqout 'out out.1' "${options[@]}" "${@:2}"
}

sign_cmp() {
    cmp_exchange server.pem -newkey server.key
}

# What the server printed is its verdict; the certificate is its consent.
verify_cmp() {
    plain x509 -in enrolled.pem -noout -pubkey > verified &&
        cmp verified "${1:-server.pub}" && [ -s out ] && [ -s out.1 ] &&
        ! grep -i error server.err
}

other_cmp() { by_python cmp out && verifier= && by_python cmp out.1; }

# The key asks for its own certificate: it also signs that it has itself.
sign_cmp_own() { cmp_exchange "$name.pem"; }
verify_cmp_own() { verify_cmp "$name.pub"; }
other_cmp_own() { other_cmp; }

# ---- TLS ----

# tls OPTION: the version and, with OPTION, the algorithm of the key's signature
tls() {
    case $type$salt in
    rsa-) options=(-tls1_2 "$1" RSA+SHA256) ;;
    rsadigest) options=(-tls1_3 "$1" rsa_pss_rsae_sha256) ;;
    rsa*) pss -keyopt ;;
    *) options=(-tls1_3) ;;
    esac
}

# What openssl 3.0, openssl 3.5, and GnuTLS call it.
tls_type() {
    case $type$salt in
    rsa-) echo 'RSA|rsa_pkcs1_sha256 RSA-SHA256' ;;
    rsadigest) echo 'RSA-PSS|rsa_pss_rsae_sha256 RSA-PSS-RSAE-SHA256' ;;
    ec-) echo 'ECDSA|ecdsa_secp256r1_sha256 ECDSA-SECP256R1-SHA256' ;;
    ed25519-) echo 'ed25519 EdDSA-Ed25519' ;;
    ml-dsa-) echo 'mldsa65 -' ;;
    esac
}

sign_s_server() {
    tls -sigalgs
    conf=$cell_conf serve -cert "$name.pem" -key "$key" "${options[@]}"
}

verify_s_server() {
    local openssl_name

    read -r openssl_name _ <<< "$(tls_type)"
    timeout 10 env OPENSSL_CONF=/dev/null openssl s_client \
        -connect "127.0.0.1:$port" -CAfile "$T/ca.pem" -verify_return_error \
        < /dev/null > verified &&
        grep -qE "^Peer signature type: ($openssl_name)\$" verified &&
        plain x509 -in verified -noout -pubkey > seen && cmp seen "$name.pub"
}

other_s_server() {
    local gnutls_name

    read -r _ gnutls_name <<< "$(tls_type)"
    by_gnutls "^- Description:.*($gnutls_name)" timeout 10 gnutls-cli \
        --x509cafile "$T/ca.pem" --verify-hostname localhost -p "$port" \
        127.0.0.1
}

# as_client PORT: asks for a page, which answers to those who signed
as_client() {
    tls -client_sigalgs
    printf 'GET / HTTP/1.0\r\n\r\n' |
        OPENSSL_CONF=$cell_conf timeout 10 setsid -w openssl s_client \
            -connect "127.0.0.1:$1" -ign_eof -CAfile "$T/ca.pem" \
            -verify_return_error -cert "$name.pem" -key "$key" \
            "${options[@]}" > out
}

sign_s_client() { as_client "$openssl_port"; }

verify_s_client() {
    local openssl_name

    read -r openssl_name _ <<< "$(tls_type)"
    grep -qa "Subject: CN=$name\$" out &&
        sed '1,/HTTP.* 200 /d' out > page &&
        grep -qaE "^Peer signature type: ($openssl_name)\$" page
}

other_s_client() {
    local gnutls_name

    verifier=GnuTLS
    read -r _ gnutls_name <<< "$(tls_type)"
    : > gnutls_server.out
    as_client "$gnutls_port" && cat gnutls_server.out >&2 &&
        grep -q "Client Signature: $gnutls_name\$" gnutls_server.out &&
        grep -q "Subject: CN=$name\$" gnutls_server.out
}
