#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The matrix: every openssl command that signs x kinds of signatures x ways to
# name the key x what the token knows of the key's public half.
#
# Each cell is first tried with a software key, in this run, and only what
# openssl can do with that is asked of the token.  What openssl cannot do with
# any key has to be in the table of what it cannot, with the reason that it
# gives: a mistake in this test must not pass for one.  The same holds for what
# cannot work without a public half.
#
# Verified by openssl without hsmsign, and by GnuTLS, PyCryptodome or
# python-ecdsa.  With HSMSIGN_RESULTS=FILE one line per cell is appended there,
# separated by tabs: program, version, kind, way, public half, result (works,
# FAILS, limit, "OpenSSL cannot", skipped), and who verified it, or the reason.
# shellcheck disable=SC2034 # matrix_cells.sh reads a cell's variables
# shellcheck disable=SC2317 # functions are called through run
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/matrix_cells.sh
. "$HSMSIGN_SOURCE/test/integration/matrix_cells.sh" || exit 1
need certtool ocsptool gnutls-cli gnutls-serv pkcs11-tool softhsm2-util
/usr/bin/python3 -c 'import Cryptodome, ecdsa' ||
    bail 'python3-pycryptodome or python3-ecdsa is not installed'

T=$HSMSIGN_TOKEN
results=${HSMSIGN_RESULTS:-/dev/null}
version=$(plain version | cut -d ' ' -f 2)
declare -A count=()
peers=()

# ---- the tables ----

# Functions in matrix_cells.sh, command.
commands=(
    'cms        cms -sign'
    'cms_cades  cms -sign -cades'
    'cms_noattr cms -sign -noattr'
    'smime      smime -sign'
    'ts         ts -reply'
    'ca         ca'
    'crl        ca -gencrl'
    'ocsp       ocsp -rkey'
    'cmp        cmp'
    'cmp_own    cmp, own key'
    'req        req -new'
    'x509       x509 -req'
    'dgst       dgst -sign'
    'pkeyutl    pkeyutl -sign'
    's_server   s_server'
    's_client   s_client'
)
# Type of key, PSS salt length, name.
kinds=(
    'rsa     -      RSA'
    'rsa     0      PSS, salt 0'
    'rsa     digest PSS, salt as the digest'
    'rsa     max    PSS, longest salt'
    'ec      -      EC'
    'ed25519 -      Ed25519'
    'ml-dsa  -      ML-DSA'
)
ways=(URI PEM)
halves=(public certificate neither)

# What openssl cannot do with a software key either: command, type and salt,
# way, and what it says.  What a release can, it has to do here, too.
openssl_cannot=(
    'smime|cmp|cmp_own   rsa0|rsadigest|rsamax *   Unknown .*'
    's_server|s_client   rsa0|rsamax           *   Unknown .*'
    'ts                  rsa0|rsadigest|rsamax *   Use -help .*'
    'ts                  *        URI calling fopen(file:'
    'cms|cms_cades       ed25519- *   invalid digest'
    'cms_noattr          ed25519- *   operation not supported for this [^:]*'
    'cms_noattr          ed25519- *   invalid eddsa instance [^:]*'
    'cms_noattr          ml-dsa-  *   provider signature not supported'
    'smime|ts   ed25519-|ml-dsa-  *   signing not supported [^:]*'
    'cmp|cmp_own         ed25519- *   unsupported key type'
    'dgst                ed25519- *   Key type not supported .*'
)
# What cannot be: command, type, half, how the cell counts, what is said.  What
# puts the public half into what it makes needs one; and 4.0 fetches a signature
# by the name ED25519, which is the default provider's, for any Ed25519 key.
limits=(
    'req        ed25519|ml-dsa neither limit          hsmsign-public-file'
    'cms_noattr ed25519        *       OpenSSL_cannot cms datafinal error'
)

# like TEXT PATTERN: whether it is one of a|b|*
like() {
    local pattern
    local -a patterns

    IFS='|' read -r -a patterns <<< "$2"
    for pattern in "${patterns[@]}"; do
        # shellcheck disable=SC2053 # a pattern
        [[ $1 != $pattern ]] || return 0
    done
    return 1
}

# ---- keys, certificates, peers ----

# Why there is no key of a type, in $missing.
look_for() {
    missing=
    [ "$1" = ml-dsa ] || return 0
    if ! plain genpkey -algorithm ML-DSA-65 -out /dev/null 2> /dev/null; then
        missing="OpenSSL $version has no ML-DSA"
    elif ! pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label cells \
        --list-mechanisms 2> stderr | grep -qiE 'ml-dsa|mechtype-0x1D,'; then
        missing='the token has no ML-DSA'
    fi
}

certificate() { # public key, name of the subject, extensions, file
    plain x509 -new -force_pubkey "$1" -subj "/CN=$2" -days 30 \
        -CA "$T/ca.pem" -CAkey "$T/ca.key" -extfile "$3" -out "$4"
}

# make_software NAME GENPKEY'S OPTION...: key, public key, two certificates
make_software() {
    plain genpkey -out "$1.key" -algorithm "${@:2}" &&
        plain pkey -in "$1.key" -pubout -out "$1.pub" &&
        certificate "$1.pub" "$1" any.ext "$1.pem" &&
        certificate "$1.pub" "$1" tsa.ext "$1.tsa.pem"
}

tool() {
    pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label cells --login \
        --pin 1234 "$@"
}

# import NAME ID HALF: the key onto the token, with that public half
import() {
    softhsm2-util --import "$1.key" --token cells --pin 1234 --label "$1" \
        --id "$2" || return 1
    [ "$3" = public ] ||
        tool --delete-object --type pubkey --label "$1" || return 1
    [ "$3" != certificate ] || {
        plain x509 -in "$1.pem" -outform DER -out "$1.der" &&
            tool --write-object "$1.der" --type cert --label "$1" --id "$2"
    }
}

make_keys() { # type, genpkey's options...
    local half id=${#made[@]}

    look_for "$1"
    [ -z "$missing" ] || return 0
    made+=("$1")
    for half in "${halves[@]}"; do
        id=$((id + 10))
        make_software "$1-$half" "${@:2}" && import "$1-$half" "$id" "$half" &&
            "$HSMSIGN" uri2pem "$(uri "$1-$half" cells)" > "$1-$half.uri" ||
            return 1
    done
}

make_token() {
    local -a made=()

    mkdir cells cells/tokens
    printf '%s\n' "directories.tokendir = $WORK/cells/tokens" \
        'objectstore.backend = file' 'log.level = ERROR' > cells/softhsm2.conf
    export SOFTHSM2_CONF=$WORK/cells/softhsm2.conf
    printf '%s\n' 'subjectAltName = DNS:localhost' \
        'basicConstraints = critical,CA:TRUE' 'subjectKeyIdentifier = hash' \
        'keyUsage = digitalSignature,nonRepudiation,keyCertSign,cRLSign' \
        > any.ext
    echo 'extendedKeyUsage = critical,timeStamping' > tsa.ext
    softhsm2-util --init-token --free --label cells --so-pin 87654321 \
        --pin 1234 &&
        make_keys rsa RSA -pkeyopt rsa_keygen_bits:2048 &&
        make_keys ec EC -pkeyopt ec_paramgen_curve:P-256 \
            -pkeyopt ec_param_enc:named_curve &&
        make_keys ed25519 ED25519 && make_keys ml-dsa ML-DSA-65
}

# Files of the same names and subjects, but not the signer's: see refuses.
make_wrong() {
    cp any.ext tsa.ext wrong
    cd wrong || return 1
    head -c 1000 /dev/urandom > doc
    printf 'Another letter.\r\n' > text
    make_software rsa-public RSA && make_software ec-public EC \
        -pkeyopt ec_paramgen_curve:P-256 &&
        plain ts -query -data doc -sha256 -cert -out query &&
        plain ocsp -issuer "$T/ca.pem" -serial 6 -no_nonce -reqout ocsp.req
    cd ..
}

# What the commands are given beside their key.
make_input() {
    printf '%s\n' '[req]' 'distinguished_name = name' '[name]' '[stamp]' \
        'serial = tsserial' 'default_policy = 1.2.3.4' 'digests = sha256' \
        'signer_digest = sha256' > programs.cnf
    head -c 100000 /dev/urandom > doc
    printf 'A letter.\r\n\r\nIts second paragraph.\r\n' > text
    printf 'V\t391231235959Z\t\t05\tunknown\t/CN=x\n' > ocsp.txt
    mkdir wrong
    make_wrong &&
        make_software server EC -pkeyopt ec_paramgen_curve:P-256 &&
        make_software client EC -pkeyopt ec_paramgen_curve:P-256 &&
        plain req -new -config programs.cnf -key client.key -subj /CN=client \
            -out client.csr &&
        plain ts -query -data doc -sha256 -cert -out query &&
        plain ocsp -issuer "$T/ca.pem" -serial 5 -no_nonce -reqout ocsp.req
}

# gnutls-serv does not choose a port, and stays if it does not get one:
# $gnutls_port, below those that the system chooses.
serve_gnutls() {
    local i

    for ((i = 0; i < 200; i++)); do
        if [ -z "$server" ]; then
            gnutls_port=$((20000 + RANDOM % 12000))
            : > gnutls_server.out
            gnutls-serv --port "$gnutls_port" --http \
                --x509certfile server.pem --x509keyfile server.key \
                --x509cafile "$T/ca.pem" --require-client-cert \
                --verify-client-cert >> gnutls_server.out 2>&1 < /dev/null &
            server=$!
        fi
        sleep 0.05
        if grep -q 'IPv4.*failed' gnutls_server.out; then
            kill "$server" && server=
        elif grep -q 'IPv4.*done' gnutls_server.out; then
            return 0
        fi
    done
    cat gnutls_server.out >&2
    return 1
}

# Two servers that want to see a client's certificate.
start_peers() {
    mkdir peers
    cd peers || return 1
    conf=/dev/null serve -cert ../server.pem -key ../server.key -Verify 1 \
        -CAfile "$T/ca.pem" -verify_return_error || return 1
    cd ..
    openssl_port=$port
    peers+=("$server")
    server=
    serve_gnutls || return 1
    peers+=("$server")
    server=
}

stop_peers() {
    [ ${#peers[@]} -eq 0 ] || kill "${peers[@]}" 2> /dev/null
    clean_up
}

# ---- cells ----

# attempt STEP...: of the cell; a server that one has started is stopped
attempt() {
    local step result=0

    verifier=
    rm -f out enrolled.pem verified
    for step in "$@"; do
        "${step}_$command" || {
            echo "# step: $step" >&2
            result=1
            break
        }
    done
    [ -z "$server" ] || stop_server
    return "$result"
}

# note RESULT WHY: a cell's line
note() {
    count[$1]=$((${count[$1]:-0} + 1))
    printf '%s\t' "openssl $title" "$version" "$kind" "$way" "$half" "$1" \
        >> "$results"
    printf '%s\n' "$2" >> "$results"
}

# Why openssl cannot, in $reason, if the table knows of it.
cannot() {
    local row names types row_way pattern

    for row in "${openssl_cannot[@]}"; do
        read -r names types row_way pattern <<< "$row"
        if like "$command" "$names" && like "$type$salt" "$types" &&
            like "$way" "$row_way"; then
            reason=$(grep -aoh -m 1 -e "$pattern" stdout stderr)
            [ -z "$reason" ] || return 0
        fi
    done
    reason='a software key fails, too'
    return 1
}

# A software key by the same way: 0 if openssl can.
software() {
    local result

    half=public
    name=$type-$half
    cell_conf=/dev/null
    case $way in
    URI) key=file:$WORK/$name.key ;;
    PEM) key=$name.key ;;
    esac
    run attempt sign verify
    [ "$status" -ne 0 ] || return 0
    result='OpenSSL cannot'
    cannot || result=FAILS
    for half in "${halves[@]}"; do
        note "$result" "$reason"
    done
    if [ "$result" = FAILS ]; then
        report 1 "openssl $title, $kind, $way: a software key signs"
    else
        skip "openssl $title, $kind, $way" "$result: $reason"
    fi
    return 1
}

skip() { # sentence, reason
    test_count=$((test_count + 1))
    echo "ok $test_count - $1 # SKIP $2"
}

# limited: whether the cell is one of the limits: $limit and $limit_reason
limited() {
    local row names types row_half

    for row in "${limits[@]}"; do
        read -r names types row_half limit limit_reason <<< "$row"
        like "$command" "$names" && like "$type" "$types" &&
            like "$half" "$row_half" && return 0
    done
    return 1
}

# hardware: one cell
hardware() {
    local sentence="openssl $title, $kind, $way, $half" by limit limit_reason
    local -a steps=(sign verify other)

    name=$type-$half
    cell_conf=$conf
    case $way in
    URI) key=$(uri "$name" cells) ;;
    PEM) key=$name.uri ;;
    esac
    # Nothing else in Debian verifies it.
    [ "$type" != ml-dsa ] || steps=(sign verify)
    run attempt "${steps[@]}"
    if limited; then
        [ "$status" -ne 0 ] && grep -q -e "$limit_reason" stderr
        status=$?
        report "$status" "$sentence: refused, $limit_reason"
        [ "$status" -ne 0 ] || note "${limit/_/ }" "$limit_reason"
    else
        by="openssl${verifier:+, $verifier}"
        [ "$status" -ne 0 ] || sentence+=": $by"
        report "$status" "$sentence"
        [ "$status" -ne 0 ] || note works "$by"
    fi
    [ "$status" -eq 0 ] || note FAILS "$(tail -n 2 stderr | tr '\n\t' '  ')"
}

# refuses STEP: of what was just made, with another document and another key
refuses() {
    cp out wrong/out && cd wrong && ! "$1_$command"
    status=$?
    cd "$WORK" || exit 1
    return "$status"
}

# A verifier that is content with everything would prove nothing.  Both kinds
# of other implementations have their turn: EC is for GnuTLS, salts are not.
# Of TLS nothing is left to show, of CMP what was sent.  GnuTLS is not asked
# whose key is in a request, nor what was stamped.
suspicion() {
    local step
    local -a steps=(verify other)

    case $command,$type$salt,$way,$half in
    s_*) return ;;
    cmp*,ec-,PEM,public) steps=(other) ;;
    req,ec-,PEM,public | ts,ec-,PEM,public) steps=(verify) ;;
    *,ec-,PEM,public | *,rsa0,PEM,public) ;;
    *) return ;;
    esac
    for step in "${steps[@]}"; do
        check "openssl $title, $kind, to $step takes its own signature only" \
            refuses "$step"
    done
}

skip_kind() {
    for half in "${halves[@]}"; do
        for way in "${ways[@]}"; do
            note skipped "$missing"
        done
    done
    skip "openssl $title, $kind" "$missing"
}

matrix() {
    local row

    for kind_row in "${kinds[@]}"; do
        read -r type salt kind <<< "$kind_row"
        look_for "$type"
        cms_digest=sha256
        # RFC 8419, RFC 9882
        case $type in ed25519 | ml-dsa) cms_digest=sha512 ;; esac
        for row in "${commands[@]}"; do
            read -r command title <<< "$row"
            if [ -n "$missing" ]; then
                skip_kind
                continue
            fi
            for way in "${ways[@]}"; do
                software || continue
                for half in "${halves[@]}"; do
                    hardware
                    suspicion
                done
            done
        done
    done
}

trap stop_peers EXIT
check 'make the token, keys and certificates' make_token
[ "$status" -eq 0 ] || finish
check 'make what is signed' make_input
check 'start the peers' start_peers
make_conf openssl.cnf 'pkcs11-module-token-pin = 1234'
matrix
for result in works limit FAILS 'OpenSSL cannot' skipped; do
    echo "# cells: ${count[$result]:-0} $result"
done
finish
