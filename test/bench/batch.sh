#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hsmsign sign --out-dir beside the bare PKCS #11 loop (bare.c), with a token
# that takes 2 ms for a call: SoftHSM behind the shim, key P-256, raw.  Both
# have the same number of sessions; they run in turn, and the medians count.
#
#   batch.sh [--files N] [--sessions N] [--rounds N] [--full]
#
# --full: 10,000 files, as the target says.  Prints one table: signatures per
# second of the bare loop; files per second of hsmsign while it signs (loop) and
# from its start to its end (all), and what these are of the bare loop's; and
# what it reaches with a key in a file, where no token but the disk is the limit:
# the signatures are put on it (syncfs) before the end.  TMPDIR says
# where; /dev/shm leaves the disk out.
set -euo pipefail
: "${HSMSIGN:?}" "${HSMSIGN_BARE:?}" "${HSMSIGN_SHIM:?}" "${HSMSIGN_TOKEN:?}"
: "${SOFTHSM2_MODULE:?}"

files=1000 sessions=8 rounds=3
while [ $# -gt 0 ]; do
    case $1 in
    --full) files=10000 ;;
    --files | --sessions | --rounds)
        declare "${1#--}=${2:?}"
        shift
        ;;
    *)
        sed -n 's/^# *\(batch.sh \[.*\)/usage: \1/p' "$0" >&2
        exit 2
        ;;
    esac
    shift
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$HSMSIGN_TOKEN/tokens" "$work/tokens"
printf '%s\n' "directories.tokendir = $work/tokens" \
    'objectstore.backend = file' 'log.level = ERROR' > "$work/softhsm2.conf"
export SOFTHSM2_CONF=$work/softhsm2.conf OPENSSL_CONF=/dev/null
export HSM_MODULE=$HSMSIGN_SHIM HSM_PIN=1234
export HSMSIGN_SHIM_MODULE=$SOFTHSM2_MODULE HSMSIGN_SHIM_DELAY_US=2000
export HSMSIGN_SHIM_MAX_SESSIONS=$sessions
mkdir "$work/in"
for ((i = 0; i < files; i++)); do
    echo "$i" > "$work/in/$i"
done

median() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# sign FILE KEY: the seconds that signing took go to FILE, all of them to all
sign() {
    local start end

    rm -rf "$work/out"
    sync -f "$work"
    start=$(date +%s.%N)
    printf '%s\0' "$work"/in/* | "$HSMSIGN" sign --format raw --key "$2" \
        --out-dir "$work/out" --files-from - 2> "$work/said"
    end=$(date +%s.%N)
    echo "$start $end" | awk '{ print $2 - $1 }' >> "$1.all"
    sed -n "s/^hsmsign: $files signed, 0 skipped, 0 failed, \(.*\) s\$/\1/p" \
        "$work/said" >> "$1"
}

for ((round = 0; round < rounds; round++)); do
    "$HSMSIGN_BARE" "$HSMSIGN_SHIM" p256 "$sessions" "$files" >> "$work/bare"
    sign "$work/loop" 'pkcs11:token=demo;object=p256;type=private'
    sign "$work/disk" "$HSMSIGN_TOKEN/p256.key"
done
[ "$(cat "$work/loop" "$work/disk" | wc -l)" -eq $((2 * rounds)) ]
echo "$files $sessions $(median < "$work/bare") $(median < "$work/loop") \
$(median < "$work/loop.all") $(median < "$work/disk")" | awk '{
    printf "files     sessions  bare/s  loop/s  ratio   all/s  ratio  disk/s\n"
    printf "%-8d  %8d  %6.0f  %6.0f  %5.3f  %6.0f  %5.3f  %6.0f\n",
        $1, $2, $1 / $3, $1 / $4, $3 / $4, $1 / $5, $3 / $5, $1 / $6 }'
