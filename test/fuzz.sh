#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Fuzzes what reads bytes of others: pkcs11: URIs, key files, what a token says
# of a key, a token that answers every call as the input says, and what hsmsignd
# is asked.  Builds test/fuzz/fuzz_*.c with clang, libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer in build/fuzz, and runs each for 60 seconds from its
# corpus, as many at once as there are cores.  The corpus itself is not changed.
#
#   test/fuzz.sh [--seconds N] [uri|pem|attrs|token|request]...
#
# One line of TAP for each; exits 1 if one found something.  Its input, named
# in what is printed, stays in build/fuzz/findings, and is tried again by
#
#   HSMSIGN_FAKE=build/fuzz/test/fake_module.so build/fuzz/test/fuzz_pem FILE
#
# When it is mended, keep the input in test/fuzz/corpus as bad-WHAT.
set -euo pipefail
cd "$(dirname "$0")/.."
usage() {
    echo "usage: test/fuzz.sh [--seconds N] [uri|pem|attrs|token|request]..." >&2
    exit 2
}

seconds=60
targets=()
while [ $# -gt 0 ]; do
    case $1 in
        --seconds)
            [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage
            seconds=$2
            shift
            ;;
        uri | pem | attrs | token | request) targets+=("$1") ;;
        *) usage ;;
    esac
    shift
done
[ ${#targets[@]} -gt 0 ] || targets=(uri pem attrs token request)

./test/install.sh clang libclang-rt-dev >&2
dir=build/fuzz
if [ ! -f $dir/build.ninja ]; then
    CC=clang meson setup $dir -Dtests=enabled -Db_sanitize=address,undefined \
        -Db_lundef=false -Dc_args=-fsanitize=fuzzer-no-link > /dev/null
fi
meson compile -C $dir fake_module "${targets[@]/#/fuzz_}" > $dir/compile.log 2>&1 || {
    cat $dir/compile.log
    exit 1
}

work=$(mktemp -d)
# Background jobs of a script do not get the terminal's SIGINT.
trap 'jobs -rp | xargs -r kill; wait; rm -rf "$work"' EXIT
mkdir -p $dir/findings

# Longer than what the code takes at most, so that its limits are met; a token's
# answers are used again when they are at their end.
declare -A max_len=([uri]=9000 [pem]=20000 [attrs]=12000 [token]=2000 [request]=70000)
export HSMSIGN_FAKE=$PWD/$dir/test/fake_module.so
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:quarantine_size_mb=64
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

fuzz() { # target: runs it; its output and exit status go to $work
    local status=0

    cp -r "test/fuzz/corpus/$1" "$work/$1"
    "$dir/test/fuzz_$1" -max_total_time="$seconds" -max_len="${max_len[$1]}" \
        -timeout=60 -malloc_limit_mb=64 -print_final_stats=1 \
        -artifact_prefix="$PWD/$dir/findings/" "$work/$1" \
        > "$work/$1.log" 2>&1 < /dev/null || status=$?
    echo $status > "$work/$1.status"
}

# result NUMBER TARGET: its line of TAP; whether it found nothing
result() {
    local log=$work/$2.log runs coverage verdict='ok' status

    status=$(cat "$work/$2.status")
    # Printed twice where it ends with a leak.
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    coverage=$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -n 1 |
        sed 's/cov: \([0-9]*\) ft: \([0-9]*\)/\1 edges, \2 features/') || true
    if [ "$status" -ne 0 ] || [ "${runs:-0}" -eq 0 ]; then
        verdict='not ok'
    fi
    echo "$verdict $1 - fuzz_$2: ${runs:-no} executions, ${coverage:-nothing} covered"
    [ "$verdict" = ok ] && return
    tail -n 60 "$log" | cat -v | sed 's/^/# /'
    sed -n 's/^.*Test unit written to /# found: /p' "$log"
    return 1
}

echo "1..${#targets[@]}"
for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
        wait -n || true
    done
    fuzz "$target" &
done
wait
failed=0
for i in "${!targets[@]}"; do
    result $((i + 1)) "${targets[$i]}" || failed=1
done
exit $failed
