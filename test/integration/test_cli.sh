#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The command-line signer: what it signs is verified by openssl, which has
# never heard of hsmsign here (OPENSSL_CONF=/dev/null), and by GnuTLS's
# certtool.  Prints TAP.
#
#   HSMSIGN            the program under test
#   HSMSIGN_TEST_KEYS  a directory with NAME.uri (the key) and NAME.pem (its
#                      certificate) for rsa, ec and ed25519, and ca.pem, which
#                      issued them.  Without it, keys are files made here.
#   HSMSIGN_TEST_BIG   size in MiB of the large document (default 4200, which
#                      no 32-bit number of bytes can express)

set -u

: "${HSMSIGN:?is to name the hsmsign program}"
HSMSIGN=$(realpath "$HSMSIGN")
BIG=${HSMSIGN_TEST_BIG:-4200}

for tool in openssl certtool python3 script; do
    command -v "$tool" >/dev/null || {
        echo "Bail out! $tool is not installed"
        exit 1
    }
done

WORK=$(mktemp -d) || exit 1
trap 'rm -rf "$WORK"' EXIT
KEYS=${HSMSIGN_TEST_KEYS:+$(realpath "$HSMSIGN_TEST_KEYS")}
cd "$WORK" || exit 1
# SoftHSM rewrites a token's file at each login: tests that run at the same
# time need tokens of their own.
if [ -n "$KEYS" ] && [ -n "${HSMSIGN_TOKEN:-}" ]; then
    cp -R "$HSMSIGN_TOKEN/tokens" tokens || exit 1
    echo "directories.tokendir = $WORK/tokens" > softhsm2.conf
    export SOFTHSM2_CONF=$WORK/softhsm2.conf
fi

count=0
failed=0

# report STATUS SENTENCE: one line of TAP; what a command printed if it failed
report() {
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
        return
    fi
    failed=$((failed + 1))
    echo "not ok $count - $2"
    sed 's/^/# stdout: /' stdout
    sed 's/^/# stderr: /' stderr
}

# skip SENTENCE: what needs a terminal, where there can be none
skip() {
    count=$((count + 1))
    echo "ok $count - $1 # SKIP no pseudo-terminal can be opened: is /dev/pts mounted?"
}

# run COMMAND...: keep what it prints, and its status in $status
run() {
    "$@" >stdout 2>stderr </dev/null
    status=$?
}

# check SENTENCE COMMAND...: the command has to succeed
check() {
    local sentence=$1

    shift
    run "$@"
    report "$status" "$sentence"
}

# refute SENTENCE COMMAND...: the command has to fail, by itself
refute() {
    local sentence=$1

    shift
    run "$@"
    [ "$status" -ge 1 ] && [ "$status" -lt 126 ]
    report $? "$sentence"
}

# all COMMAND [-- COMMAND]...: whether all of them succeed
all() {
    local -a one=()

    while [ $# -gt 0 ]; do
        if [ "$1" = -- ]; then
            "${one[@]}" || return 1
            one=()
        else
            one+=("$1")
        fi
        shift
    done
    "${one[@]}"
}

differ() {
    ! cmp -s "$1" "$2"
}

# Nothing was printed, neither here nor there.
silent() {
    [ ! -s stdout ] && [ ! -s stderr ]
}

one_line_of_error() {
    [ ! -s stdout ] && [ "$(wc -l <stderr)" -eq 1 ] &&
        grep -q '^hsmsign: ' stderr
}

no_rubbish() {
    [ -z "$(find . -name '.hsmsign-*')" ]
}

# Verification goes on without our provider and its configuration.
plain_openssl() {
    OPENSSL_CONF=/dev/null openssl "$@"
}

public_key() {
    plain_openssl x509 -in "$1" -pubkey -noout -out "$2"
}

cms_verify() {
    local sig=$1 ca=$2

    shift 2
    plain_openssl cms -verify -binary -inform DER -content document \
        -CAfile "$ca" -purpose any -in "$sig" -out content "$@" &&
        cmp document content
}

certtool_verify() {
    certtool --p7-verify --inder --load-ca-certificate "$2" \
        --load-data "${3:-document}" --infile "$1"
}

cms_print() {
    plain_openssl cms -cmsout -print -inform DER -in "$1"
}

# The names of the signed attributes, in the order in which they stand.
cms_attributes() {
    cms_print "$1" | sed -n '/signedAttrs:/,/signatureAlgorithm:/p' |
        sed -n 's/^ *object: \([^ ]*\).*/\1/p'
}

# The signature's, not those of the certificates, which stand further right.
cms_algorithm() {
    cms_print "$1" | sed -n '/^        signatureAlgorithm:/,$p' |
        sed '/^        signature:/,$d'
}

# What stands first in the signing-certificate-v2's entry for the signer.
ess_begins_with() {
    cms_print "$2" | sed -n '/signingCertificateV2/,$p' | grep -m 1 'd=3' |
        grep -q "$1"
}

cms_certificates() {
    plain_openssl pkcs7 -inform DER -in "$1" -print_certs |
        grep -c '^subject='
}

# DER has one form only: what openssl writes again has to be the same.
is_der() {
    plain_openssl cms -cmsout -inform DER -in "$1" -outform DER -out again &&
        cmp "$1" again
}

# make_certificate NAME: NAME.key exists already
make_certificate() {
    plain_openssl req -new -key "$1.key" -subj "/CN=$1" -config req.cnf \
        -out "$1.csr" &&
        plain_openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" \
            -set_serial "$RANDOM$RANDOM" -days 100 -extfile leaf.cnf \
            -out "$1.pem"
}

make_ca() {
    plain_openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1.key" \
        -out "$1.pem" -subj "/CN=$1" -days 100 -config req.cnf
}

make_keys() {
    printf '[req]\ndistinguished_name=dn\nx509_extensions=ca\n[dn]\n' >req.cnf
    printf '[ca]\nbasicConstraints=critical,CA:TRUE\n' >>req.cnf
    printf 'keyUsage=critical,keyCertSign,cRLSign\n' >>req.cnf
    printf 'basicConstraints=CA:FALSE\n' >leaf.cnf
    printf 'keyUsage=critical,digitalSignature,nonRepudiation\n' >>leaf.cnf
    make_ca soft_ca && make_ca other_ca &&
        plain_openssl genpkey -algorithm RSA -out soft_rsa.key \
            -pkeyopt rsa_keygen_bits:2048 &&
        plain_openssl genpkey -algorithm EC -out soft_ec.key \
            -pkeyopt group:P-256 &&
        plain_openssl genpkey -algorithm ED25519 -out soft_ed25519.key &&
        plain_openssl pkey -in soft_rsa.key -aes256 -passout pass:opensesame \
            -out soft_locked.key &&
        make_certificate soft_rsa soft_ca &&
        make_certificate soft_ec soft_ca &&
        make_certificate soft_ed25519 soft_ca
}

if ! make_keys >setup.log 2>&1; then
    sed 's/^/# /' setup.log
    echo "Bail out! cannot make keys"
    exit 1
fi
if [ -z "$KEYS" ]; then
    KEYS=$WORK/keys
    mkdir keys
    cp soft_ca.pem keys/ca.pem
    for name in rsa ec ed25519; do
        printf '%s\n' "$WORK/soft_$name.key" >"keys/$name.uri"
        cp "soft_$name.pem" "keys/$name.pem"
    done
fi
RSA=$(cat "$KEYS/rsa.uri")
CA=$KEYS/ca.pem
head -c 5000000 /dev/urandom >document
head -c 5000000 /dev/urandom >other
: >empty

test_raw() {
    local name sig

    for name in rsa ec ed25519; do
        sig=raw.$name
        check "sign raw with $name" "$HSMSIGN" sign \
            --key "$(cat "$KEYS/$name.uri")" --cert "$KEYS/$name.pem" \
            --format raw --in document --out "$sig"
        silent
        report $? "sign raw with $name prints nothing"
        public_key "$KEYS/$name.pem" "pub.$name"
        if [ "$name" = ed25519 ]; then
            check "openssl verifies raw $name" plain_openssl pkeyutl -verify \
                -rawin -pubin -inkey "pub.$name" -in document -sigfile "$sig"
        else
            check "openssl verifies raw $name" plain_openssl dgst -sha256 \
                -verify "pub.$name" -signature "$sig" document
        fi
        check "hsmsign verifies raw $name" "$HSMSIGN" verify --format raw \
            --in document --sig "$sig" --cert "$KEYS/$name.pem"
        refute "hsmsign refuses raw $name of another document" "$HSMSIGN" \
            verify --format raw --in other --sig "$sig" \
            --cert "$KEYS/$name.pem"
        one_line_of_error
        report $? "the refusal of raw $name is one line on standard error"
        check "sign an empty document raw with $name" "$HSMSIGN" sign \
            --key "$(cat "$KEYS/$name.uri")" --format raw --in empty \
            --out "empty.$name"
        check "hsmsign verifies the empty document of $name" "$HSMSIGN" \
            verify --format raw --in empty --sig "empty.$name" \
            --cert "$KEYS/$name.pem"
    done
    check "sign raw with another digest" "$HSMSIGN" sign --key "$RSA" \
        --format raw --digest sha512 --in document --out raw.sha512
    check "openssl verifies another digest" plain_openssl dgst -sha512 \
        -verify pub.rsa -signature raw.sha512 document
    check "sign raw with PSS" "$HSMSIGN" sign --key "$RSA" --format raw \
        --pss --in document --out raw.pss
    check "openssl verifies PSS with a salt as long as the digest" \
        plain_openssl dgst -sha256 -sigopt rsa_padding_mode:pss \
        -sigopt rsa_pss_saltlen:32 -sigopt rsa_mgf1_md:sha256 \
        -verify pub.rsa -signature raw.pss document
    check "hsmsign verifies raw PSS" "$HSMSIGN" verify --format raw --pss \
        --in document --sig raw.pss --cert "$KEYS/rsa.pem"
    refute "hsmsign does not take PSS for PKCS#1 v1.5" "$HSMSIGN" verify \
        --format raw --in document --sig raw.pss --cert "$KEYS/rsa.pem"
}

# signed_data NAME FORMAT [OPTION]...: what holds for cms and cades
signed_data() {
    local name=$1 format=$2
    local sig=$format.$name what="$format with $name"
    local -a cades=()

    shift 2
    [ $# -gt 0 ] && sig=$sig.pss && what="$what and PSS"
    [ "$format" = cades ] && cades=(-cades)
    check "sign $what" "$HSMSIGN" sign --key "$(cat "$KEYS/$name.uri")" \
        --cert "$KEYS/$name.pem" --chain "$CA" --format "$format" "$@" \
        --in document --out "$sig"
    silent
    report $? "sign $what prints nothing"
    check "openssl verifies $what" cms_verify "$sig" "$CA" \
        ${cades[@]+"${cades[@]}"}
    check "certtool verifies $what" certtool_verify "$sig" "$CA"
    refute "certtool refuses another document for $what" certtool_verify \
        "$sig" "$CA" other
    check "hsmsign verifies $what by its CA" "$HSMSIGN" verify \
        --format "$format" --in document --sig "$sig" --ca "$CA"
    [ ! -s stdout ] && [ "$(cat stderr)" = "signature is valid" ]
    report $? "success of $what is one line on standard error"
    check "hsmsign verifies $what by its certificate" "$HSMSIGN" verify \
        --format "$format" --in document --sig "$sig" --cert "$KEYS/$name.pem"
    refute "hsmsign refuses another document for $what" "$HSMSIGN" verify \
        --format "$format" --in other --sig "$sig" --ca "$CA"
    refute "hsmsign refuses another CA for $what" "$HSMSIGN" verify \
        --format "$format" --in document --sig "$sig" --ca other_ca.pem
    refute "the CA is not the signer of $what" "$HSMSIGN" verify \
        --format "$format" --in document --sig "$sig" --cert "$CA"
    check "$what is DER" is_der "$sig"
    [ "$(cms_certificates "$sig")" -eq 2 ]
    report $? "$what has the chain inside"
    [ "$(cms_print "$sig" | grep -c '^ *version: 1$')" -eq 2 ]
    report $? "$what has SignedData and SignerInfo of version 1"
    cms_print "$sig" | grep -q 'eContent: <ABSENT>'
    report $? "$what is detached"
}

# algorithm_like_openssl NAME FILE [OPTION]...: as a software key's signature
algorithm_like_openssl() {
    local name=$1 file=$2

    shift 2
    plain_openssl cms -sign -binary -md sha256 -signer "soft_$name.pem" \
        -inkey "soft_$name.key" -in document -outform DER -out reference \
        "$@" 2>stderr
    cms_algorithm reference >want
    cms_algorithm "$file" >got
    grep -q algorithm: want && cmp -s want got
    report $? "$file names its algorithm as openssl does"
}

test_signed_data() {
    local format

    for format in cms cades; do
        signed_data rsa "$format"
        signed_data rsa "$format" --pss
        signed_data ec "$format"
        algorithm_like_openssl rsa "$format.rsa"
        algorithm_like_openssl ec "$format.ec"
        algorithm_like_openssl rsa "$format.rsa.pss" \
            -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:digest
    done
    printf '%s\n' contentType messageDigest id-smime-aa-signingCertificateV2 \
        >attributes
    for sig in cades.rsa cades.rsa.pss cades.ec; do
        [ "$(cms_attributes "$sig")" = "$(cat attributes)" ]
        report $? "$sig has three signed attributes and no others"
    done
    cms_attributes cms.rsa | grep -q signingTime
    report $? "cms has the signing time"
    cms_attributes cms.rsa | grep -q 'S/MIME'
    report $? "cms has the S/MIME capabilities"
    refute "a cms without the attribute is no cades" "$HSMSIGN" verify \
        --format cades --in document --sig cms.rsa --ca "$CA"
    # SHA-256 is the attribute's default, which DER leaves out.
    ess_begins_with 'OCTET STRING' cades.rsa
    report $? "signing-certificate-v2 leaves out the default digest"
    check "sign cades with sha384" "$HSMSIGN" sign --key "$RSA" \
        --cert "$KEYS/rsa.pem" --chain "$CA" --format cades --digest sha384 \
        --in document --out cades.sha384
    ess_begins_with SEQUENCE cades.sha384
    report $? "signing-certificate-v2 names any other digest"
    check "openssl verifies cades with sha384" cms_verify cades.sha384 "$CA" \
        -cades
    check "certtool verifies cades with sha384" certtool_verify cades.sha384 \
        "$CA"
    # RFC 8419; OpenSSL 3.0 itself cannot verify it.
    check "sign cades with ed25519" "$HSMSIGN" sign \
        --key "$(cat "$KEYS/ed25519.uri")" --cert "$KEYS/ed25519.pem" \
        --chain "$CA" --format cades --in document --out cades.ed25519
    check "certtool verifies cades with ed25519" certtool_verify \
        cades.ed25519 "$CA"
    cat "$KEYS/rsa.pem" "$CA" >full.pem
    check "--cert takes a file with the chain" "$HSMSIGN" sign --key "$RSA" \
        --cert full.pem --format cades --in document --out cades.full
    check "a certificate given twice is in it once" cmp cades.rsa cades.full
    check "the chain may repeat the certificate" "$HSMSIGN" sign \
        --key "$RSA" --cert full.pem --chain full.pem --format cades \
        --in document --out cades.twice
    check "a certificate given three times is in it once" cmp cades.rsa \
        cades.twice
    plain_openssl x509 -in "$KEYS/rsa.pem" -outform DER -out rsa.der
    check "--cert takes DER" "$HSMSIGN" sign --key "$RSA" --cert rsa.der \
        --chain "$CA" --format cades --in document --out cades.der
    check "a certificate in DER is the same" cmp cades.rsa cades.der
}

test_streams() {
    "$HSMSIGN" sign --key "$RSA" --cert "$KEYS/rsa.pem" --chain "$CA" \
        --format cades --in - --out - <document >piped 2>stderr
    report $? "sign from standard input to standard output"
    : >stdout
    check "a signature through pipes is the same" cmp cades.rsa piped
    "$HSMSIGN" verify --format cades --in - --sig cades.rsa --ca "$CA" \
        <document >stdout 2>stderr
    report $? "verify a document on standard input"
    "$HSMSIGN" verify --format cades --in document --sig - --ca "$CA" \
        <cades.rsa >stdout 2>stderr
    report $? "verify a signature on standard input"
    : >stdout
    "$HSMSIGN" sign --key "$RSA" --format raw --in document --out - \
        >/dev/full 2>stderr </dev/null
    [ $? -eq 1 ] && one_line_of_error
    report $? "a full disk behind standard output is an error"
    "$HSMSIGN" sign --key "$RSA" --format raw --in document --out - \
        >&- 2>stderr </dev/null
    [ $? -eq 1 ] && one_line_of_error
    report $? "a closed standard output is an error"
    run "$HSMSIGN" sign --key "$RSA" --format raw --in document \
        --out /dev/full
    [ "$status" -eq 1 ] && one_line_of_error && [ -c /dev/full ]
    report $? "a device is written and not replaced"
}

failed_leaves() {
    local sentence=$1

    shift
    echo old >precious
    run "$HSMSIGN" sign --format raw --out precious "$@"
    [ "$status" -eq 1 ] && one_line_of_error &&
        [ "$(cat precious)" = old ] && no_rubbish
    report $? "$sentence leaves the old output"
}

test_output() {
    local pid i

    failed_leaves "a missing key" --key "$WORK/missing.key" --in document
    failed_leaves "a key that is none" --key "$WORK/document" --in document
    failed_leaves "a missing document" --key "$RSA" --in missing
    failed_leaves "a document that cannot be read" --key "$RSA" --in .
    failed_leaves "a certificate of another key" --key "$RSA" \
        --cert "$KEYS/ec.pem" --in document
    failed_leaves "an unknown digest" --key "$RSA" --digest sha257 \
        --in document
    run "$HSMSIGN" sign --key "$RSA" --format raw --in document \
        --out missing/signature
    [ "$status" -eq 1 ] && one_line_of_error
    report $? "a missing directory is an error"

    echo old >precious
    (umask 027 && run "$HSMSIGN" sign --key "$RSA" --format raw \
        --in document --out precious && exit "$status")
    cmp -s precious raw.rsa && no_rubbish
    report $? "an old output is replaced"
    [ "$(stat -c %a precious)" = 640 ]
    report $? "the umask counts for the output"
    ln -s precious link
    run "$HSMSIGN" sign --key "$RSA" --format raw --digest sha512 \
        --in document --out link
    [ -L link ] && cmp -s precious raw.sha512
    report $? "a symbolic link to the output stays one"

    i=$(printf 'x%.0s' {1..255})
    check "an output's name may be as long as names are" "$HSMSIGN" sign \
        --key "$RSA" --format raw --in document --out "$i"

    # The key is in a file: SoftHSM rewrites a token's file at each login, and
    # a signal at that moment leaves the file empty.
    mkfifo fifo
    "$HSMSIGN" sign --key soft_rsa.key --format raw --in fifo \
        --out interrupted >stdout 2>stderr &
    pid=$!
    exec 3>fifo
    for ((i = 0; i < 100; i++)); do
        no_rubbish || break
        sleep 0.1
    done
    ! no_rubbish && [ ! -e interrupted ]
    report $? "the output has no name while it is not complete"
    kill -TERM "$pid"
    wait "$pid"
    status=$?
    exec 3>&-
    [ "$status" -eq 143 ] && no_rubbish && [ ! -e interrupted ]
    report $? "a signal leaves nothing behind"
}

# usage_error WORDS...: exit status 2, one line, the hint
usage_error() {
    run "$HSMSIGN" "$@"
    [ "$status" -eq 2 ] && one_line_of_error && grep -q -e '--help)$' stderr
    report $? "usage error: ${*:-no command}"
}

test_usage() {
    local -a sign=(sign --key soft_rsa.key --in document --out never)
    local -a verify=(verify --in document --sig raw.rsa)

    usage_error
    usage_error frobnicate
    usage_error sign
    usage_error sign --in document --out never --format raw
    usage_error "${sign[@]}"
    usage_error "${sign[@]}" --format pdf
    usage_error "${sign[@]}" --format raw --frobnicate
    usage_error "${sign[@]}" --format raw -x
    usage_error "${sign[@]}" --format raw --pss=yes
    usage_error "${sign[@]}" --format raw --in other
    usage_error "${sign[@]}" --format raw surplus
    usage_error "${sign[@]}" --format raw --cert ''
    usage_error "${sign[@]}" --format
    usage_error "${sign[@]}" --format cms
    usage_error "${sign[@]}" --format cades
    usage_error "${sign[@]}" --format raw --chain soft_ca.pem
    usage_error "${sign[@]}" --format cades --cert soft_rsa.pem --digest sha1
    usage_error sign --key soft_ec.key --pss --format raw --in document \
        --out never
    usage_error sign --key soft_ed25519.key --digest sha256 --format raw \
        --in document --out never
    usage_error sign --key soft_rsa.key --format raw --in document \
        --out document
    usage_error sign --key soft_rsa.key --format raw --in document \
        --out soft_rsa.key
    usage_error verify
    usage_error "${verify[@]}" --format pdf --cert soft_rsa.pem
    usage_error "${verify[@]}" --format cms
    usage_error "${verify[@]}" --format raw --ca soft_ca.pem
    usage_error "${verify[@]}" --format cms --ca soft_ca.pem --cert soft_ca.pem
    usage_error "${verify[@]}" --format cms --ca soft_ca.pem --pss
    usage_error verify --format raw --in - --sig - --cert soft_rsa.pem
    usage_error uri2pem
    usage_error uri2pem pkcs11:token=a surplus
    usage_error doctor surplus
    [ ! -e never ]
    report $? "no usage error wrote an output"
}

test_help() {
    local name

    run "$HSMSIGN" --version
    [ "$status" -eq 0 ] && grep -q '^hsmsign [0-9]' stdout && [ ! -s stderr ]
    report $? "--version prints the version on standard output"
    run "$HSMSIGN" --help
    [ "$status" -eq 0 ] && grep -q uri2pem stdout && [ ! -s stderr ]
    report $? "--help lists the commands on standard output"
    for name in sign verify uri2pem doctor; do
        run "$HSMSIGN" "$name" --help
        [ "$status" -eq 0 ] && grep -q "^usage: hsmsign $name" stdout &&
            [ ! -s stderr ] && ! grep -q '.\{81\}' stdout
        report $? "$name --help fits on standard output"
    done
    "$HSMSIGN" --help >/dev/full 2>stderr
    [ $? -eq 1 ]
    report $? "help that cannot be written is an error"
}

# fails_with TEXT SENTENCE COMMAND...: status 1 and one line that says TEXT
fails_with() {
    local text=$1 sentence=$2

    shift 2
    run "$HSMSIGN" "$@"
    [ "$status" -eq 1 ] && one_line_of_error && grep -q -e "$text" stderr
    report $? "$sentence"
}

test_errors() {
    local -a sign=(sign --format raw --in document --out never)

    fails_with 'soft_gone.key: No such file' "a missing key file is named" \
        "${sign[@]}" --key soft_gone.key
    fails_with 'not a private key' "a certificate is no key" "${sign[@]}" \
        --key soft_rsa.pem
    fails_with 'not of this key' "a certificate of another type is refused" \
        "${sign[@]}" --key "$RSA" --cert "$KEYS/ec.pem"
    fails_with 'not of this key: key values mismatch' \
        "a certificate of another key is refused" \
        sign --key "$RSA" --cert "$CA" --format cms --in document --out never
    fails_with 'missing.pem: No such file' "a missing certificate is named" \
        "${sign[@]}" --key "$RSA" --cert missing.pem
    fails_with 'document: ' "a certificate file without any is named" \
        "${sign[@]}" --key "$RSA" --cert document
    { cat "$KEYS/rsa.pem" && sed 's/M/N/g' "$CA"; } >broken.pem
    fails_with 'broken.pem: ' "a broken chain is not cut short" \
        sign --key "$RSA" --cert "$KEYS/rsa.pem" --chain broken.pem \
        --format cms --in document --out never
    fails_with 'digest sha257' "an unknown digest is named" "${sign[@]}" \
        --key "$RSA" --digest sha257
    fails_with 'document is not valid' "a signature that is none is refused" \
        verify --format cms --in document --sig document --ca "$CA"
    fails_with 'is not valid' "an empty raw signature is refused" \
        verify --format raw --in document --sig empty --cert "$KEYS/rsa.pem"
    fails_with 'is not valid' "a raw signature of megabytes is refused" \
        verify --format raw --in document --sig other --cert "$KEYS/rsa.pem"
    "$HSMSIGN" sign --format raw --in document --out raw.soft \
        --key soft_rsa.key
    echo opensesame | setsid -w "$HSMSIGN" "${sign[@]}" \
        --key soft_locked.key >stdout 2>stderr && cmp raw.soft never
    report $? "a passphrase is asked for as openssl does"
    rm -f never
    echo opensesame | setsid -w "$HSMSIGN" sign --format raw \
        --key soft_locked.key --in document --out gone/never >stdout 2>stderr
    [ "${PIPESTATUS[1]}" -eq 1 ] && one_line_of_error
    report $? "no passphrase is asked for when the output is impossible"
    # The document must not be taken for the passphrase.
    { echo opensesame && cat document; } |
        setsid -w "$HSMSIGN" sign --format raw --key soft_locked.key \
            --in - --out never >stdout 2>stderr
    [ "${PIPESTATUS[1]}" -eq 1 ] && one_line_of_error
    report $? "no passphrase is read from the document"
    [ ! -e never ] && no_rubbish
    report $? "no error wrote an output"
}

test_pin() {
    local pin=s3cr3t-p1n uri

    uri="pkcs11:token=hsmsign-no-such-token;object=x;type=private"
    uri="$uri?pin-value=$pin"
    hidden "sign --key" sign --key "$uri" --format raw --in document \
        --out never
    hidden "sign --frobnicate=" sign "--frobnicate=$uri"
    hidden "a surplus argument" sign --key a --format raw --in a --out b "$uri"
    hidden "an unknown command" "$uri"
    hidden "a document of that name" sign --key soft_rsa.key --format raw \
        --in "$uri" --out never
    hidden "uri2pem" uri2pem "$uri" --out never
    hidden "uri2pem with an invalid URI" uri2pem "pkcs11:pin-value=$pin"
    hidden "verify --cert" verify --format raw --in document --sig raw.rsa \
        --cert "$uri"
    hidden "doctor --key" doctor --key "$uri"
    fails_with 'pin-source=file:' "uri2pem says what to use instead" uri2pem \
        "$uri" --out never
    [ ! -e never ]
    report $? "uri2pem with a pin-value wrote nothing"
}

# hidden SENTENCE WORDS...: fails, says something, and not the PIN
hidden() {
    local sentence=$1

    shift
    run "$HSMSIGN" "$@"
    [ "$status" -ne 0 ] && [ -n "$(cat stdout stderr)" ] &&
        ! grep -q "$pin" stdout stderr
    report $? "no pin-value in what $sentence prints"
}

test_uri2pem() {
    local uri='pkcs11:token=demo;object=signer;type=private'

    run "$HSMSIGN" uri2pem "$uri"
    [ "$status" -eq 0 ] && [ ! -s stderr ] &&
        grep -q -e '^-----BEGIN PKCS#11 PROVIDER URI-----$' stdout
    report $? "uri2pem writes PEM to standard output"
    cp stdout uri.pem
    check "uri2pem writes a file" "$HSMSIGN" uri2pem "$uri" --out uri2.pem
    check "both are the same" cmp uri.pem uri2.pem
    check "openssl reads it" plain_openssl asn1parse -in uri.pem
    grep -q 'VISIBLESTRING *:PKCS#11 Provider URI v1.0$' stdout &&
        grep -q "UTF8STRING *:$uri\$" stdout &&
        [ "$(grep -c . stdout)" -eq 3 ]
    report $? "it holds the description and the URI"
    fails_with 'objekt' "a misspelt attribute is refused" uri2pem \
        'pkcs11:token=demo;objekt=signer'
    fails_with 'URI' "another scheme is refused" uri2pem file:/etc/passwd
    check "a pin-source is allowed" "$HSMSIGN" uri2pem \
        "$uri?pin-source=file:/run/pin"
}

# Only where the keys are on a token: the file has to lead to it.
test_pem_file() {
    case $RSA in
    pkcs11:*) ;;
    *) return ;;
    esac
    check "uri2pem takes the key's URI" "$HSMSIGN" uri2pem "$RSA" \
        --out rsa.uri.pem
    check "sign with the PEM file" "$HSMSIGN" sign --key rsa.uri.pem \
        --format raw --in document --out raw.pem
    check "the PEM file leads to the same key" cmp raw.rsa raw.pem
}

test_doctor() {
    run "$HSMSIGN" doctor --key "$RSA" --cert "$KEYS/rsa.pem"
    [ "$status" -eq 0 ] && [ ! -s stderr ] && ! grep -q '^error' stdout
    report $? "doctor finds nothing wrong"
    ! grep -qv -e '^ok  ' -e '^warning ' -e '^error ' stdout
    report $? "doctor begins each line with ok, warning or error"
    run "$HSMSIGN" doctor --key "$RSA" --cert "$KEYS/ec.pem"
    [ "$status" -eq 1 ] && grep -q '^error .*; fix: ' stdout
    report $? "doctor says how to mend what is wrong"
    run "$HSMSIGN" doctor --config missing.cnf
    [ "$status" -eq 1 ] && grep -q '^error .*missing.cnf' stdout
    report $? "doctor misses a configuration file"
    printf '[a]\nb\n' >bad.cnf
    run "$HSMSIGN" doctor --config bad.cnf
    [ "$status" -eq 1 ] && grep -q '^error .*bad.cnf, line 2' stdout
    report $? "doctor names the line that is wrong"
}

# peak COMMAND...: run it; the file peak then says how many KiB of memory it had
# at most, by getrusage(2), which needs no /proc
peak() {
    python3 -c 'import os, sys
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
with open("peak", "w") as file:
    print(usage.ru_maxrss, file=file)
sys.exit(os.waitstatus_to_exitcode(status))' "$@"
}

test_large() {
    local pid terminal

    truncate -s "${BIG}M" large
    run "$HSMSIGN" sign --key "$RSA" --format raw --in large --out raw.large
    report "$status" "sign a document of $BIG MiB"
    check "openssl verifies the large document" plain_openssl dgst -sha256 \
        -verify pub.rsa -signature raw.large large

    rm -f fifo && mkfifo fifo
    peak "$HSMSIGN" sign --key "$RSA" --cert "$KEYS/rsa.pem" --chain "$CA" \
        --format cades --in fifo --out cades.large >stdout 2>stderr &
    pid=$!
    head -c "$((BIG << 20))" /dev/zero >fifo
    wait "$pid"
    report $? "sign $BIG MiB through a pipe"
    # 256 MiB: AddressSanitizer keeps what was freed for a while.
    [ "$(cat peak)" -gt 0 ] && [ "$(cat peak)" -lt 262144 ]
    report $? "it takes constant memory ($(cat peak) KiB)"
    check "hsmsign verifies the large document" "$HSMSIGN" verify \
        --format cades --in large --sig cades.large --ca "$CA"

    terminal="'$HSMSIGN' sign --key soft_rsa.key --format raw --out never"
    truncate -s 80M large
    if script -qec true /dev/null >stdout 2>&1 </dev/null; then
        script -qec "$terminal --in large" /dev/null >stdout </dev/null
        grep -q 'read 64 of 80 MiB' stdout
        report $? "progress is shown on a terminal"
        truncate -s 60M large
        script -qec "$terminal --in large" /dev/null >stdout </dev/null
        ! grep -q 'MiB' stdout
        report $? "a small document has no progress"
    else
        skip "progress is shown on a terminal"
        skip "a small document has no progress"
    fi
    rm -f large never
}

test_raw
test_signed_data
test_streams
test_output
test_usage
test_help
test_errors
test_pin
test_uri2pem
test_pem_file
test_doctor
test_large

echo "1..$count"
[ "$failed" -eq 0 ]
