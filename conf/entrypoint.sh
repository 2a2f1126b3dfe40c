#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What the image of conf/Containerfile starts: hsmsignd, with the arguments that
# the container is given.
#
# With SoftHSM, the default, the first start makes a token, a key and its
# certificate, in the volume; each later start finds them there.  HSMSIGND_SUBJECT
# is the certificate's subject: /CN=Signer.
# With any other HSM_MODULE there is no such thing: its keys are made by whoever
# is in charge of them (hsmsign keygen, csr).
set -eu
state=/var/lib/hsmsignd
softhsm=/usr/lib/softhsm/libsofthsm2.so

fail() {
    echo "hsmsignd-entrypoint: $*" >&2
    exit 1
}

read_pin() {
    pin=${HSM_PIN:-}
    [ -n "$pin" ] || [ -z "${HSM_PIN_FILE:-}" ] || read -r pin < "$HSM_PIN_FILE" || [ -n "$pin" ]
    [ -n "$pin" ] || fail 'HSM_PIN or HSM_PIN_FILE has to give the PIN'
}

# Complete, or not there: it gets its name when the rest is done.  softhsm2-util
# takes PINs from its arguments or a terminal only; the security officer's is not
# needed again.
make_token() {
    read_pin
    rm -rf $state/new
    mkdir $state/new
    echo "directories.tokendir = $state/new" > $state/new.conf
    SOFTHSM2_CONF=$state/new.conf softhsm2-util --init-token --free --label hsmsignd \
        --pin "$pin" --so-pin "$(openssl rand -hex 16)" > /dev/null ||
        fail 'SoftHSM made no token: a PIN has 4 to 255 characters'
    mv $state/new $state/tokens
    rm $state/new.conf
}

# The signer's key and that of a CA of its own, which stays in the token as well;
# trust its certificate, ca.pem, to trust what is signed.
make_certificates() {
    rm -f $state/*.new
    ca=$(new_key ca)
    OPENSSL_CONF=/usr/local/share/hsmsign/openssl-softhsm.cnf
    export OPENSSL_CONF
    [ -s $state/ca.pem ] || {
        openssl req -x509 -config /etc/ssl/openssl.cnf -extensions v3_ca -days 7300 \
            -subj '/CN=hsmsignd CA' -key "$ca" -out $state/ca.pem.new
        mv $state/ca.pem.new $state/ca.pem
    }
    hsmsign csr --key "$(new_key signer)" --subject "${HSMSIGND_SUBJECT:-/CN=Signer}" --out $state/csr.new
    openssl x509 -req -in $state/csr.new -copy_extensions copyall -days 3650 \
        -CA $state/ca.pem -CAkey "$ca" -out $state/cert.pem.new
    rm $state/csr.new
    mv $state/cert.pem.new $state/cert.pem
    unset OPENSSL_CONF
}

new_key() { # LABEL
    hsmsign keygen --token 'pkcs11:token=hsmsignd' --type rsa:3072 --label "$1" --if-missing
}

# Something else than the service, to look around.
case ${1:-} in
'' | -*) ;;
*) exec "$@" ;;
esac
if [ "$HSM_MODULE" = $softhsm ] && [ -z "${HSM_KEY:-}${SIGNING_SERVICE_PROFILES:-}" ]; then
    umask 077
    [ -w $state ] || fail "user $(id -u) cannot write to $state: see the volume's owner"
    [ -d $state/tokens ] || make_token
    [ -s $state/cert.pem ] || make_certificates
    export HSM_KEY='pkcs11:token=hsmsignd;object=signer;type=private'
    export HSM_CERT="${HSM_CERT:-$state/cert.pem}" HSM_CHAIN="${HSM_CHAIN:-$state/ca.pem}"
fi
exec hsmsignd "$@"
