#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The README's table of tokens, from results to Markdown.
# shellcheck disable=SC2317 # functions are called through check and refute
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1

begin='<!-- tokens: made by test/tokens_table.py -->'
end='<!-- tokens: end -->'

table() {
    python3 "$HSMSIGN_SOURCE/test/tokens_table.py" "$@"
}

line() { # token version kind what result
    printf '%s\t%s\t3.0\t%s\t%s\t%s\n' "$@"
}

says_row() {
    table results > made && { cat made; grep -qxF -e "$1" made; }
}

refused() { # TEXT [OPTION]...
    table "${@:2}" 2> message && return 1
    cat message >&2
    grep -qF -e "$1" message
}

tells() { # TEXT OPTION...
    equal "$1" "$(table "${@:2}")"
}

{
    line tpm2 1.9.0 rsa2048 pkcs1 works
    line tpm2 1.9.0 rsa2048 pss works
    line tpm2 1.9.0 rsa2048 pss-mgf1 works
    line tpm2 1.9.0 rsa2048 pss-sha3 'padded here'
    line tpm2 1.9.0 p256 ecdsa works
    line tpm2 1.9.0 p384 ecdsa 'no: it has none'
    line tpm2 1.9.0 ed25519 keygen 'no: it has none'
    line tpm2 1.9.0 p256 keygen works
    line tpm2 1.9.0 p256 threads works
    line tpm2 1.9.0 p256 child works
    line tpm2 1.9.0 rsa2048 fork 'no: a session is shared'
    line tpm2 1.9.0 rsa2048 child works
    line softhsm 2.6.1 rsa2048 pkcs1 works
    line softhsm 2.6.1 rsa2048 pss works
    line softhsm 2.6.1 rsa2048 pss-mgf1 'padded here'
    line softhsm 2.6.1 rsa2048 pss-sha3 'padded here'
    line softhsm 2.6.1 ed25519 eddsa works
    line softhsm 2.6.1 ed25519 child works
    line softhsm 2.6.1 ed25519 fork works
    line softhsm 2.6.1 rsa2048 keygen works
    line softhsm 2.6.1 rsa2048 keygen 'no: it is full'
} > results
tpm='| tpm2-pkcs11, swtpm | 1.9.0 | 3.0 | yes | yes | MGF1 with SHA-1: yes, SHA-3: padded here | P-256 | no | P-256 | no | yes | child alone |'
check 'what works is told by kind, and what does not is a no' says_row "$tpm"
check 'the worst result of a cell counts' says_row \
    '| SoftHSM | 2.6.1 | 3.0 | yes | yes | padded here | no | yes | no | no | no | yes |'
check 'SoftHSM stands before the others' \
    equal 'SoftHSM tpm2-pkcs11,' "$(sed -n '3,4s/^| \([^ ]*\).*/\1/p' made | tr '\n' ' ' | sed 's/ $//')"

printf '%s\n' 'before' "$begin" 'an old table' "$end" 'behind' > README.md
check 'the table is written between its markers' table --into README.md results
check 'what stood there is gone' equal 0 "$(grep -c 'an old table' README.md)"
cp README.md once.md
check 'it is written again' table --into README.md results
check 'which changes nothing' cmp README.md once.md
check 'a table that is what the results say is accepted' tells '' --in README.md results
sed -i 's/child alone/yes/' README.md
check 'another one is refused' refused 'the table has' --in README.md results
sed -i 's/| 1.9.0 |/| 1.9.1 |/' README.md
check 'of another version nothing is said, but that' \
    tells 'another version: tpm2-pkcs11, swtpm | 1.9.0 | 3.0' --in README.md results

echo 'no markers' > other.md
check 'a file without markers is refused' refused 'it needs one line' --into other.md results
check 'and left alone' equal 'no markers' "$(cat other.md)"
line nss 3.87.1 p256 ecdsa fails >> results
check 'a failure makes no table' refused 'failed: nss 3.87.1: p256, ecdsa' results
line nss 3.87.1 p256 ecdsa perhaps > unknown
check 'an unknown result is refused' refused 'unknown:1: not known' unknown
echo 'nss works' > malformed
check 'a line of other fields is refused' refused 'malformed:1: 1 fields' malformed
: > empty
check 'no results make no table' refused 'no results' empty
finish
