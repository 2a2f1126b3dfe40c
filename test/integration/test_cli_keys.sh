#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hsmsign keys, keygen, csr, selfsign and import-cert: what they list and make
# on a token is looked at with OpenSC's pkcs11-tool and GnuTLS's p11tool and
# certtool, and what the new keys sign is verified by plain openssl.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need pkcs11-tool p11tool certtool script

T=$HSMSIGN_TOKEN
DEMO='pkcs11:token=demo'
LOG=$WORK/calls
make_conf openssl.cnf "pkcs11-module-token-pin=$DEMO_PIN"
head -c 100000 /dev/urandom > doc
declare -A made # type -> URI

# The program with its own provider: HSM_MODULE and HSM_PIN suffice.
hs() {
    OPENSSL_CONF=/dev/null HSM_MODULE=${module:-$MODULE} \
        HSM_PIN=${pin-$DEMO_PIN} timeout 120 setsid -w "$HSMSIGN" "$@"
}

# Through the shim, which answers C_GenerateKeyPair and others as told.
shimmed() { # VARIABLE=VALUE... -- ARGUMENT...
    local -a settings=("HSMSIGN_SHIM_LOG=$LOG" "HSMSIGN_SHIM_MODULE=$MODULE")

    while [ "$1" != -- ]; do
        settings+=("HSMSIGN_SHIM_$1")
        shift
    done
    shift
    : > "$LOG"
    env OPENSSL_CONF=/dev/null HSM_MODULE="$HSMSIGN_SHIM" HSM_PIN="$DEMO_PIN" \
        "${settings[@]}" timeout 120 setsid -w "$HSMSIGN" "$@"
}

called() { # FUNCTION: how often
    grep -c "^$1 " "$LOG"
}

p11() {
    p11tool --provider "$SOFTHSM2_MODULE" --login --set-pin "$DEMO_PIN" "$@"
}

tool() {
    pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label demo --login \
        --pin "$DEMO_PIN" "$@"
}

# fails STATUS PATTERN ARGUMENT...: one line on stderr, nothing on stdout
fails() {
    hs "${@:3}" > out 2> err
    equal "$1" $? || return 1
    cat err >&2
    [ ! -s out ] && [ "$(wc -l < err)" -eq 1 ] && grep -q '^hsmsign: ' err &&
        grep -qe "$2" err
}

# says STATUS PATTERN COMMAND...: the status, and the pattern on stderr
says() {
    "${@:3}" 2> err
    equal "$1" $? || return 1
    cat err >&2
    grep -qe "$2" err
}

one_line() {
    [ "$(wc -l < "$1")" -eq 1 ]
}

# objects LABEL: what pkcs11-tool says of them, one line each; 0.27 has its own
# ways to write a CKA_ID.  CloudHSM takes no CKA_SIGN_RECOVER, of which newer ones
# then tell what SoftHSM behind the simulator has by itself.
objects() {
    tool -O 2> /dev/null | awk -v label="$1" -v cloudhsm="${HSMSIGN_TEST_CLOUDHSM:-}" '
        function flush() { if (has == label) print text }
        /Object/ { flush(); text = $1 " " $2; has = "" }
        /^  label:/ { has = $0; sub(/^  label: */, "", has) }
        /^  ID:/ { sub(/[0-9]+ \(0x/, ""); gsub(/[:)]/, ""); sub(/ID/, "ID:") }
        cloudhsm != "" { gsub(/, (sign|verify)Recover/, "") }
        /^  (ID|Usage|Access):/ { gsub(/ +/, " "); text = text ";" $0 }
        END { flush() }'
}

# ---------------------------------------------------------------- keys

expected() {
    local type kind label id

    while read -r type kind label id; do
        printf 'demo\t%s\t%s\t%s\t%s\t%s;object=%s;type=%s;id=%%%s\n' \
            "$type" "$kind" "$label" "$id" "$DEMO" "$label" "$type" "$id"
    done
}

lists_exactly() {
    expected > want << 'END'
private ec:brainpoolP256r1 brainpool256 53
private ec:brainpoolP384r1 brainpool384 54
private ec:brainpoolP512r1 brainpool512 55
private ed25519 ed25519 16
private ed25519 ed25519-bare 20
private ed448 ed448 50
private ec:P-224 p224 51
private ec:P-256 p256 13
private ec:P-256 p256-bare 17
private ec:P-256 p256-cert 18
private ec:P-256 p256-label 19
private ec:P-384 p384 14
private ec:P-521 p521 15
private rsa:2048 rsa-pss 40
private rsa:2048 rsa2048 10
private rsa:3072 rsa3072 11
private rsa:4096 rsa4096 12
private ec:secp256k1 secp256k1 52
private ec:P-256 twin 30
private ec:P-256 twin 31
public ec:brainpoolP256r1 brainpool256 53
public ec:brainpoolP384r1 brainpool384 54
public ec:brainpoolP512r1 brainpool512 55
public ed25519 ed25519 16
public ed448 ed448 50
public ec:P-224 p224 51
public ec:P-256 p256 13
public ec:P-256 p256-label 77
public ec:P-384 p384 14
public ec:P-521 p521 15
public rsa:2048 rsa-pss 40
public rsa:2048 rsa2048 10
public rsa:3072 rsa3072 11
public rsa:4096 rsa4096 12
public ec:secp256k1 secp256k1 52
public ec:P-256 twin 30
public ec:P-256 twin 31
cert ec:P-256 other 18
END
    hs keys "$DEMO" > listing && diff want listing >&2
}

# p11tool writes more attributes, in another order, with other escapes.
same_as_p11tool() {
    p11 --list-all --only-urls "$DEMO" 2> /dev/null | grep '^pkcs11:' |
        sed 's/.*;id=\([^;]*\);object=\([^;]*\);type=\(.*\)/\2 \3 \1/' |
        sort > theirs
    sed 's/.*;object=\([^;]*\);type=\([^;]*\);id=\(.*\)/\1 \2 \3/' listing |
        sort > ours
    [ -s theirs ] && diff theirs ours >&2
}

# Each URI names its object alone, by us and by another implementation.
names_one_each() {
    local line uri n=0

    while IFS= read -r line <&3; do
        uri=${line##*$'\t'}
        equal "$line" "$(hs keys "$uri")" || return 1
        p11 --list-all --only-urls "$uri" 2> /dev/null | grep '^pkcs11:' > one
        one_line one || { echo "p11tool: $uri" >&2 && return 1; }
        n=$((n + 1))
    done 3< listing
    equal 38 "$n"
}

no_login_to_several() {
    says 0 'token "demo": what it shows without a login' \
        shimmed -- keys > public || return 1
    grep -q 'token "second"' err || return 1
    equal 0 "$(called C_Login)" && ! grep -q $'\tprivate\t' public &&
        equal 18 "$(grep -c '^demo' public)" &&
        equal 1 "$(grep -c '^second' public)"
}

filters() {
    hs keys "$DEMO;type=cert" > one && equal other "$(cut -f 4 one)" &&
        hs keys "$DEMO;object=twin;type=private" > two &&
        equal '30 31 ' "$(cut -f 5 two | tr '\n' ' ')" &&
        hs keys "$DEMO;id=%18" > three &&
        equal 'private cert ' "$(cut -f 2 three | tr '\n' ' ')"
}

empty_token() {
    softhsm2-util --init-token --free --label empty --so-pin 1234 --pin "$DEMO_PIN" \
        > /dev/null && hs keys 'pkcs11:token=empty' > none && [ ! -s none ]
}

# Two tokens of one label are told apart, and each URI still names one object.
same_label() {
    softhsm2-util --init-token --free --label demo --so-pin 1234 --pin "$DEMO_PIN" \
        > /dev/null || return 1
    fails 1 'CKR_\|2 tokens match' keygen --type ec:P-256 --label a \
        --token "$DEMO" || return 1
    serial=$(p11tool --provider "$SOFTHSM2_MODULE" --list-token-urls |
        grep 'token=demo' | sed 's/.*serial=\([^;]*\);.*/\1/' | tail -1)
    uri=$(hs keygen --type ec:P-256 --label alone \
        --token "$DEMO;serial=$serial") || return 1
    [[ $uri == "pkcs11:token=demo;serial=$serial;object=alone;"* ]] &&
        hs keys "$uri" > one && one_line one
}

# Neither label nor id is its own: no URI can name one of them.
no_own_name() {
    tool --keypairgen --key-type EC:prime256v1 --label double --id 55 &&
        tool --keypairgen --key-type EC:prime256v1 --label double --id 55 &&
        says 0 'no URI names this private key alone (label "double")' \
            hs keys "$DEMO;object=double" > listing &&
        equal '4 -' "$(cut -f 6 listing | sort | uniq -c | sed 's/^ *//')"
}

odd_labels() {
    local label=$'Gr\xc3\xbc\xc3\x9fe; 1/2 & "x"?%'

    uri=$(hs keygen --type ec:P-256 --label "$label" --id 00FFab \
        --token "$DEMO") || return 1
    hs keys "$uri" > one && one_line one &&
        equal "$label" "$(cut -f 4 one)" && equal 00ffab "$(cut -f 5 one)" &&
        p11 --list-all --only-urls "$uri" 2> /dev/null | grep -q '^pkcs11:' &&
        ours pkeyutl -sign -inkey "$uri" -rawin -digest sha256 -in doc -out sig
}

on_a_terminal() {
    OPENSSL_CONF=/dev/null HSM_MODULE=$MODULE HSM_PIN="$DEMO_PIN" \
        script -qec "'$HSMSIGN' keys '$DEMO;object=rsa2048'" /dev/null \
        < /dev/null | tr -d '\r' > listing
    printf '%s\n' \
        'TOKEN  TYPE     KEY       LABEL    ID  URI' \
        "demo   private  rsa:2048  rsa2048  10  $DEMO;object=rsa2048;type=private;id=%10" \
        "demo   public   rsa:2048  rsa2048  10  $DEMO;object=rsa2048;type=public;id=%10" \
        > want
    diff want listing >&2
}

test_keys() {
    check "keys lists a token's private keys, public keys and certificates" lists_exactly
    check "p11tool finds the same objects" same_as_p11tool
    check "each URI names its object alone" names_one_each
    except_cloudhsm 'no key is seen without a login' check \
        "with several tokens keys logs in to none and says so" no_login_to_several
    check "keys takes object, id and type" filters
    check "an empty token lists nothing" empty_token
    if script -qec true /dev/null > stdout 2>&1 < /dev/null; then
        check "on a terminal keys prints columns with a heading" on_a_terminal
    else
        skip "on a terminal keys prints columns with a heading" \
            "no pseudo-terminal can be opened: is /dev/pts mounted?"
    fi
    check "no such object is an error" fails 1 'matches pkcs11:.*nope' \
        keys "$DEMO;object=nope"
    check "no such token is an error" fails 1 'no token matches' keys 'pkcs11:token=nope'
    check "a misspelt attribute is an error" fails 1 'objekt' keys "$DEMO;objekt=a"
    check "a type that keys does not list is a usage error" fails 2 'type=' \
        keys "$DEMO;type=data"
    check "module-path is not taken from a URI" fails 1 'module-path' \
        keys "$DEMO?module-path=/tmp/evil.so"
    module=/missing.so check "a missing module is an error" fails 1 'missing.so' keys "$DEMO"
    pin=${DEMO_PIN}0 check "a wrong PIN is an error" fails 1 'CKR_PIN_INCORRECT' keys "$DEMO"
    check "a PIN in the URI is not printed" says 1 'CKR_PIN_INCORRECT' \
        hs keys "$DEMO?pin-value=${DEMO_PIN}7777"
    ! grep -q 7777 stdout stderr
    report $? "and stands in no message"
}

# -------------------------------------------------------------- keygen

makes_pair() { # type
    local id

    hs keygen --type "$1" --label "new $1" --token "$DEMO" > out || return 1
    one_line out || return 1
    made[$1]=$(cat out)
    [[ ${made[$1]} =~ ^pkcs11:token=demo\;object=new%20[^\;]*\;type=private\;id=(%[0-9A-F]{2}){16}$ ]] ||
        return 1
    id=${made[$1]##*id=} id=${id//%/}
    # The token's own words; the halves have one id.
    objects "new $1" > listing
    printf '%s\n' \
        "Private Key; ID: ${id,,}; Usage: sign; Access: sensitive, always sensitive, never extractable, local" \
        "Public Key; ID: ${id,,}; Usage: verify; Access: local" | sort > want
    sort listing | diff want - >&2 || return 1
    p11 --list-all "${made[$1]}" 2> /dev/null > listing
    cat listing >&2
    grep -q 'CKA_PRIVATE; CKA_NEVER_EXTRACTABLE; CKA_SENSITIVE;' listing
}

kind_is() { # type
    equal "$1" "$(hs keys "${made[$1]}" | cut -f 3)"
}

# The key signs through plain openssl with the provider, and what verifies it
# is neither hsmsign nor the program that made it.
signs() { # type
    p11 --export-pubkey "${made[$1]}" --outfile pub.pem > /dev/null 2>&1 ||
        return 1
    if [ "$1" = ed25519 ]; then
        ours pkeyutl -sign -rawin -inkey "${made[$1]}" -in doc -out sig &&
            plain pkeyutl -verify -rawin -pubin -inkey pub.pem -in doc -sigfile sig
    else
        ours dgst -sha256 -sign "${made[$1]}" -out sig doc &&
            plain dgst -sha256 -verify pub.pem -signature sig doc
    fi
}

cannot_decrypt() {
    head -c 32 /dev/urandom > secret
    p11 --export-pubkey "${made[rsa:2048]}" --outfile pub.pem > /dev/null 2>&1 &&
        plain pkeyutl -encrypt -pubin -inkey pub.pem -in secret -out cipher &&
        ! tool --decrypt --mechanism RSA-PKCS --label 'new rsa:2048' \
            --input-file cipher > opened &&
        ! cmp -s secret opened
}

given_id() {
    uri=$(hs keygen --type ec:P-256 --label with-id --id 0123aBcd \
        --token "$DEMO") &&
        equal "$DEMO;object=with-id;type=private;id=%01%23%AB%CD" "$uri" &&
        equal 2 "$(objects with-id | grep -c 'ID: 0123abcd;')"
}

unchanged() {
    tool -O 2> /dev/null | sort > after
    cmp before after
}

refused() { # PATTERN ARGUMENT...
    tool -O 2> /dev/null | sort > before
    fails 1 "$1" keygen --token "$DEMO" "${@:2}" && unchanged
}

if_missing_finds() {
    tool -O 2> /dev/null | sort > before
    uri=$(hs keygen --type ec:P-256 --label 'new ec:P-256' --token "$DEMO" \
        --if-missing 2> err) && [ ! -s err ] &&
        equal "${made[ec:P-256]}" "$uri" && unchanged
}

if_missing_makes() {
    local first second

    first=$(hs keygen --type ec:P-256 --label fresh --token "$DEMO" --if-missing) &&
        second=$(hs keygen --type ec:P-256 --label fresh --token "$DEMO" --if-missing) &&
        equal "$first" "$second"
}

if_missing_by_id() {
    equal "$DEMO;object=twin;type=private;id=%31" \
        "$(hs keygen --type ec:P-256 --label twin --id 31 --token "$DEMO" --if-missing)"
}

warns_extractable() {
    tool --keypairgen --key-type EC:prime256v1 --label loose --id 66 --extractable &&
        says 0 'warning: .*extractable' hs keygen --type ec:P-256 \
            --label loose --token "$DEMO" --if-missing > out &&
        equal "$DEMO;object=loose;type=private;id=%66" "$(cat out)"
}

warns_not_sensitive() {
    says 0 'warning: .*not sensitive' shimmed ATTR=0x103=00 -- keygen \
        --type ec:P-256 --label fresh --token "$DEMO" --if-missing > out &&
        one_line out
}

# A token that does not keep its word: CKA_EXTRACTABLE is true afterwards.
disowns_extractable() {
    says 1 'made, .*extractable' shimmed ATTR=0x162=01 -- keygen \
        --type ec:P-256 --label liar --token "$DEMO" > out && [ ! -s out ]
}

# CKR_TEMPLATE_INCONSISTENT: a token that knows fewer attributes.  The second
# time it is not told what the key shall not do, and SoftHSM then lets it.
# Newer pkcs11-tools tell CKA_SIGN_RECOVER, too.
fewer_attributes() { # refusals uses pattern
    shimmed "FAIL=C_GenerateKeyPair=0xd1*$1" -- keygen --type rsa:2048 \
        --label "strict$1" --token "$DEMO" > out 2> err && one_line out &&
        equal $(($1 + 1)) "$(called C_GenerateKeyPair)" &&
        equal "$3" "$(grep -o 'more than sign' err)" &&
        objects "strict$1" > listing && cat listing >&2 &&
        grep '^Private' listing | grep 'never extractable' | grep -qE "Usage: $2;"
}

gives_up() { # calls CK_RV pattern type
    says 1 "$3" shimmed "FAIL=C_GenerateKeyPair=$2" -- keygen --type "$4" \
        --label never --token "$DEMO" > out && [ ! -s out ] &&
        equal "$1" "$(called C_GenerateKeyPair)"
}

second_mechanism() { # CKR_MECHANISM_INVALID for the first of two
    local -a make=(shimmed 'FAIL=C_GenerateKeyPair=0x70*1' -- keygen
        --type rsa:2048 --label by_the_second --token "$DEMO")

    if on_cloudhsm; then # which has both, and fewer attributes than are asked for
        "${make[@]}" && equal 3 "$(called C_GenerateKeyPair)"
    else
        says 1 'CKR_MECHANISM_INVALID.*makes no such keys' "${make[@]}" &&
            equal 2 "$(called C_GenerateKeyPair)"
    fi
}

logs_calls() {
    HSMSIGN_LOG=stderr,debug hs keygen --type ec:P-256 --label logged \
        --token "$DEMO" 2>&1 > out |
        grep -q 'debug: C_GenerateKeyPair [0-9.]* ms CKR_OK (0x0)$' &&
        one_line out
}

test_keygen() {
    local type

    for type in rsa:2048 rsa:3072 rsa:4096 ec:P-256 ec:P-384 ec:P-521 ed25519; do
        check "keygen $type: sensitive, not extractable, signs only" makes_pair "$type"
        check "keys lists it as $type" kind_is "$type"
        check "the new $type key signs through openssl" signs "$type"
    done
    check "a new RSA key does not decrypt" cannot_decrypt
    check "keygen takes an id" given_id
    check "labels may hold any character" odd_labels
    check "a second key of the same label is refused" refused 'CKA_LABEL.*--if-missing' \
        --type ec:P-256 --label 'new ec:P-256'
    check "so is one with the id of another" refused 'CKA_ID' \
        --type ec:P-256 --label other --id 10
    check "and one with a public key's label" refused 'public key with this CKA_ID' \
        --type ec:P-256 --label other --id 77
    check "--if-missing gives the URI of the key that exists" if_missing_finds
    check "--if-missing makes a key that does not" if_missing_makes
    check "--if-missing takes an id" if_missing_by_id
    check "--if-missing refuses a key of another type" refused 'is ec:P-256, not rsa:2048' \
        --type rsa:2048 --label p256 --if-missing
    check "--if-missing refuses two keys of one label" refused '2 private keys.*--id' \
        --type ec:P-256 --label twin --if-missing
    check "--if-missing warns of an extractable key" warns_extractable
    check "--if-missing warns of a key that is not sensitive" warns_not_sensitive
    check "a new key that is extractable after all is an error" disowns_extractable
    check "a token that knows fewer attributes gets fewer" fewer_attributes 1 \
        'sign(, signRecover)?' ''
    check "or fewer still, with a warning" fewer_attributes 2 \
        'decrypt, sign(, signRecover)?, unwrap' 'more than sign'
    check "a refused template is an error in the end" gives_up 3 0xd1 \
        CKR_TEMPLATE_INCONSISTENT rsa:2048
    check "a refused curve is tried by name" gives_up 2 0x130 \
        'CKR_DOMAIN_PARAMS_INVALID.*makes no such keys' ed25519
    check "another error is not tried again" gives_up 1 0x62 CKR_KEY_SIZE_RANGE rsa:4096
    check "RSA is asked for by two mechanisms" second_mechanism
    check "the log shows C_GenerateKeyPair" logs_calls
    check "keygen wants one token" fails 1 'tokens match' keygen --type ec:P-256 --label x
    check "a wrong token is an error" fails 1 'no token matches' keygen \
        --type ec:P-256 --label x --token 'pkcs11:token=nope'
    check "--token names no object" fails 2 'token' keygen --type ec:P-256 \
        --label x --token "$DEMO;object=x"
    check "an unknown type is a usage error" fails 2 'rsa:1024' keygen --type rsa:1024 --label x
    check "an id that is not hexadecimal is one" fails 2 'hexadecimal' keygen \
        --type ec:P-256 --label x --id 0g
    check "and one with half a byte" fails 2 'two digits' keygen \
        --type ec:P-256 --label x --id 012
    check "and a label that is not UTF-8" fails 2 'UTF-8' keygen \
        --type ec:P-256 --label $'a\xff' --token "$DEMO"
    check "objects without a name of their own have no URI" no_own_name
}

# ------------------------------------------------------ certificates

extensions() { # file
    plain x509 -in "$1" -noout -ext \
        basicConstraints,keyUsage,subjectKeyIdentifier > listing &&
        cat listing >&2 && grep -A1 'Basic Constraints: critical' listing |
        grep -q '^ *CA:FALSE$' &&
        grep -A1 'Key Usage: critical' listing |
        grep -q '^ *Digital Signature, Non Repudiation$' &&
        grep -A1 'Subject Key Identifier:' listing | grep -qE '^ *([0-9A-F]{2}:){19}[0-9A-F]{2} *$'
}

certifies() { # type
    hs selfsign --key "${made[$1]}" --subject "/C=DE/O=hsmsign/CN=$1" \
        --out "cert.$1.pem" && plain verify -check_ss_sig -x509_strict \
        -CAfile "cert.$1.pem" "cert.$1.pem" &&
        extensions "cert.$1.pem" || return 1
    # GnuTLS verifies no signature of a certificate that is no CA's, its own
    # included; the how-to below has it verify a document with one.
    certtool --certificate-info --infile "cert.$1.pem" > info && cat info >&2 &&
        grep -A1 'Basic Constraints (critical)' info | grep -q 'FALSE' &&
        grep -A2 'Key Usage (critical)' info | tr -d '\n' |
        grep -q 'Digital signature.*Non repudiation' || return 1
    p11 --export-pubkey "${made[$1]}" --outfile pub.pem > /dev/null 2>&1 &&
        plain pkey -pubin -in pub.pem -out a.pem &&
        plain x509 -in "cert.$1.pem" -noout -pubkey -out b.pem && cmp a.pem b.pem
}

requests() { # type
    hs csr --key "${made[$1]}" --subject "/CN=$1" --san 'email:a@example.org,DNS:b' \
        --out "$1.csr" && plain req -in "$1.csr" -verify -noout &&
        plain req -in "$1.csr" -noout -text -nameopt RFC2253 > listing && cat listing >&2 &&
        grep -q "Subject: CN=$1\$" listing &&
        grep -q 'email:a@example.org, DNS:b' listing &&
        grep -A1 'Key Usage: critical' listing | grep -q 'Digital Signature, Non Repudiation' &&
        certtool --crq-info --infile "$1.csr" > crq && cat crq >&2 &&
        grep -q 'Self signature: verified' crq
}

issued() { # a CA makes a certificate of the request
    plain x509 -req -in rsa:2048.csr -CA "$T/ca.pem" -CAkey "$T/ca.key" \
        -copy_extensions copy -days 9 -out issued.pem &&
        plain verify -CAfile "$T/ca.pem" issued.pem && extensions issued.pem &&
        certtool --verify --load-ca-certificate "$T/ca.pem" --infile issued.pem
}

subject_is() { # SUBJECT EXPECTED
    hs selfsign --key "${made[ec:P-256]}" --subject "$1" --out s.pem &&
        equal "$2" "$(plain x509 -in s.pem -noout -subject -nameopt RFC2253,-esc_msb,utf8)" &&
        equal "$(plain x509 -in s.pem -noout -subject | cut -d= -f 2-)" \
            "$(plain x509 -in s.pem -noout -issuer | cut -d= -f 2-)"
}

valid_for() { # days, option...
    local end

    hs selfsign --key "${made[ec:P-256]}" --subject /CN=x --out d.pem "${@:2}" || return 1
    end=$(($1 * 86400))
    plain x509 -in d.pem -noout -checkend $((end - 600)) &&
        ! plain x509 -in d.pem -noout -checkend $((end + 600))
}

other_digest() {
    hs selfsign --key "${made[ec:P-384]}" --subject /CN=x --digest sha384 \
        --out - > s.pem && plain verify -CAfile s.pem s.pem &&
        plain x509 -in s.pem -noout -text | grep -q 'ecdsa-with-SHA384'
}

serials_differ() {
    hs selfsign --key "${made[ec:P-256]}" --subject /CN=x --out 1.pem &&
        hs selfsign --key "${made[ec:P-256]}" --subject /CN=x --out 2.pem &&
        [ "$(plain x509 -in 1.pem -noout -serial)" != \
            "$(plain x509 -in 2.pem -noout -serial)" ]
}

old_file_stays() {
    echo old > keep
    fails 1 'nope' csr --key "$DEMO;object=nope" --subject /CN=x --out keep &&
        equal old "$(cat keep)" && [ -z "$(find . -name '.hsmsign-*')" ]
}

test_certificates() {
    local type

    for type in rsa:2048 ec:P-256 ec:P-521 ed25519; do
        check "selfsign with $type: openssl verifies it, certtool reads it" certifies "$type"
        check "csr with $type: openssl and certtool verify it" requests "$type"
    done
    check "a CA issues a certificate from the request" issued
    check "a subject has several attributes" subject_is '/C=DE/O=A B/CN=c' \
        'subject=CN=c,O=A B,C=DE'
    check "and characters with a meaning" subject_is '/O=a\/b=c\+d\e/CN=Grüße' \
        'subject=CN=Grüße,O=a/b=c\+de'
    check "and values that belong together" subject_is '/O=a+OU=b/CN=c' \
        'subject=CN=c,OU=b+O=a'
    check "a certificate is valid for a year" valid_for 365
    check "or as many days as were asked for" valid_for 3 --days 3
    check "serial numbers are random" serials_differ
    check "another digest, and standard output" other_digest
    check "a failure leaves the old file" old_file_stays
    for bad in 'CN=x' '/CN=' '/CN' '/' '/NOPE=x' '/C=Deutschland' '//CN=x'; do
        check "the subject \"$bad\" is refused" fails 1 '--subject' csr \
            --key "$DEMO;object=p256" --subject "$bad" --out x
    done
    for bad in nope '@section' 'dirName:section' 'DNS:'; do
        check "the alternative name \"$bad\" is refused" fails 1 '--san' csr \
            --key "$DEMO;object=p256" --subject /CN=x --san "$bad" --out x
    done
    for bad in 0 -1 x 3x 99999999999999999999; do
        check "--days $bad is a usage error" fails 2 '--days' selfsign \
            --key "$DEMO;object=p256" --subject /CN=x --days "$bad" --out x
    done
    check "an unknown digest is an error" fails 1 'digest nope' csr \
        --key "$DEMO;object=p256" --subject /CN=x --digest nope --out x
    check "a digest for Ed25519 is a usage error" fails 2 'ED25519' csr \
        --key "${made[ed25519]}" --subject /CN=x --digest sha256 --out x
    check "a key without public half is an error with a remedy" fails 1 'hsmsign-public-file' \
        csr --key "$DEMO;object=ed25519-bare" --subject /CN=x --out x
}

# ------------------------------------------------------- import-cert

imports() { # type
    local uri id=${made[$1]##*id=}

    hs import-cert --key "${made[$1]}" --cert "cert.$1.pem" > out && one_line out || return 1
    uri=$(cat out)
    equal "${made[$1]/;type=private/;type=cert}" "$uri" || return 1
    tool --read-object --type cert --id "${id//%/}" -o back.der &&
        plain x509 -in "cert.$1.pem" -outform DER -out cert.der &&
        cmp cert.der back.der && p11 --export "$uri" > back.pem 2> /dev/null &&
        plain x509 -in back.pem -outform DER | cmp cert.der - &&
        equal "$1" "$(hs keys "$uri" | cut -f 3)"
}

# The DER of subject, issuer and serial number, as a search by them needs.
findable() {
    tool -O --type cert 2> /dev/null | grep -A4 'label:  *new rsa:2048' > listing
    cat listing >&2
    grep -qE 'DN: (C=DE, O=hsmsign, CN=rsa:2048|CN=rsa:2048,O=hsmsign,C=DE)$' listing &&
        plain x509 -in cert.rsa:2048.pem -noout -serial | cut -d= -f 2 > serial &&
        grep -qi "serial: *$(cat serial)" listing
}

import_again() {
    tool -O 2> /dev/null | sort > before
    equal "${made[rsa:2048]/;type=private/;type=cert}" \
        "$(hs import-cert --key "${made[rsa:2048]}" --cert cert.rsa:2048.pem)" &&
        unchanged
}

import_other() {
    hs selfsign --key "${made[rsa:2048]}" --subject /CN=renewed --out renewed.pem || return 1
    tool -O 2> /dev/null | sort > before
    fails 1 'another certificate.*delete it first' import-cert \
        --key "${made[rsa:2048]}" --cert renewed.pem && unchanged
}

import_wrong() { # key
    tool -O 2> /dev/null | sort > before
    fails 1 'is not of this key' import-cert --key "$1" --cert cert.ec:P-256.pem && unchanged
}

# The signature that would tell fails: that is the reason, not the certificate.
cannot_compare() { # command option...
    says 1 'cannot be compared with the key: .*CKR_DEVICE_MEMORY' shimmed \
        FAIL=C_SignInit=0x31 -- "$1" --key "$DEMO;object=ed25519-bare" \
        --cert "$T/ed25519-bare.pem" "${@:2}" && ! grep -q 'not of this key' err
}

# No public half anywhere: the certificate is proved by a signature.
import_bare() {
    hs import-cert --key "$DEMO;object=ed25519-bare" --cert "$T/ed25519-bare.pem" > out &&
        equal "$DEMO;object=ed25519-bare;type=cert;id=%20" "$(cat out)" &&
        hs csr --key "$DEMO;object=ed25519-bare" --subject /CN=x --out bare.csr &&
        plain req -in bare.csr -verify -noout
}

no_certificates() { # CK_RV
    says 1 'takes no certificates.*hsmsign-public-file' shimmed \
        "FAIL=C_CreateObject=$1" -- import-cert --key "${made[ec:P-521]}" \
        --cert cert.ec:P-521.pem > out && [ ! -s out ]
}

device_full() {
    says 1 'CKR_DEVICE_MEMORY' shimmed FAIL=C_CreateObject=0x31 -- import-cert \
        --key "${made[ec:P-521]}" --cert cert.ec:P-521.pem &&
        ! grep -q 'no certificates' err
}

to_another_token() {
    hs import-cert --key "${made[ec:P-521]}" --cert cert.ec:P-521.pem \
        --token "pkcs11:token=second?pin-source=file:$T/second.pin" > out &&
        equal "pkcs11:token=second;${made[ec:P-521]#*;}" \
            "$(sed 's/type=cert/type=private/' out)" &&
        hs keys "$(cat out)?pin-source=file:$T/second.pin" > one && equal second "$(cut -f 1 one)"
}

# The configured PIN is the key's token's, and has been used up by it.
other_token_gets_no_pin() {
    says 1 'token "second"' shimmed -- import-cert --key "${made[ec:P-384]}" \
        --cert other.pem --token 'pkcs11:token=second' < /dev/null &&
        equal 1 "$(called C_Login)"
}

# The provider's module and hsmsign share a process: one login, one PIN.
one_login() {
    : > "$LOG"
    make_conf shim.cnf "pkcs11-module-path=$HSMSIGN_SHIM" "pkcs11-module-token-pin=$DEMO_PIN"
    OPENSSL_CONF=$WORK/shim.cnf HSMSIGN_SHIM_LOG=$LOG \
        HSMSIGN_SHIM_MODULE=$MODULE timeout 60 setsid -w "$HSMSIGN" \
        import-cert --key "${made[ed25519]}" --cert cert.ed25519.pem > out &&
        one_line out && equal 1 "$(called C_Login)"
}

test_import() {
    for type in rsa:2048 ec:P-256; do
        check "import-cert $type: other programs read it back" imports "$type"
    done
    check "with subject, issuer and serial number" findable
    check "importing it again changes nothing" import_again
    check "another certificate of the same key is refused" import_other
    check "a certificate of another RSA key is refused" import_wrong "${made[rsa:2048]}"
    check "and one of another EC key" import_wrong "${made[ec:P-384]}"
    check "and one of another key without public half" import_wrong "$DEMO;object=p256-bare"
    for command in import-cert 'sign --format cms --in cert.ec:P-256.pem --out never'; do
        # shellcheck disable=SC2086 # words
        check "if its token cannot tell, ${command%% *} says why" cannot_compare $command
    done
    check "a key without public half gets its certificate" import_bare
    for rv in 0x54 0x13 0xd1 0x6; do
        check "a token that takes no certificates ($rv): what to do" no_certificates "$rv"
    done
    check "a full token is another matter" device_full
    check "import-cert stores on another token" to_another_token
    hs selfsign --key "${made[ec:P-384]}" --subject /CN=other --out other.pem
    check "which is not sent the first one's PIN" other_token_gets_no_pin
    check "with the provider from openssl.cnf there is one login" one_login
    check "import-cert wants a pkcs11: URI" fails 2 '--key' import-cert \
        --key "$T/p256.key" --cert "$T/p256.pem"
    check "a missing certificate is an error" fails 1 'missing.pem' import-cert \
        --key "$DEMO;object=p256" --cert missing.pem
    check "a wrong token is an error to import-cert" fails 1 'no token matches' import-cert \
        --key 'pkcs11:token=nope;object=p256' --cert "$T/p256.pem"
}

# ------------------------------------------------------------ how-to

# The steps of the manual, one after the other, on a token that is empty.
how_to() {
    local token='pkcs11:token=empty' key cert

    key=$(hs keygen --type rsa:3072 --label signer --token "$token" --if-missing) &&
        hs selfsign --key "$key" --subject '/C=DE/O=Example/CN=Signer' \
            --days 730 --out signer.pem &&
        cert=$(hs import-cert --key "$key" --cert signer.pem) &&
        hs keys "$token" > listing && cat listing >&2 &&
        equal "private public cert " "$(cut -f 2 listing | tr '\n' ' ')" &&
        equal 1 "$(cut -f 5 listing | sort -u | wc -l)" &&
        equal "$key" "$(sed -n 1p listing | cut -f 6)" &&
        equal "$cert" "$(sed -n 3p listing | cut -f 6)" &&
        hs sign --key "$key" --cert signer.pem --format cms --in doc --out doc.p7s &&
        hs verify --format cms --in doc --sig doc.p7s --cert signer.pem &&
        plain cms -verify -binary -inform DER -in doc.p7s -content doc \
            -CAfile signer.pem -purpose any -out back && cmp doc back &&
        certtool --p7-verify --inder --load-certificate signer.pem \
            --load-data doc --infile doc.p7s
}

# --cert through OSSL_STORE.
cert_by_uri() {
    hs sign --key "${made[ec:P-256]}" --cert "file:$WORK/cert.ec:P-256.pem" \
        --format cades --in doc --out uri.p7s &&
        plain cms -verify -cades -binary -inform DER -in uri.p7s -content doc \
            -CAfile cert.ec:P-256.pem -purpose any -out back && cmp doc back
}

broken_chain() {
    cat cert.ec:P-256.pem > broken.pem
    printf '%s\n' '-----BEGIN CERTIFICATE-----' MIIB '-----END CERTIFICATE-----' >> broken.pem
    fails 1 'broken.pem' sign --key "${made[ec:P-256]}" --cert "file:$WORK/broken.pem" \
        --format cades --in doc --out never && [ ! -e never ]
}

helps() { # command
    hs "$1" --help > out 2> err && [ ! -s err ] && grep -q "^usage: hsmsign $1" out &&
        hs --help | grep -q "^  $1 "
}

test_how_to() {
    check "the how-to: keygen, selfsign, import-cert, keys, sign, verify" how_to
    check "sign takes its certificate from an OSSL_STORE URI" cert_by_uri
    check "a URI whose second certificate is broken is refused" broken_chain
    check "a URI without certificate is refused" fails 1 'p256.pub' sign \
        --key "${made[ec:P-256]}" --cert "file:$T/p256.pub" --format cades \
        --in doc --out never
    check "two tokens of one label are told apart by serial number" same_label
    for command in keys keygen csr selfsign import-cert; do
        check "$command has a help text" helps "$command"
    done
    for command in keygen csr selfsign import-cert; do
        check "$command wants its options" fails 2 'is missing' "$command"
    done
}

skip() {
    test_count=$((test_count + 1))
    echo "ok $test_count - $1 # SKIP $2"
}

conf=$WORK/openssl.cnf
test_keys
test_keygen
test_certificates
test_import
test_how_to
finish
