#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What a person sees when it goes wrong: of each situation that the program
# fails, says in one reason of ours which function or rule it was, on which
# token, with which object, by which CK_RV, and what to do; and in all of them
# together, that no PIN is shown and nothing is written to standard output.
# shellcheck disable=SC2317 # functions are called through check and refute
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need pkcs11-tool softhsm2-util

T=$HSMSIGN_TOKEN
# Nothing else in an error message looks like these.
# shellcheck disable=SC2016 # the text itself
SECRETS='Right-PiN-5x|Wrong-PiN-7y|pa\$s|Other-PiN-9z'
PIN=Right-PiN-5x WRONG=Wrong-PiN-7y
! on_cloudhsm || PIN=crypto_user:$PIN WRONG=crypto_user:$WRONG
export HSMSIGN_SHIM_MODULE=$MODULE HSMSIGN_SHIM_LOG=$WORK/calls
export HSMSIGN_LOG=file:$WORK/log,debug
head -c 1000 /dev/urandom > doc
: > shown

copy_token errors.d
check 'give the token a PIN that can be looked for' pkcs11-tool \
    --module "$SOFTHSM2_MODULE" --token-label demo --login --pin "$DEMO_PIN" \
    --change-pin --new-pin "$PIN"
plain genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:512 -out tiny.p8 2> stderr
check 'put an RSA key of 512 bits on the token' softhsm2-util --import tiny.p8 \
    --token demo --pin "$PIN" --label tiny --id 60

with_environment() {
    (
        [ ${#environment[@]} -eq 0 ] || export "${environment[@]}"
        "$@"
    )
}

# One failure: $status, and what was said, in the file message.
attempt() {
    : > calls
    run with_environment "$@"
    cp stderr message
    # openssl itself shows the whole URI that it was given; 3.0 "could not read"
    # it, 3.5 and later "could not find" the key there.
    grep -v -e '^Could not read ' -e '^Could not find ' message >> shown
}

# Whether the last attempt failed as it should: with all of these texts.
says_all() {
    local text

    [ "$status" -ge 1 ] && [ "$status" -lt 124 ] || return 1
    [ ! -s stdout ] || return 1
    [ "$(grep -c :hsmsign: message)" -eq 1 ] || {
        echo 'there is not exactly one error of hsmsign' >> stderr
        return 1
    }
    for text in "$@"; do
        grep -qF -e "$text" message || {
            echo "it lacks: $text" >> stderr
            return 1
        }
    done
}

# fails SENTENCE OPTION... [-- COMMAND...]: without a command, openssl dgst
# signs with the key, named by its URI, and again by a file that wraps it
#
#   -k OBJECT  -t TOKEN  -u URI   the key; default: rsa2048 on demo
#   -o OPTION=VALUE               in openssl.cnf; without a PIN there, the
#                                 right one is added; -n: it is not
#   -v NAME=VALUE                 in the environment
#   -e TEXT                       is said
#   -f                            not by a file: it would not be written
fails() {
    local sentence=$1 key='' object=rsa2048 token=demo pin=yes file=yes option
    local -a options=() texts=()
    environment=()

    OPTIND=2
    while getopts k:t:u:o:v:e:nf option; do
        case $option in
        k) object=$OPTARG ;;
        t) token=$OPTARG ;;
        u) key=$OPTARG ;;
        o) options+=("$OPTARG") ;;
        v) environment+=("$OPTARG") ;;
        e) texts+=("$OPTARG") ;;
        n) pin=no ;;
        f) file=no ;;
        *) bail "fails: $*" ;;
        esac
    done
    shift $((OPTIND - 1))
    : "${key:=$(uri "$object" "$token")}"
    [[ "${options[*]-}" == *module-path* ]] ||
        options+=("pkcs11-module-path=$HSMSIGN_SHIM")
    [ $pin = no ] || [[ "${options[*]}" == *token-pin* ]] ||
        options+=("pkcs11-module-token-pin = $PIN")
    make_conf openssl.cnf "${options[@]}"
    if [ $# -gt 0 ]; then
        attempt "$@"
        says_all "${texts[@]}"
        report $? "$sentence"
        return
    fi
    attempt ours dgst -sha256 -sign "$key" -out sig doc
    says_all "${texts[@]}"
    report $? "$sentence"
    [ $file = yes ] || return
    "$HSMSIGN" uri2pem "$key" > key.pem || bail "uri2pem $key"
    attempt ours dgst -sha256 -sign key.pem -out sig doc
    says_all "${texts[@]}"
    report $? "$sentence, with a file that wraps the URI"
}

one_login() {
    equal 1 "$(grep -c ^C_Login calls)"
}

# ---- public keys and certificates ----

tells_public() { # object, variable...
    make_conf openssl.cnf "pkcs11-module-path=$HSMSIGN_SHIM" \
        "pkcs11-module-token-pin = $PIN"
    environment=("${@:2}")
    with_environment ours pkey -pubin -in "pkcs11:token=demo;object=$1" \
        -out told.pub && cmp told.pub "$HSMSIGN_TOKEN/$1.pub"
}

# Where openssl finds no public key, 3.5 and later want a private one, and say
# what is wrong with that.
test_public_keys() {
    local uri=pkcs11:token=demo malformed=HSMSIGN_SHIM_ATTR=0x181=0401

    if plain pkey -pubin -in "$HSMSIGN_TOKEN/p256.key" -noout 2> stderr; then
        check 'a missing public key is told by the private one' \
            tells_public p256-bare
        fails 'an ambiguous public key' -e 'several private keys match the URI' \
            -e 'token "demo"' -e object=twin -e id= \
            -- ours pkey -pubin -in "$uri;object=twin" -noout
        check 'a public key that is none is told by the private one' \
            tells_public p256 $malformed
        return
    fi
    fails 'a missing public key' -e 'no object matches the URI' \
        -e 'no public key' -e 'token "demo"' -e object=p256-bare -e id= \
        -- ours pkey -pubin -in "$uri;object=p256-bare" -noout
    fails 'an ambiguous public key' -e 'several objects match the URI' \
        -e 'one public key' -e 'token "demo"' -e object=twin -e id= \
        -- ours pkey -pubin -in "$uri;object=twin" -noout
    fails 'a public key that is none' -v $malformed \
        -e "key's type or curve" -e 'token "demo"' \
        -- ours pkey -pubin -in "$uri;object=p256" -noout
}

test_objects() {
    local uri=pkcs11:token=demo

    check 'write two certificates with one label' two_certificates
    fails 'a missing certificate' -e 'no object matches the URI' \
        -e 'no certificate' -e 'token "demo"' -e object=nope -e id= \
        -- ours x509 -in "$uri;object=nope" -noout
    fails 'an ambiguous certificate' -e 'several objects match the URI' \
        -e 'one certificate' -e 'token "demo"' -e object=double -e id= \
        -- ours x509 -in "$uri;object=double" -noout
    fails 'type=private for a certificate' -e 'this is not offered' \
        -e 'certificate is wanted' -e type=private \
        -- ours x509 -in "$uri;object=double;type=private" -noout
    fails 'a certificate on a token that is not there' \
        -e 'no token matches the URI' -e token=nope -e '"demo"' \
        -- ours x509 -in 'pkcs11:token=nope;object=double' -noout
    fails 'a certificate that is none' -v HSMSIGN_SHIM_ATTR=0x11=3000 \
        -e 'no X.509 certificate' -e 'token "demo"' -e object= \
        -- ours x509 -in "$uri;object=other" -noout
    fails 'a token that fails when it is read' \
        -v HSMSIGN_SHIM_FAIL=C_GetAttributeValue=0x5 \
        -e C_GetAttributeValue -e CKR_GENERAL_ERROR -e 'token "demo"' \
        -- ours x509 -in "$uri;object=other" -noout
    fails 'a certificate that only a login shows, with a wrong PIN' \
        -o "pkcs11-module-token-pin = $WRONG" -e C_Login \
        -e CKR_PIN_INCORRECT -e 'token "demo"' \
        -- ours x509 -in "$uri;object=nope" -noout
    check 'that PIN is tried once' one_login
}

two_certificates() {
    local id

    plain x509 -in "$T/p256.pem" -outform DER -out double.der || return 1
    for id in 71 72; do
        pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label demo --login \
            --pin "$PIN" --write-object double.der --type cert \
            --label double --id "$id" || return 1
    done
}

# ---- the PIN ----

test_pin() {
    local fix='pkcs11-module-token-pin'

    fails 'a wrong PIN' -o "pkcs11-module-token-pin = $WRONG" \
        -e C_Login -e CKR_PIN_INCORRECT -e 'token "demo"' -e "$fix"
    check 'a wrong PIN in a file that wraps the URI is tried once' one_login
    attempt ours dgst -sha256 -sign "$(uri rsa2048)" -out sig doc
    check 'a wrong PIN is tried once' one_login
    attempt ours cms -sign -in doc -signer "$T/p256.pem" \
        -inkey "$(uri p256)" -outform DER -out sig
    check 'a wrong PIN is tried once by cms -sign' one_login
    check 'the right one resets what the token counts' pkcs11-tool \
        --module "$SOFTHSM2_MODULE" --token-label demo --login --pin "$PIN" \
        --list-objects
    fails 'a wrong PIN in HSM_PIN' -n -v "HSM_PIN=$WRONG" \
        -e C_Login -e CKR_PIN_INCORRECT -e HSM_PIN
    fails 'a wrong pin-value' -n -f -u "$(uri rsa2048)?pin-value=$WRONG" \
        -e C_Login -e CKR_PIN_INCORRECT -e pin-value
    fails 'a wrong PIN from -passin' -n -e C_Login -e CKR_PIN_INCORRECT -- \
        ours dgst -sha256 -sign "$(uri rsa2048)" -passin "pass:$WRONG" doc
    fails 'a locked PIN' -v HSMSIGN_SHIM_FAIL=C_Login=0xa4 \
        -e C_Login -e CKR_PIN_LOCKED -e 'token "demo"' -e 'security officer'
    fails 'a PIN that the token says is locked' \
        -v HSMSIGN_SHIM_TOKEN_FLAGS=+0x40000 \
        -e CKR_PIN_LOCKED -e 'token "demo"' -e 'security officer'
    check 'a PIN that the token says is locked is not tried' \
        equal 0 "$(grep -c ^C_Login calls)"
    fails 'an expired PIN' -v HSMSIGN_SHIM_FAIL=C_Login=0xa3 \
        -e C_Login -e CKR_PIN_EXPIRED -e 'token "demo"' -e 'set a new one'
    fails 'no PIN, and nobody to ask' -n -e 'token "demo"' -e "$fix" -e HSM_PIN
    fails 'a PIN file that is not there' \
        -o 'pkcs11-module-token-pin = file:/gone/pin' \
        -e 'pkcs11-module-token-pin: cannot read /gone/pin' -e 'No such file'
    fails 'a PIN variable that is not set' \
        -o 'pkcs11-module-token-pin = env:NO_PIN_HERE' \
        -e pkcs11-module-token-pin -e NO_PIN_HERE
    fails 'an empty PIN file' -n -v HSM_PIN_FILE=/dev/null \
        -e HSM_PIN_FILE -e /dev/null
    fails 'a pin-source that is a command' -f \
        -u "$(uri rsa2048)?pin-source=%7Cecho%20Other-PiN-9z" -e pin-source
}

# ---- token and key ----

test_names() {
    fails 'a missing token' -t nowhere \
        -e 'no token matches' -e token=nowhere -e '"demo"' -e '"second"'
    fails 'several tokens' -u 'pkcs11:object=rsa2048' \
        -e 'several tokens match' -e '"demo"' -e '"second"' -e token= -e serial=
    fails 'a missing key' -k nothing \
        -e 'no private key matches' -e 'token "demo"' -e object=nothing
    fails 'a missing id' -u 'pkcs11:token=demo;id=%ee' \
        -e 'no private key matches' -e 'token "demo"' -e 'id=%'
    fails 'an ambiguous key' -k twin \
        -e 'several private keys match' -e 'token "demo"' -e object=twin -e id=
    fails 'type=cert' -f -u 'pkcs11:token=demo;object=rsa2048;type=cert' \
        -e 'a private key is wanted here' -e type=
    fails 'a misspelt attribute' -f -u 'pkcs11:token=demo;objekt=rsa2048' \
        -e objekt -e '"object"'
    fails 'an unknown attribute' -f -u 'pkcs11:token=demo;x-color=red' \
        -e x-color
    fails 'an attribute given twice' -f -u 'pkcs11:token=demo;token=second' \
        -e token -e 'given twice'
    fails 'a module-path in the URI' \
        -u 'pkcs11:token=demo;object=rsa2048?module-path=/tmp/evil.so' \
        -e module-path -e pkcs11-module-path
    fails 'a key of a type that does not sign' -v HSMSIGN_SHIM_ATTR=0x100=1f \
        -e 'token "demo"' -e object=rsa2048 -e 'Ed25519'
    fails 'an EC key without parameters' -k p256 -v 'HSMSIGN_SHIM_ATTR=0x180=-' \
        -e 'token "demo"' -e object=p256 -e curve
}

# ---- module and token ----

# function, CK_RV, its name, what else is said
calls=(
    'C_GetFunctionList   0x5   CKR_GENERAL_ERROR         shim'
    'C_Initialize        0x5   CKR_GENERAL_ERROR         SOFTHSM2_CONF'
    'C_GetSlotList       0x30  CKR_DEVICE_ERROR          reached'
    'C_GetTokenInfo      0x30  CKR_DEVICE_ERROR          reached'
    'C_OpenSession       0xb1  CKR_SESSION_COUNT         hsmsign-max-sessions'
    'C_Login             0x30  CKR_DEVICE_ERROR          demo'
    'C_FindObjectsInit   0x101 CKR_USER_NOT_LOGGED_IN    object=rsa2048'
    'C_FindObjects       0x30  CKR_DEVICE_ERROR          object=rsa2048'
    'C_GetAttributeValue 0x32  CKR_DEVICE_REMOVED        object=rsa2048'
    'C_SignInit          0x70  CKR_MECHANISM_INVALID     list-mechanisms'
    'C_SignInit          0x68  CKR_KEY_FUNCTION_NOT_PERMITTED object=rsa2048'
    'C_Sign              0x30  CKR_DEVICE_ERROR          object=rsa2048'
    'C_Sign              0x80000123 0x80000123           demo'
)

test_module() {
    local function rv name text

    fails 'a missing module file' -o 'pkcs11-module-path=/gone/module.so' \
        -e /gone/module.so -e 'No such file' -e pkcs11-module-path -e HSM_MODULE
    fails 'a module that is none' -o "pkcs11-module-path=$HSMSIGN_PROVIDER" \
        -e "$HSMSIGN_PROVIDER" -e 'not a PKCS #11 module' -e pkcs11-module-path
    fails 'a module that is a text' -o "pkcs11-module-path=$WORK/doc" \
        -e "$WORK/doc" -e pkcs11-module-path
    for row in "${calls[@]}"; do
        read -r function rv name text <<< "$row"
        fails "$function answers $name" -v "HSMSIGN_SHIM_FAIL=$function=$rv" \
            -e "$function: " -e "$name" -e "$text"
    done
}

# ---- what the key cannot sign ----

test_signing() {
    local key

    fails 'CKA_SIGN is false' -v HSMSIGN_SHIM_ATTR=0x108=00 \
        -e CKA_SIGN -e 'token "demo"' -e object=rsa2048 -e 'made for signing'
    for key in rsa2048 p256; do
        fails "MD5 with $key" -e md5 -e SHA-2 -- \
            ours dgst -md5 -sign "$(uri $key)" -out sig doc
    done
    fails 'a digest too long for a small key' -e 'token "demo"' \
        -e object=tiny -e 'shorter digest' -- \
        ours dgst -sha512 -sign "$(uri tiny)" -out sig doc
    head -c 60 doc > sixty
    fails 'raw data too long for a small key' -e 'token "demo"' \
        -e object=tiny -e '60 bytes' -- \
        ours pkeyutl -sign -inkey "$(uri tiny)" -in sixty -out sig
    for key in rsa2048 p256; do
        fails "60 bytes that are no SHA-256 digest, with $key" \
            -e 'token "demo"' -e "object=$key" -e '60 bytes' -e SHA2-256 -- \
            ours pkeyutl -sign -inkey "$(uri $key)" -in sixty -out sig \
            -pkeyopt digest:sha256
    done
    fails 'a PSS salt too long for the key' -e 'token "demo"' \
        -e object=rsa2048 -e 1000 -e 222 -- \
        ours dgst -sha256 -sign "$(uri rsa2048)" -out sig \
        -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:1000 doc
    fails 'PSS with a key too small for the digest' -e 'token "demo"' \
        -e object=tiny -- ours dgst -sha512 -sign "$(uri tiny)" -out sig \
        -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest doc
    fails 'a padding that is not for signing' -e pkcs1 -e pss -- \
        ours pkeyutl -sign -inkey "$(uri rsa2048)" -in sixty -out sig \
        -pkeyopt rsa_padding_mode:x931
}

# ---- the configuration ----

# What is wrong with the configuration, and what is said of it.
options=(
    'pkcs11-modul-path = x|pkcs11-modul-path|pkcs11-module-path|openssl.cnf'
    'pkcs11-module-token-pinn = Other-PiN-9z|pinn|pkcs11-module-token-pin?'
    'hsmsign-publik-file = x|hsmsign-publik-file|hsmsign-public-file'
    'hsmsign-max-sessions = lots|hsmsign-max-sessions|lots|number'
    'hsmsign-max-sessions = 0|hsmsign-max-sessions|number from 1'
    'pkcs11-module-cache-sessions = -1|pkcs11-module-cache-sessions|number'
    'pkcs11-module-login-behavior = often|login-behavior|often|never'
    'pkcs11-module-load-behavior = late|load-behavior|late|early'
    'pkcs11-module-quirks = odd|pkcs11-module-quirks|odd|no-deinit'
    'pkcs11-module-assume-fips = maybe|assume-fips|maybe|true or false'
    'pkcs11-module-token-pin = file:|pkcs11-module-token-pin|file'
    'hsmsign-log = paper|hsmsign-log|paper|syslog'
    'hsmsign-log = file:/gone/log|hsmsign-log|/gone/log|No such file'
)

software_keys_work() {
    ours dgst -sha256 -sign "$T/rsa2048.key" -out soft doc &&
        ours dgst -sha256 -verify "$T/rsa2048.pub" -signature soft doc &&
        ours pkey -in "$T/p256.key" -pubout -out pub && cmp pub "$T/p256.pub" &&
        ours req -new -config openssl.cnf -key "$T/ed25519.key" -subj /CN=x \
            -out csr && [ ! -s stderr ]
}

test_configuration() {
    local option
    local -a texts

    for row in "${options[@]}"; do
        IFS='|' read -r -a texts <<< "$row"
        option=${texts[0]}
        texts=("${texts[@]:1}")
        # The environment would go before this option.
        fails "$option" -o "$option" -v HSMSIGN_LOG= "${texts[@]/#/-e}"
        check "$option: software keys go on working" software_keys_work
    done
    for option in /gone/module.so "$HSMSIGN_PROVIDER"; do
        make_conf openssl.cnf "pkcs11-module-path=$option"
        check "module ${option##*/}: software keys go on working" \
            software_keys_work
        make_conf openssl.cnf "pkcs11-module-path=$option" \
            'pkcs11-module-load-behavior = early'
        check "module ${option##*/}, loaded early: software keys do, too" \
            software_keys_work
        fails "module ${option##*/}, loaded early: the first URI says it" \
            -o "pkcs11-module-path=$option" -e "$option" \
            -o 'pkcs11-module-load-behavior = early' -e pkcs11-module-path
    done
}

test_public_keys
test_objects
test_pin
test_names
test_module
test_signing
test_configuration
[ "$(wc -l < log)" -gt 100 ] && [ "$(wc -l < shown)" -gt 100 ]
report $? 'there was something to look for PINs in'
grep -E -e "$SECRETS" log shown > stderr
[ $? -eq 1 ]
report $? 'no PIN is in any error message nor in the debug log'
finish
