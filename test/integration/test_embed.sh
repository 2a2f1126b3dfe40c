#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# examples/embed.c, the provider linked into a program: it signs without an
# openssl.cnf, leaves nothing behind, and is built from what is installed.
# shellcheck disable=SC2317 # functions that check calls
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need valgrind cc pkg-config meson
: "${HSMSIGN_EMBED:?}" "${HSMSIGN_BUILD:?}"
(umask 077 && echo "$DEMO_PIN" > pin && echo "${DEMO_PIN}9" > wrong-pin)
head -c 100000 /dev/urandom > document

embed() { # program key pin-file
    "$1" "$MODULE" "$3" "$(uri "$2")" document > "$2.sig" &&
        plain dgst -sha256 -verify "$HSMSIGN_TOKEN/$2.pub" -signature "$2.sig" document
}

for key in rsa2048 p256 p521; do
    check "embed signs with $key, and openssl verifies" embed "$HSMSIGN_EMBED" $key pin
done

refute 'embed fails with a wrong PIN' embed "$HSMSIGN_EMBED" p256 wrong-pin
cp stderr said
check 'embed says why it failed' grep -q CKR_PIN_INCORRECT said

skip() {
    test_count=$((test_count + 1))
    echo "ok $test_count - $1 # SKIP $2"
}

grind() {
    valgrind -q --error-exitcode=99 --leak-check=full \
        --errors-for-leak-kinds=definite,indirect "$HSMSIGN_EMBED" "$@"
}
if [ -e /proc/self ]; then
    check 'embed frees all that it took' embed grind rsa2048 pin
else
    skip 'embed frees all that it took' 'valgrind needs /proc, which is not mounted'
fi

install_and_build() {
    DESTDIR=$WORK/root meson install -C "$HSMSIGN_BUILD" --no-rebuild > /dev/null || return
    pc=$(find root -name hsmsign.pc)
    prefix=$WORK/root$(sed -n 's/^prefix=//p' "$pc")
    # shellcheck disable=SC2046
    cc -o embed "$HSMSIGN_SOURCE/examples/embed.c" \
        $(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$prefix" \
            --cflags --libs hsmsign)
}
check 'embed builds from what is installed' install_and_build
check 'and what was built so signs' embed ./embed p256 pin

for file in ossl-modules/hsmsign.so bin/hsmsign lib*/libhsmsign.a hsmsign.h hsmsign.pc \
    hsmsign.1 hsmsign-provider.7 openssl-softhsm.cnf openssl-cloudhsm.cnf; do
    # shellcheck disable=SC2016
    check "install puts ${file##*/} in its place" \
        sh -c 'find root -path "*/$1*" | grep -q .' sh "$file"
done
finish
