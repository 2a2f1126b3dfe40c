#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The README's table of programs, from results to Markdown.
# shellcheck disable=SC2317 # functions are called through check and refute
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1

begin='<!-- programs: made by test/programs_table.py -->'
end='<!-- programs: end -->'

table() {
    python3 "$HSMSIGN_SOURCE/test/programs_table.py" "$@"
}

line() { # program version openssl key way result
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$@"
}

says_row() {
    table results > made && { cat made; grep -qxF -e "$1" made; }
}

refused() { # TEXT [OPTION]...
    table "${@:2}" 2> message && return 1
    cat message >&2
    grep -qF -e "$1" message
}

{
    line nginx 1.26.3 3.5.7 rsa2048 PEM works
    line nginx 1.22.1 3.0.22 p256 PEM works
    line nginx 1.22.1 3.0.22 rsa2048 PEM works
    line nginx 1.22.1 3.0.22 rsa2048 URI cannot
    line apache 2.4.71 3.0.22 rsa2048 URI works
    line apache 2.4.71 3.0.22 rsa2048 PEM works
    line bind 9.20.30 3.5.9 p256 URI works
    line bind 9.20.30 3.5.9 p256 PEM works
    line bind 9.20.30 3.5.9 rsa2048 PEM works
    line php 8.2.36 3.0.22 rsa2048 URI cannot
    line curl 7.88.1 3.0.22 rsa2048 PEM fails
    line curl 7.88.1 3.0.22 rsa2048 PEM works
    line xmlsec1 1.2.37 3.0.22 rsa2048 PEM 'wants the private key'
    line xmlsec1 1.2.37 3.0.22 p256 PEM works
} > results
check 'there is a column for each version of OpenSSL' \
    says_row '| program | OpenSSL 3.0 | OpenSSL 3.5 |'
check 'a program has one row, keys come in one order' says_row \
    '| nginx | 1.22.1 PEM: RSA, EC | 1.26.3 PEM: RSA |'
check 'ways that do the same stand together, what was not tried is a dash' \
    says_row '| apache | 2.4.71 PEM, URI: RSA | - |'
check 'ways that differ stand apart' \
    says_row '| bind | - | 9.20.30 PEM: RSA, EC; URI: EC |'
check 'what signs in no way is a no' says_row '| php | 8.2.36 no | - |'
check 'a later result replaces an earlier one' \
    says_row '| curl | 7.88.1 PEM: RSA | - |'
check 'a key that the program wants for itself is told' says_row \
    '| xmlsec1 | 1.2.37 PEM: EC (not RSA: it wants the private key itself) | - |'

printf '%s\n' 'before' "$begin" 'an old table' "$end" 'behind' > README.md
check 'the table is written between its markers' table --into README.md results
check 'what stood there is gone' equal 0 "$(grep -c 'an old table' README.md)"
check 'what stands around it stays' \
    equal "before $begin $end behind" "$(sed -n '1,2p' README.md | tr '\n' ' ')$(tail -n 2 README.md | tr '\n' ' ' | sed 's/ $//')"
cp README.md once.md
check 'it is written again' table --into README.md results
check 'which changes nothing' cmp README.md once.md

echo 'no markers' > other.md
check 'a file without markers is refused' refused 'it needs one line' --into other.md results
check 'and left alone' equal 'no markers' "$(cat other.md)"
line nginx 1.22.1 3.0.22 ed25519 PEM fails >> results
check 'a failure makes no table' \
    refused 'failed: nginx 1.22.1 3.0.22: ed25519, PEM' results
line nginx 1.22.1 3.0.22 ed25519 PEM perhaps > unknown
check 'an unknown result is refused' refused 'unknown:1: not known' unknown
echo 'nginx works' > malformed
check 'a line of other fields is refused' refused 'malformed:1: 1 fields' malformed
: > empty
check 'no results make no table' refused 'no results' empty
finish
