#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# From a fresh Debian 12 to verified signatures, with a key in SoftHSM:
# installs what is missing, builds, makes a token with a key and a certificate
# for it, signs examples/contract.pdf in every format, and lets programs verify
# the signatures that know nothing of hsmsign.
#
#   examples/demo.sh [--no-install]
#
# Writes below build/ only.  Can be run again; the token is then a new one.
set -euo pipefail
cd "$(dirname "$0")/.."

# To build, and to make a token and verify signatures independently.
packages=(
    gcc libc6-dev meson ninja-build pkg-config libssl-dev libp11-kit-dev
    openssl softhsm2 gnutls-bin
)
demo=build/demo

fail() {
    printf 'demo.sh: %s\n' "$*" >&2
    exit 1
}

title() {
    printf '\n=== %s\n' "$*"
}

# Print a command as it can be typed again, and run it.
run() {
    printf '\n$ %s\n' "$1"
    eval "$1" || fail "that failed: $1"
}

# The same, but what it prints is of interest only if it fails.
run_quietly() {
    printf '\n$ %s\n' "$1"
    eval "$1" > "$log" 2>&1 || {
        cat "$log" >&2
        fail "that failed: $1"
    }
}

install_missing() {
    local package missing=() sudo=

    command -v apt-get > /dev/null \
        || fail "no apt-get here: install ${packages[*]} by hand, then use --no-install"
    for package in "${packages[@]}"; do
        # shellcheck disable=SC2016 # ${Status} is dpkg-query's
        [[ $(dpkg-query -W -f '${Status}' "$package" 2> /dev/null) == *' installed' ]] \
            || missing+=("$package")
    done
    if [ ${#missing[@]} = 0 ]; then
        echo 'Nothing is missing.'
        return
    fi
    if [ "$(id -u)" != 0 ]; then
        command -v sudo > /dev/null \
            || fail "run this as root, or install by hand: ${missing[*]}"
        sudo='sudo '
    fi
    echo "This installs, with apt-get: ${missing[*]}"
    run_quietly "${sudo}apt-get update"
    run_quietly "${sudo}env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${missing[*]}"
}

build() {
    # A build directory that is there, with whatever options, will do.
    [ -f build/build.ninja ] || run_quietly 'meson setup build -Dtests=disabled'
    run_quietly 'meson compile -C build'
}

write_settings() {
    rm -rf "$demo"
    mkdir -p "$demo/tokens"
    printf '%s\n' "directories.tokendir = $PWD/$demo/tokens" \
        'objectstore.backend = file' 'log.level = ERROR' > "$demo/softhsm2.conf"
    (
        umask 077
        echo 1234 > "$demo/pin"
    )
    # HSM_PIN, if the caller has it set, would come before HSM_PIN_FILE.
    {
        echo 'unset HSM_PIN'
        printf 'export %s=%q\n' OPENSSL_CONF "$PWD/conf/openssl-softhsm.cnf" \
            OPENSSL_MODULES "$PWD/build/provider" \
            SOFTHSM2_CONF "$PWD/$demo/softhsm2.conf" \
            HSM_PIN_FILE "$PWD/$demo/pin"
    } > "$demo/env"
}

module=$(sed -n 's/^pkcs11-module-path *= *//p' conf/openssl-softhsm.cnf)
key='pkcs11:token=demo;object=signer;type=private'
document=examples/contract.pdf
cert=$demo/cert.pem
hsmsign=build/examples/hsmsign

make_token() {
    run "softhsm2-util --init-token --free --label demo --so-pin 87654321 --pin 1234"
    run "GNUTLS_PIN=1234 p11tool --provider $module --login --generate-privkey=rsa --bits=3072 --label=signer --id=01 --outfile=$demo/public.pem 'pkcs11:token=demo'"
    run "openssl list -providers"
    run "openssl req -x509 -key '$key' -subj '/CN=Demo signer' -days 365 -out $cert"
}

sign_with_openssl() {
    run "openssl dgst -sha256 -sign '$key' -out $demo/openssl.raw $document"
    run "openssl cms -sign -binary -md sha256 -in $document -signer $cert -inkey '$key' -outform DER -out $demo/openssl.cms"
    run "openssl cms -sign -cades -binary -md sha256 -in $document -signer $cert -inkey '$key' -outform DER -out $demo/openssl.cades"
}

sign_with_hsmsign() {
    local format

    for format in raw cms cades; do
        run "$hsmsign sign --key '$key' --cert $cert --format $format --in $document --out $demo/hsmsign.$format"
    done
}

# OPENSSL_CONF=/dev/null: without hsmsign, with the public key alone.
verify() {
    local by format

    for by in openssl hsmsign; do
        run "OPENSSL_CONF=/dev/null openssl dgst -sha256 -verify $demo/public.pem -signature $demo/$by.raw $document"
        run "OPENSSL_CONF=/dev/null openssl cms -verify -binary -inform DER -in $demo/$by.cms -content $document -CAfile $cert -out /dev/null"
        run "OPENSSL_CONF=/dev/null openssl cms -verify -cades -binary -inform DER -in $demo/$by.cades -content $document -CAfile $cert -out /dev/null"
        for format in cms cades; do
            run "certtool --p7-verify --inder --infile $demo/$by.$format --load-certificate $cert --load-data $document --outfile /dev/null"
        done
        for format in raw cms cades; do
            run "$hsmsign verify --format $format --in $document --sig $demo/$by.$format --cert $cert"
        done
    done
}

install=yes
case ${1:-} in
'') ;;
--no-install) install=no ;;
*) fail "usage: examples/demo.sh [--no-install]" ;;
esac
log=$(mktemp)
trap 'rm -f "$log"' EXIT

echo "This is $PWD/examples/demo.sh.  Each command is shown before it runs."
if [ $install = yes ]; then
    title "Packages: ${packages[*]}"
    install_missing
fi
title 'Build'
build
[ -e "$module" ] || fail "$module is missing: is SoftHSM elsewhere?  Correct conf/openssl-softhsm.cnf"

title "Settings, in $demo/env"
write_settings
cat "$demo/env"
# shellcheck source=/dev/null
. "$demo/env"
title 'A token with a key and a certificate'
make_token
title "Sign $document with openssl: raw, CMS, CAdES"
sign_with_openssl
title 'Sign it with hsmsign: raw, CMS, CAdES'
sign_with_hsmsign
title 'Verify all six'
verify

title 'Done: six signatures were made in the token, and verified'
printf '%s\n' 'They are in build/demo.  To repeat the commands that sign and verify, or vary them:' \
    '' "  cd $(printf %q "$PWD")" "  . $demo/env" '' \
    'Not the two that make the token and the key: with a second one of that name the' \
    'URI is ambiguous.  Another run of this script begins with a new token.'
