#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# examples/demo.sh, in a copy of the source: it signs, verifies, says how.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
mkdir copy
tar -C "$HSMSIGN_SOURCE" --exclude=./build --exclude=./.git -cf - . | tar -C copy -xf -
unset SOFTHSM2_CONF OPENSSL_CONF
check 'the demo signs and verifies' copy/examples/demo.sh --no-install
cp stdout demo.out
for format in raw cms cades; do
    check "the demo signs $format through openssl and hsmsign" \
        sh -c "[ \$(grep -ic -- '$format' demo.out) -ge 2 ]"
done
check 'the demo runs a second time' copy/examples/demo.sh --no-install
finish
