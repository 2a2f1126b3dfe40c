#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes what the tests share: SoftHSM tokens with keys whose software twins
# are at hand, a CA and certificates.  Nothing here depends on hsmsign.
#
#   make_token.sh DIR SOFTHSM_MODULE [PIN]
#
# In DIR:  softhsm2.conf, tokens/   token "demo" (PIN, else 1234), token "second"
#                                   (PIN in second.pin, like CloudHSM's)
#          ca.pem ca.key            who signed the certificates
#          NAME.key NAME.pub NAME.pem   private key, public key, certificate
#
# NAME (also CKA_LABEL) is rsa2048 rsa3072 rsa4096 p256 p384 p521 p224 secp256k1
# brainpool256 brainpool384 brainpool512 ed25519 ed448, and
#   p256-bare      the private object alone on the token
#   p256-cert      the private object and its certificate
#   p256-label     the public object has another CKA_ID but the same label
#   twin           two private keys with one label
# and, made on the token, with NAME.pub alone:
#   rsa-pss        CKA_ALLOWED_MECHANISMS is CKM_RSA_PKCS_PSS
set -eu
dir=$1 module=$2 pin=${3:-1234}
rm -rf "$dir"
mkdir -p "$dir/tokens"
cd "$dir"
export SOFTHSM2_CONF=$dir/softhsm2.conf
export OPENSSL_CONF=/dev/null
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' \
    "$dir/tokens" > softhsm2.conf
printf '%s\n' "crypto_user:pa\$s #'\"%w;&?rd" > second.pin
chmod 600 second.pin

quiet() {
    "$@" > log.txt 2>&1 || {
        cat log.txt >&2
        exit 1
    }
}

init() { quiet softhsm2-util --init-token --free --label "$1" --so-pin 87654321 --pin "$2"; }

import() { # token pin name id
    quiet softhsm2-util --import "$3.p8" --token "$1" --pin "$2" --label "$3" --id "$4"
}

tool() { quiet pkcs11-tool --module "$module" --token-label demo --login --pin "$pin" "$@"; }

make_key() { # name algorithm options...
    local name=$1
    shift
    quiet openssl genpkey -out "$name.p8" -algorithm "$@"
    cp "$name.p8" "$name.key"
    quiet openssl pkey -in "$name.key" -pubout -out "$name.pub"
    quiet openssl x509 -new -force_pubkey "$name.pub" -subj "/CN=$name" -days 3650 \
        -CA ca.pem -CAkey ca.key -extfile ext.cnf -out "$name.pem"
}

rsa() { make_key "rsa$1" RSA -pkeyopt "rsa_keygen_bits:$1"; }
ec() { make_key "$1" EC -pkeyopt "ec_paramgen_curve:$2" -pkeyopt ec_param_enc:named_curve; }

printf '%s\n' 'basicConstraints=CA:FALSE' 'keyUsage=digitalSignature,nonRepudiation' \
    'subjectKeyIdentifier=hash' 'authorityKeyIdentifier=keyid' > ext.cnf
quiet openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 \
    -subj '/CN=hsmsign test CA' -config /etc/ssl/openssl.cnf -extensions v3_ca

rsa 2048
rsa 3072
rsa 4096
ec p256 P-256
ec p384 P-384
ec p521 P-521
make_key ed25519 ED25519
make_key ed25519-bare ED25519
make_key ed448 ED448
ec p224 P-224
ec secp256k1 secp256k1
ec brainpool256 brainpoolP256r1
ec brainpool384 brainpoolP384r1
ec brainpool512 brainpoolP512r1
ec p256-bare P-256
ec p256-cert P-256
ec p256-label P-256
ec twin P-256

init demo "$pin"
init second "$(cat second.pin)"
id=10
for name in rsa2048 rsa3072 rsa4096 p256 p384 p521 ed25519 p256-bare p256-cert p256-label; do
    import demo "$pin" "$name" $id
    id=$((id + 1))
done
import demo "$pin" ed25519-bare 20
id=50
for name in ed448 p224 secp256k1 brainpool256 brainpool384 brainpool512; do
    import demo "$pin" "$name" $id
    id=$((id + 1))
done
import demo "$pin" twin 30
import demo "$pin" twin 31
import second "$(cat second.pin)" rsa2048 10

tool --keypairgen --key-type rsa:2048 --label rsa-pss --id 40 \
    --allowed-mechanisms RSA-PKCS-PSS
tool --read-object --type pubkey --label rsa-pss --output-file rsa-pss.der
quiet openssl pkey -pubin -inform DER -in rsa-pss.der -out rsa-pss.pub
tool --delete-object --type pubkey --label p256-bare
tool --delete-object --type pubkey --label ed25519-bare
tool --delete-object --type pubkey --label p256-cert
quiet openssl x509 -in p256-cert.pem -outform DER -out p256-cert.der
tool --write-object p256-cert.der --type cert --label other --id 18
tool --delete-object --type pubkey --label p256-label
quiet openssl pkey -pubin -in p256-label.pub -outform DER -out p256-label.der
tool --write-object p256-label.der --type pubkey --label p256-label --id 77

# What test_cli.sh wants of the keys that it signs with.
mkdir cli
cp ca.pem cli/ca.pem
for pair in rsa:rsa2048 ec:p256 ed25519:ed25519; do
    printf 'pkcs11:token=demo;object=%s\n' "${pair#*:}" > "cli/${pair%:*}.uri"
    cp "${pair#*:}.pem" "cli/${pair%:*}.pem"
done
rm -f ./*.p8 ./*.der log.txt ext.cnf
touch made
