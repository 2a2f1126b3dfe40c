#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# TLS clients, unmodified, that prove themselves with a key on the token, and
# openvpn, which does it at both ends.
# shellcheck disable=SC2317 # functions are called through cell
# shellcheck source=test/integration/programs.sh
. "$HSMSIGN_SOURCE/test/integration/programs.sh" || exit 1

# ---- curl ----

# A server that insists on a certificate of the CA, and shows it.
asking_start() {
    conf=/dev/null start openssl s_server -accept "127.0.0.1:$port" -www \
        -cert "$T/p384.pem" -key "$T/p384.key" -CAfile "$T/ca.pem" \
        -Verify 3 -verify_return_error "$protocol"
}

# For a URI it makes a library context of its own, which reads no openssl.cnf:
# the provider is named by --engine, found among OpenSSL's modules, and told the
# rest by the environment.
curl_proves_itself() {
    local protocol engine=base
    local -a options

    options=(--cert "$cert" --key "$named")
    [ "$named" = "${named#pkcs11:}" ] || engine=hsmsign
    [ "$way" = PEM ] || options+=(--key-type PROV --engine "$engine")
    for protocol in -tls1_2 -tls1_3; do
        listening asking_start || return 1
        # Without the key nobody gets in.
        under curl -sS --cacert "$T/ca.pem" --resolve "p384:$port:127.0.0.1" \
            "https://p384:$port/" > cell/refused 2> cell/refused.err && return 1
        under env OPENSSL_MODULES="${HSMSIGN_PROVIDER%/*}" \
            HSM_MODULE="$SOFTHSM2_MODULE" HSM_PIN_FILE="$WORK/pin" \
            curl -sS --cacert "$T/ca.pem" --resolve "p384:$port:127.0.0.1" \
            "${options[@]}" "https://p384:$port/" > cell/page || return 1
        grep -q 'Subject: *CN *= *'"$key"'$' cell/page || {
            cat cell/page
            return 1
        }
        stop || return 1
    done
}

if subject curl curl --version; then
    for k in rsa2048 p256 p256-bare ed25519; do
        cell $k PEM curl_proves_itself
    done
    for k in rsa2048 p256; do
        cannot="SSL Engine 'base' not found" cell $k URI curl_proves_itself
    done
fi

# ---- openvpn ----

# openvpn_end CERTIFICATE KEY OPTION...
openvpn_end() {
    start openvpn --dev null --ifconfig-noexec --verb 3 --proto udp4 \
        --ca "$T/ca.pem" --cert "$1" --key "$2" --data-ciphers AES-256-GCM "${@:3}"
}

openvpn_server() {
    openvpn_end "$1" "$2" --tls-server --dh none --local 127.0.0.1 --lport "$port"
}

openvpn_client() {
    openvpn_end "$1" "$2" --tls-client --nobind --remote 127.0.0.1 "$port"
}

tested_server() {
    openvpn_server "$cert" "$named"
}

plain_server() {
    conf=/dev/null openvpn_server "$T/p384.pem" "$T/p384.key"
}

# Each names the other when it has verified that it has the certificate's key.
both_are_content() {
    ! alive || { grep -qF "[$key] Peer Connection Initiated" cell/server.log &&
        grep -qF '[p384] Peer Connection Initiated' cell/server.log; }
}

openvpn_connects() {
    listening tested_server 'link local .bound.' &&
        conf=/dev/null openvpn_client "$T/p384.pem" "$T/p384.key" &&
        until_true 30 both_are_content && alive && stop || return 1
    listening plain_server 'link local .bound.' && openvpn_client "$cert" "$named" &&
        until_true 30 both_are_content && alive
}

if subject openvpn openvpn --version; then
    for k in rsa2048 p256 p256-bare ed25519; do
        cell $k PEM openvpn_connects
    done
    for k in rsa2048 p256; do
        cannot='--key fails|Cannot load private key' cell $k URI openvpn_connects
    done
fi
finish
