#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hsmsign doctor: each thing that can be wrong has its line and its fix.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# examine SENTENCE EXIT TEXT ARGUMENT...: the exit code, and a line with TEXT
examine() {
    local sentence=$1 wanted=$2 text=$3

    run env OPENSSL_CONF="$conf" "$HSMSIGN" doctor "${@:4}"
    [ "$status" -eq "$wanted" ] && grep -qF -- "$text" stdout
    report $? "$sentence"
}

make_conf "$conf" "pkcs11-module-token-pin=$DEMO_PIN"
examine 'a sound set-up passes' 0 'signature: made and verified' \
    --key "$(uri rsa2048)" --cert "$HSMSIGN_TOKEN/rsa2048.pem"
check 'and no line of it is an error or a warning' sh -c '! grep -qE "^(error|warning)" stdout'
examine 'a key without public half is a warning' 0 'public half: not known' \
    --key "$(uri ed25519-bare)"
examine 'its certificate proves it' 0 'signature: made and verified' \
    --key "$(uri ed25519-bare)" --cert "$HSMSIGN_TOKEN/ed25519-bare.pem"
examine 'a certificate of another key is named' 1 "is not the key's" \
    --key "$(uri p256)" --cert "$HSMSIGN_TOKEN/p384.pem"
examine 'a missing key is named' 1 'no private key matches' --key "$(uri nothing)"
examine 'a missing token is named, with those that are there' 1 'has "' \
    --key 'pkcs11:token=nothing;object=rsa2048'
examine 'a misspelt attribute is named' 1 'did you mean "object"' --key 'pkcs11:objekt=rsa2048'
examine 'without a key it lists the tokens' 0 'token "second"'

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
finish
