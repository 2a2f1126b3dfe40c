#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What the linked files need and show: the module exports one function, works
# with every OpenSSL from 3.0 on, and needs nothing but libcrypto and libc;
# pkcs11/ does not know OpenSSL; the archive for static linking has one name.
#
# A build with a sanitizer needs that sanitizer's libraries too.
set -u
export LC_ALL=C
: "${HSMSIGN_PROVIDER:?}" "${HSMSIGN_ARCHIVE:?}" "${HSMSIGN_PKCS11_ARCHIVE:?}"

count=0
failures=0

# is SENTENCE EXPECTED GOT
is() {
    count=$((count + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $count - $1"
        return
    fi
    failures=$((failures + 1))
    echo "not ok $count - $1"
    printf '# expected: %s\n# got:      %s\n' "${2//$'\n'/ }" "${3//$'\n'/ }"
}

for program in nm objdump; do
    command -v "$program" > /dev/null || {
        echo "Bail out! $program is not installed"
        exit 1
    }
done
for file in "$HSMSIGN_PROVIDER" "$HSMSIGN_ARCHIVE" "$HSMSIGN_PKCS11_ARCHIVE"; do
    [ -s "$file" ] || {
        echo "Bail out! $file is missing"
        exit 1
    }
done

is 'module exports OSSL_provider_init and nothing else' 'OSSL_provider_init' \
    "$(nm -D --defined-only "$HSMSIGN_PROVIDER" | awk '{ print $3 }')"

# The floor of the libcrypto that it is linked with: 3.0.0 for all 3.x.
major=$(objdump -p "$HSMSIGN_PROVIDER" |
    sed -n 's/^ *NEEDED *libcrypto\.so\.//p')
versions=$(objdump -T "$HSMSIGN_PROVIDER" |
    sed -n 's/.*(\{0,1\}\(OPENSSL_[0-9.]*\))\{0,1\} .*/\1/p' | sort -u)
is "module imports no symbol that is newer than OpenSSL $major.0.0" \
    "OPENSSL_$major.0.0" "$versions"

# libdl, libpthread and the dynamic linker are parts of libc.
needed=$(objdump -p "$HSMSIGN_PROVIDER" |
    sed -n 's/^ *NEEDED *//p' | sed 's/\.so\..*//' |
    grep -vE '^(lib(asan|ubsan|tsan|dl|pthread)|ld-linux.*)$' | sort)
is 'module needs libcrypto and libc alone' 'libc libcrypto' \
    "$(paste -sd ' ' <<< "$needed")"

is 'module binds at load time and its tables are read-only then' 'yes' \
    "$(objdump -p "$HSMSIGN_PROVIDER" |
        awk '/RELRO/ { relro = 1 } /FLAGS.*0x0*8|BIND_NOW/ { now = 1 }
            END { print relro && now ? "yes" : "no" }')"

is 'module has no executable stack' 'rw-' \
    "$(objdump -p "$HSMSIGN_PROVIDER" |
        awk '/STACK/ { getline; print $NF }')"

undefined=$(nm "$HSMSIGN_PKCS11_ARCHIVE" 2> /dev/null | awk '{ print $NF }')
is 'pkcs11 archive was read' 'yes' \
    "$(grep -qx p11_key_sign <<< "$undefined" && echo yes || echo no)"
is 'pkcs11 archive names nothing of OpenSSL' '' \
    "$(grep -E '^(EVP_|OSSL_|ERR_|CRYPTO_|OPENSSL_|BIO_|ASN1_|X509_|d2i_|i2d_)' \
        <<< "$undefined" | sort -u)"

is 'archive for static linking has one global name' 'hsmsign_provider_init' \
    "$(nm -g --defined-only "$HSMSIGN_ARCHIVE" | awk 'NF == 3 { print $3 }')"
is 'archive for static linking asks for none of our names' '' \
    "$(nm -u "$HSMSIGN_ARCHIVE" | awk '$2 ~ /^(p11_|prov_)/ { print $2 }')"

is 'nothing writes to standard output' '' \
    "$(nm -D --undefined-only "$HSMSIGN_PROVIDER" |
        awk '$2 ~ /^(printf|puts|putchar|stdout|__printf_chk|vprintf)(@|$)/ {
            print $2 }')"

echo "1..$count"
[ "$failures" -eq 0 ]
