#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# PDFs that @signpdf/signpdf signs through hsmsignd, in each way in which the
# service can be asked, with each hash, with an RSA and an EC key.  Poppler
# (NSS), OpenSSL and GnuTLS say whether they are good.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/hsmsignd.sh
. "$HSMSIGN_SOURCE/test/integration/hsmsignd.sh" || exit 1

# shellcheck source=test/integration/pdf.sh
. "$HSMSIGN_SOURCE/test/integration/pdf.sh" || exit 1

has_pdf_tools || {
    echo "1..0 # SKIP $missing"
    exit
}

sign_all() { # key
    start_hsmsignd "$1" --strict-attributes --strict-digest && sign_pdfs "$port" "$1"
}

# PAdES has the time in the PDF, and forbids it in the CMS.
has_right_time() { # key/mode-hash
    local times

    times=$(plain cms -cmsout -print -noout -inform DER -in "$1.cms" |
        grep -c 'object: signingTime')
    case $1 in
    */raw-cms-* | */web-*) [ "$times" -eq 1 ] ;;
    *) [ "$times" -eq 0 ] ;;
    esac
}

is_good_pdf() { # key/mode-hash
    local hash=${1##*-} cades=() type=adbe.pkcs7

    [[ $1 != *cades* ]] || cades=(-cades) type=ETSI.CAdES
    pdfsig_says "$1.pdf" "Signing Hash Algorithm: ${hash/sha/SHA-}\$" \
        "Signature Type: $type.detached" 'Signature is Valid' \
        'Certificate is Trusted' 'Total document signed' &&
        plain cms -verify -binary -inform DER -in "$1.cms" -content "$1.bytes" \
            -CAfile "$HSMSIGN_TOKEN/ca.pem" -purpose any "${cades[@]}" -out cms.out &&
        cmp cms.out "$1.bytes" &&
        has_right_time "$1" &&
        certtool --p7-verify --inder --infile "$1.cms" --load-data "$1.bytes" \
            --load-ca-certificate "$HSMSIGN_TOKEN/ca.pem"
}

is_refused() { # key/mode-hash
    pdfsig_says "$1.tampered.pdf" 'Digest Mismatch'
}

check 'a database of NSS with the CA' trust "$HSMSIGN_TOKEN/ca.pem"
for key in rsa2048 p256; do
    check "hsmsignd signs with $key as often as it is asked" sign_all "$key"
    check "24 PDFs are signed with $key" equal 24 "$(wc -l < "$key/names")"
    while read -r name; do
        check "$key: $name is good" is_good_pdf "$key/$name"
        check "$key: $name is refused after a change" is_refused "$key/$name"
    done < "$key/names"
    check "hsmsignd with $key ends" stop_hsmsignd
done
finish
