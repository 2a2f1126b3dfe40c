#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hsmsign doctor: each thing that can be wrong has its line and its fix.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need pkcs11-tool

# examine SENTENCE EXIT TEXT ARGUMENT...: the exit code, a line with TEXT, and in
# each line that is an error or a warning what to do
examine() {
    local sentence=$1 wanted=$2 text=$3

    run env OPENSSL_CONF="$conf" "$HSMSIGN" doctor "${@:4}"
    cp stdout said
    [ "$status" -eq "$wanted" ] && grep -qF -- "$text" said &&
        ! grep -E '^(error|warning)' said | grep -vqE '; fix: [^ ]'
    report $? "$sentence"
}

# says SENTENCE TEXT: of the same examination, another line
says() {
    check "$1" grep -F -- "$2" said
}

make_conf "$conf" "pkcs11-module-token-pin=$DEMO_PIN"
examine 'a sound set-up passes' 0 'signature: made and verified, RSA PKCS #1 v1.5' \
    --key "$(uri rsa2048)" --cert "$HSMSIGN_TOKEN/rsa2048.pem"
check 'and no line of it is an error or a warning' sh -c '! grep -E "^(error|warning)" said'
while IFS=: read -r sentence text; do
    says "it says $sentence" "$text"
done << 'END'
what the configuration is:ok       configuration: 
that the options are known:ok       options: all names and values known
which module it is:, PKCS #11 2.40, Implementation of PKCS11 2.6
the token's flags:token "demo", SoftHSM v2 (LOGIN_REQUIRED
the login and where the PIN is from:token "demo", PIN from pkcs11-module-token-pin
how many sessions were opened:sessions: 16 at once
that the key is there once:found, and no other matches
what its object tells:attributes: it tells CKA_LABEL, CKA_ID, CKA_SIGN, CKA_MODULUS
how the token signs with it:mechanisms: CKM_RSA_PKCS, CKM_RSA_PKCS_PSS
that it stays where it is:extractable: no
what a program loads:ok       key: RSA, 2048 bits
how many calls that takes:round trips to a network HSM
that the certificate is the key's:certificate: is the key's
that it is valid:certificate: is valid now
where the public half is from:public half: known, from its private object
that there is another algorithm:signature: made and verified, RSA-PSS with SHA-256
how long it takes:ms of 20 signatures
how many calls a signature is:calls per signature: 2, of which 1 are round trips
END
while read -r key from; do
    examine "the public half of $key is from $from" 0 "public half: known, from $from" \
        --key "$(uri "$key")"
done << 'END'
p256-cert an object of the same CKA_ID
p256-label an object of the same CKA_LABEL
p256-bare two signatures
END
examine 'that of a file is the file'"'"'s' 0 'public half: known, from the certificate' \
    --key "$(uri ed25519-bare)" --cert "$HSMSIGN_TOKEN/ed25519-bare.pem"
says 'and the certificate proves it' 'signature: made and verified, the message as a whole'
examine 'a key without public half is a warning' 0 'public half: not known' \
    --key "$(uri ed25519-bare)"
examine 'an EC key signs by digests of two lengths' 0 'made and verified, ECDSA with SHA-384' \
    --key "$(uri p384)"
except_cloudhsm 'there is no CKA_ALLOWED_MECHANISMS' \
    examine 'a key for PSS alone signs by that' 0 'made and verified, RSA-PSS' \
    --key "$(uri rsa-pss)"
examine 'a certificate of another key is named' 1 "is not the key's" \
    --key "$(uri p256)" --cert "$HSMSIGN_TOKEN/p384.pem"
examine 'a file that is no certificate is named' 1 'certificate /dev/null' \
    --key "$(uri p256)" --cert /dev/null
examine 'a missing key is named' 1 'no private key matches' --key "$(uri nothing)"
examine 'two keys of one name are named' 1 'more than one private key' --key "$(uri twin)"
examine 'a missing token is named, with those that are there' 1 'has "' \
    --key 'pkcs11:token=nothing;object=rsa2048'
examine 'a misspelt attribute is named' 1 'did you mean "object"' --key 'pkcs11:objekt=rsa2048'
examine 'without a key it lists the tokens' 0 'token "second"'

pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label demo --login --pin "$DEMO_PIN" \
    --keypairgen --key-type EC:prime256v1 --label loose --id 66 --extractable \
    --usage-sign > /dev/null 2>&1 || bail 'pkcs11-tool makes no key'
examine 'a key that can leave the token is a warning' 0 'extractable: the key can leave' \
    --key "$(uri loose)"
make_conf "$conf"
examine 'that there is no PIN is a warning' 1 'login: no PIN is configured' --key "$(uri rsa2048)"
make_conf "$conf" "pkcs11-module-token-pin=${DEMO_PIN}9"
examine 'a wrong PIN is named' 1 CKR_PIN_INCORRECT --key "$(uri rsa2048)"
make_conf "$conf" "pkcs11-module-token-pim=$DEMO_PIN"
examine 'a misspelt option is named' 1 'did you mean pkcs11-module-token-pin' --key "$(uri rsa2048)"
make_conf "$conf" "pkcs11-module-token-pin=$DEMO_PIN" hsmsign-max-sessions=many
examine 'a bad value is named' 1 'hsmsign-max-sessions = many' --key "$(uri rsa2048)"
make_conf "$conf" pkcs11-module-path=/nothing/here.so
examine 'a missing module is named' 1 '/nothing/here.so'
make_conf "$conf" "pkcs11-module-token-pin=$DEMO_PIN"
cp "$conf" other.cnf
sed -i 's/^hsmsign = /anything = /' other.cnf
conf=/dev/null
examine 'a file is examined by --config, whatever it calls the provider' 0 \
    'signature: made and verified' --config other.cnf --key "$(uri ed25519)" \
    --cert "$HSMSIGN_TOKEN/ed25519.pem"
examine 'no configuration at all is a warning' 1 'activates no hsmsign' --key "$(uri rsa2048)"
conf=$WORK/missing.cnf
examine 'a file that is not there is named' 1 missing.cnf --config missing.cnf
HSMSIGN_LOG="file:$WORK/log,info"
export HSMSIGN_LOG
conf=$WORK/other.cnf
examine 'a log that the user wants stays the user'"'"'s' 0 'calls per signature: not counted' \
    --key "$(uri rsa2048)"
finish
