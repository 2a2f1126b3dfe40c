#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Configurations: those that this project ships, one that was written for
# pkcs11-provider, any name for the provider, none at all but the environment;
# the log that they ask for; and several users of one PKCS #11 library.
# shellcheck disable=SC2016,SC2317 # openssl.cnf's $; functions run by check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need stat

T=$HSMSIGN_TOKEN
PIN=$(cat "$T/second.pin") # looks like CloudHSM's, and like nothing else
KEY='pkcs11:token=second;object=rsa2048;type=private'
export HSMSIGN_SHIM_MODULE=$SOFTHSM2_MODULE HSMSIGN_SHIM_LOG=$WORK/calls
head -c 1000 /dev/urandom > doc
cp "$T/second.pin" pin
chmod 600 pin

signs() {
    rm -f sig
    ours dgst -sha256 -sign "$KEY" -out sig doc &&
        plain dgst -sha256 -verify "$T/rsa2048.pub" -signature sig doc
}

says() {
    "${@:2}" 2> message && return 1
    cat message >&2
    grep -qF -e "$1" message
}

with() { # VARIABLE=VALUE, command
    (
        export "${1?}"
        "${@:2}"
    )
}

# ---- the files that are shipped ----

# Adapt a file where its comments say so; each line has to be there.
adapt() { # file, PKCS #11 module
    local system

    system=$(plain version -d | sed 's/.*"\(.*\)"/\1/')/openssl.cnf
    cp "$HSMSIGN_SOURCE/conf/$1" shipped.cnf &&
        replace "^\.include /etc/ssl/openssl\.cnf\$" ".include $system" &&
        replace '^# module = .*' "module = $HSMSIGN_PROVIDER" &&
        replace '^pkcs11-module-path = .*' "pkcs11-module-path = $2" &&
        replace '^\(# \)*pkcs11-module-token-pin = file:.*' \
            "pkcs11-module-token-pin = file:$WORK/pin"
}

replace() {
    equal 1 "$(grep -c -- "$1" shipped.cnf)" && sed -i "s|$1|$2|" shipped.cnf
}

active() { # hsmsign's name there: only it and default are, with all they say
    ours list -providers > providers &&
        equal "$(printf '%s\n' "  $1" '  default' | sort)" \
            "$(grep '^  [^ ]' providers | sort)" &&
        equal 2 "$(grep -c 'status: active' providers)" &&
        grep -q 'name: hsmsign' providers &&
        equal 2 "$(grep -c 'version: [0-9]' providers)" && [ ! -s stderr ]
}

signers_certificate() {
    ours req -x509 -key "$KEY" -subj '/CN=Signer' -days 30 -out cert.pem &&
        plain verify -check_ss_sig -partial_chain -CAfile cert.pem cert.pem &&
        plain x509 -in cert.pem -noout -text > text &&
        plain x509 -in cert.pem -noout -ext basicConstraints,keyUsage > ext &&
        grep -q 'Version: 3 ' text && grep -q 'CA:FALSE' ext &&
        grep -qx ' *Digital Signature, Non Repudiation' ext
}

signers_request() {
    ours req -new -key "$KEY" -subj '/CN=Signer' -out request.pem &&
        plain req -in request.pem -verify -noout -text > text &&
        grep -q 'CA:FALSE' text &&
        grep -qx ' *Digital Signature, Non Repudiation' text
}

signs_cms() {
    ours cms -sign -binary -md sha256 -in doc -signer cert.pem -inkey "$KEY" \
        -outform DER -out cms &&
        plain cms -verify -binary -inform DER -in cms -content doc \
            -CAfile cert.pem -partial_chain -purpose any -out verified
}

# Options that stand in comments are meant to be used.
uncommented() {
    cp "$T/rsa2048.pem" certificates.pem
    [ "$(grep -c '^# *\(pkcs11\|hsmsign\)-' shipped.cnf)" -ge 2 ] &&
        sed -i -e 's/^# *\(\(pkcs11\|hsmsign\)-[a-z-]* = \)/\1/' \
            -e "s|/etc/hsmsign/|$WORK/|" shipped.cnf &&
        signs
}

test_shipped() { # file, name of the PKCS #11 module
    ln -sf "$SOFTHSM2_MODULE" "$2"
    check "$1 can be adapted as its comments say" adapt "$1" "$WORK/$2"
    conf=$WORK/shipped.cnf
    check "$1: default and hsmsign are active" active hsmsign
    check "$1: dgst -sign" signs
    check "$1: req -x509 makes a v3 certificate for a signer, no CA" \
        signers_certificate
    check "$1: req -new asks for the same" signers_request
    check "$1: cms -sign" signs_cms
    check "$1: the options in comments are right" uncommented
    echo 'not the PIN' > pin
    check "$1: a PIN without a colon is $3" says "$4" signs
    cp "$T/second.pin" pin
}

# ---- other people's files ----

# All options that pkcs11-provider has, as its manual page writes them.
write_pkcs11_provider_conf() {
    cat > theirs.cnf << CONF
openssl_conf = openssl_init

[openssl_init]
providers = provider_sect

[provider_sect]
default = default_sect
pkcs11 = pkcs11_sect

[default_sect]
activate = 1

[pkcs11_sect]
identity = pkcs11
module = /usr/lib/ossl-modules/pkcs11.so
pkcs11-module-path = $HSMSIGN_SHIM
pkcs11-module-token-pin = file:$WORK/pin
pkcs11-module-allow-export = 0
pkcs11-module-assume-fips = true
pkcs11-module-block-operations = digest
pkcs11-module-cache-keys = true
pkcs11-module-cache-pins = cache
pkcs11-module-cache-sessions = 5
pkcs11-module-encode-provider-uri-to-pem = true
pkcs11-module-load-behavior = early
pkcs11-module-login-behavior = auto
pkcs11-module-quirks = no-deinit no-operation-state
activate = 1
CONF
}

test_pkcs11_provider() {
    write_pkcs11_provider_conf
    sed "s|^module = .*|module = $HSMSIGN_PROVIDER|" theirs.cnf > moved.cnf
    conf=$WORK/moved.cnf
    equal '2' "$(diff theirs.cnf moved.cnf | grep -c '^[<>]')"
    report $? "pkcs11-provider's file moves over by one line"
    check "pkcs11-provider's file: the providers are active" \
        active pkcs11
    check "pkcs11-provider's file: dgst -sign" signs
    : > calls
    check "pkcs11-provider's file: no URI is named" ours version
    check 'load-behavior = early calls C_Initialize then, and no more' \
        equal C_Initialize "$(grep -v C_GetFunctionList calls | cut -d ' ' -f 1)"
    check 'assume-fips = true: found with fips=yes' \
        ours pkey -in "$KEY" -noout -propquery fips=yes
    sed -i 's/assume-fips = true/assume-fips = false/' moved.cnf
    refute 'assume-fips = false: not found with fips=yes' \
        ours pkey -in "$KEY" -noout -propquery fips=yes
}

# ---- names, and none ----

test_names() {
    local name

    for name in hsmsign pkcs11 my-own_Provider.1; do
        make_conf named.cnf "pkcs11-module-token-pin = file:$WORK/pin"
        sed -i "s/^hsmsign = /$name = /" named.cnf
        conf=$WORK/named.cnf
        check "the provider may be called $name" active "${name##*.}"
        check "called $name it signs" signs
        sed -i 's/token-pin/token-pinn/' named.cnf
        check "called $name it finds a misspelt option" \
            says pkcs11-module-token-pinn signs
    done
    make_conf part.cnf "pkcs11-module-token-pinn = file:$WORK/pin"
    echo ".include $WORK/part.cnf" > named.cnf
    check 'a misspelt option in an included file is found' \
        says pkcs11-module-token-pinn signs
}

signs_unconfigured() {
    rm -f sig
    plain dgst -provider-path "$(dirname "$HSMSIGN_PROVIDER")" \
        -provider "$(basename "$HSMSIGN_PROVIDER" .so)" -provider default \
        -sha256 -sign "$KEY" -out sig doc &&
        plain dgst -sha256 -verify "$T/rsa2048.pub" -signature sig doc
}

test_environment() {
    make_conf silent.cnf
    sed -i '/^pkcs11-module-path/d' silent.cnf
    conf=$WORK/silent.cnf
    export HSM_MODULE=$SOFTHSM2_MODULE HSM_PIN=$PIN
    check 'HSM_MODULE and HSM_PIN serve where the configuration is silent' signs
    check 'they serve without any configuration' signs_unconfigured
    conf=$WORK/silent.cnf
    check 'HSM_MODULE is named if it is wrong' with HSM_MODULE=/gone/hsm.so \
        says /gone/hsm.so signs
    make_conf named.cnf
    conf=$WORK/named.cnf
    check 'the configuration goes before HSM_MODULE' \
        with HSM_MODULE=/gone/hsm.so signs
    unset HSM_MODULE HSM_PIN
}

# ---- the log ----

LINE='^20[0-9-]{8}T[0-9:.]{12}Z hsmsign\[[0-9]+/[0-9]+\] debug: '
RESULT='[0-9]+\.[0-9]{3} ms CKR_[A-Z_]+ \((0x[0-9a-f]+)\)'

# The log has the calls that the module in front of SoftHSM saw, each a line.
logged_as_called() {
    sed -nE "s#$LINE(C_[A-Za-z]*) $RESULT\$#\1 \2#p" "$1" > logged
    grep -v '^C_GetFunctionList' calls | cut -d ' ' -f 1,2 > called
    [ -s logged ] && diff called logged >&2
}

no_secrets() { # neither the PIN, nor its quoted or percent-encoded parts
    ! grep -F -e "$PIN" -e 'pa$s' -e 'w;&?rd' -e crypto_user -- "$1" >&2
}

test_log() {
    make_conf log.cnf "pkcs11-module-path=$HSMSIGN_SHIM" \
        "pkcs11-module-token-pin = file:$WORK/pin"
    conf=$WORK/log.cnf
    : > calls
    check 'sign with HSMSIGN_LOG=file:PATH,debug' \
        with "HSMSIGN_LOG=file:$WORK/log,debug" signs
    check 'each PKCS #11 call is one line, with its time and CK_RV' \
        logged_as_called log
    check 'the log does not have the PIN' no_secrets log
    check 'the log is for its owner only' equal 600 "$(stat -c %a log)"
    : > calls
    check 'a second process appends' with "HSMSIGN_LOG=file:$WORK/log,debug" \
        signs
    equal "$((2 * $(grep -vc C_GetFunctionList calls)))" "$(grep -c ' ms ' log)"
    report $? 'both are there'
    check 'without a level nothing is logged when all is well' \
        with "HSMSIGN_LOG=file:$WORK/quiet" signs
    check 'that log is there, and empty' equal 0 "$(wc -c < quiet)"
    chmod 644 pin
    check 'sign with a PIN file that all may read' \
        with "HSMSIGN_LOG=file:$WORK/quiet" signs
    chmod 600 pin
    check 'that is logged as a warning' grep "warning: .*$WORK/pin" quiet
    check 'syslog that is not there is no error' \
        with HSMSIGN_LOG=syslog,debug signs
    echo "hsmsign-log = file:$WORK/option,debug" >> log.cnf
    : > calls
    check 'sign with the option hsmsign-log' signs
    check 'the option logs as the variable does' logged_as_called option
    rm option
    check 'sign with both' with "HSMSIGN_LOG=file:$WORK/variable,debug" signs
    [ -s variable ] && [ ! -e option ]
    report $? 'the variable goes before the option'
    # What openssl writes to standard output has to stay what it is.
    with HSMSIGN_LOG=stderr,debug ours dgst -sha256 -sign "$KEY" doc \
        > stdout.sig 2> stderr.log
    plain dgst -sha256 -verify "$T/rsa2048.pub" -signature stdout.sig doc \
        > stdout && [ "$(grep -cE "$LINE" stderr.log)" -ge 9 ]
    report $? 'a log on standard error leaves standard output alone'
}

# ---- several users of one library ----

# Both have the same shim, by two paths; the process initialises it once.
two_providers() {
    ln -sf "$HSMSIGN_SHIM" again.so
    make_conf two.cnf "pkcs11-module-path=$HSMSIGN_SHIM" \
        "pkcs11-module-token-pin = file:$WORK/pin" \
        'pkcs11-module-load-behavior = early' \
        '[other_section]' 'activate = 1' "module = $HSMSIGN_PROVIDER" \
        "pkcs11-module-path = $WORK/again.so" \
        'pkcs11-module-load-behavior = early'
    sed -i 's/^hsmsign = .*/&\nother = other_section/' two.cnf
    conf=$WORK/two.cnf
    ours list -providers > providers &&
        equal 3 "$(grep -c 'status: active' providers)" || return 1
    : > calls
    signs && equal 1 "$(grep -c ^C_Initialize calls)" &&
        equal 1 "$(grep -c ^C_Login calls)"
}

# Each with a copy of the token: see copy_token.
many_processes() {
    local i
    local -a pids=()

    for ((i = 0; i < 16; i++)); do
        copy_token "token.$i"
        HSMSIGN_LOG=file:$WORK/many,debug ours dgst -sha256 -sign "$KEY" \
            -out "sig.$i" doc &
        pids+=($!)
    done
    for i in "${!pids[@]}"; do
        wait "${pids[i]}" || return 1
        plain dgst -sha256 -verify "$T/rsa2048.pub" -signature "sig.$i" doc ||
            return 1
    done
    equal 16 "$(grep -c 'debug: C_Sign ' many)" &&
        equal 0 "$(grep -cvE "$LINE" many)"
}

# With the provider preferred for everything libssl takes its groups and the keys
# of a handshake from it, too.
shakes_hands() { # object, s_client's options
    serve -cert "$T/$1.pem" -key "$(uri "$1")" &&
        OPENSSL_CONF=$conf openssl s_client -connect "127.0.0.1:$port" \
            -CAfile "$T/ca.pem" -verify_return_error "${@:2}" < /dev/null &&
        handshake "${@:2}" && stop_server
}

test_default_properties() {
    local group version

    make_conf preferred.cnf pkcs11-module-token-pin=1234
    sed -i -e 's/^\[init\]/&\nalg_section = algorithms/' preferred.cnf
    printf '%s\n' '[algorithms]' 'default_properties = ?provider=hsmsign' \
        >> preferred.cnf
    conf=$WORK/preferred.cnf
    for group in X25519 P-256 P-384 P-521; do
        for version in -tls1_2 -tls1_3; do
            check "default_properties: a handshake, $version, $group" \
                shakes_hands rsa2048 $version -groups $group
        done
    done
    check 'default_properties: a handshake with an EC key' \
        shakes_hands p256 -tls1_2 -groups P-256
}

test_shipped openssl-softhsm.cnf libsofthsm2.so wrong CKR_PIN_INCORRECT
test_shipped openssl-cloudhsm.cnf libcloudhsm_pkcs11.so 'not sent' USER:PASSWORD
test_pkcs11_provider
test_names
test_environment
test_log
test_default_properties
check 'two providers share one library: one C_Initialize, one C_Login' \
    two_providers
conf=$WORK/log.cnf
check 'sixteen processes sign at once, with one log of whole lines' \
    many_processes
finish
