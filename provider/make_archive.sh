#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make_archive.sh OUTPUT ARCHIVE...: joins archives into one, of which only
# hsmsign_provider_init is seen from outside.
set -eu
output=$1
shift
object=$output.o
${LD:-ld} -r -o "$object" --whole-archive "$@"
${OBJCOPY:-objcopy} --keep-global-symbol=hsmsign_provider_init "$object"
rm -f "$output"
${AR:-ar} rcs "$output" "$object"
rm -f "$object"
