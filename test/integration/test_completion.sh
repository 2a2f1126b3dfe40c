#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# conf/completions in a real bash, and that each option of --help stands in the
# man page.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
mkdir bin
ln -s "$HSMSIGN" bin/hsmsign
[ -z "${HSMSIGND:-}" ] || ln -s "$HSMSIGND" bin/hsmsignd
PATH=$WORK/bin:$PATH
mkdir papers
touch document.pdf papers/one

# completes LINE WORD...: what is offered behind LINE, whose last word may be empty
completes() {
    local -a COMP_WORDS COMPREPLY=()
    local COMP_CWORD offered

    IFS=' ' read -ra COMP_WORDS <<< "$1"
    [[ $1 != *' ' ]] || COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    compopt() { :; } # there is no completion going on
    # shellcheck disable=SC1090
    . "$HSMSIGN_SOURCE/conf/completions/${COMP_WORDS[0]}"
    "_${COMP_WORDS[0]}"
    offered=$(printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' ')
    [ "$offered" = "$(printf '%s\n' "${@:2}" | sort | tr '\n' ' ')" ] || {
        echo "offered: $offered" >&2
        return 1
    }
}

check 'a sub-command is completed' completes 'hsmsign ver' verify
check 'all of them are offered' completes 'hsmsign ' sign verify uri2pem keys keygen csr selfsign \
    import-cert doctor --help --version
check 'an option is completed' completes 'hsmsign sign --out-' --out-dir
check 'a file is' completes 'hsmsign sign --in doc' document.pdf
check 'a directory is' completes 'hsmsign sign --out-dir b' bin
check 'a format is' completes 'hsmsign sign --format c' cms cades
check 'a URI begins' completes 'hsmsign sign --key ' pkcs11:
check 'an operand is a file' completes 'hsmsign sign doc' document.pdf
# Such a word is no pattern, and nothing may be written between what is typed.
quietly() { completes "$@" && [ ! -s stderr ]; }
check 'so it is behind a path' quietly 'hsmsign sign papers/one doc' document.pdf
check 'each sub-command has its own options' completes 'hsmsign doctor --r' --report
if [ -n "${HSMSIGND:-}" ]; then
    check 'hsmsignd: behind a path' quietly 'hsmsignd papers/one --audit-s' --audit-sync
    check 'hsmsignd: an option' completes 'hsmsignd --audit-s' --audit-sync
    check 'hsmsignd: a file' completes 'hsmsignd --users doc' document.pdf
    check 'hsmsignd: a file of several' completes 'hsmsignd --verify-audit doc' document.pdf
    check 'hsmsignd: a user' completes 'hsmsignd --user roo' root
fi

# describes PAGE COMMAND...: the man page has each option that --help prints
describes() {
    local page=$HSMSIGN_SOURCE/examples/$1 option bad=0

    while read -r option; do
        # mdoc writes --chain as "Fl -chain".
        grep -qE -- "Fl -${option#--}( |\$)" "$page" || {
            echo "$1 has no $option" >&2
            bad=1
        }
    done < <("${@:2}" --help | sed -n 's/^  \(--[a-z0-9-]*\).*/\1/p')
    return "$bad"
}

for command in sign verify uri2pem keys keygen csr selfsign import-cert doctor; do
    check "hsmsign(1) has each option of $command" describes hsmsign.1 "$HSMSIGN" "$command"
done
# The options of openssl.cnf, by the table that reads them.
provider_options() {
    sed -n 's/^    { "\(\(pkcs11-module\|hsmsign\)-[a-z0-9-]*\)", .*/\1/p' \
        "$HSMSIGN_SOURCE/provider/config.c" | sort > table
    # mdoc: ".It Li NAME = VALUE", or in a sentence ".Li NAME ,".
    sed -n 's/^\.\(It \)\{0,1\}Li \(\(pkcs11-module\|hsmsign\)-[a-z0-9-]*\)\( .*\)\{0,1\}$/\2/p' \
        "$HSMSIGN_SOURCE/conf/hsmsign-provider.7" | sort -u > page
    [ -s table ] && diff table page
}
check 'hsmsign-provider(7) has each option of openssl.cnf, and no other' provider_options
if [ -n "${HSMSIGND:-}" ]; then
    check 'hsmsignd(8) has each option' describes hsmsignd/hsmsignd.8 "$HSMSIGND"
    environment() {
        local name

        for name in $("$HSMSIGND" --help | sed -n 's/^ *or \([A-Z_]*\)$/\1/p'); do
            grep -q "Ev $name" "$HSMSIGN_SOURCE/examples/hsmsignd/hsmsignd.8" || {
                echo "no $name" >&2
                return 1
            }
        done
    }
    check 'and each variable' environment
fi
finish
