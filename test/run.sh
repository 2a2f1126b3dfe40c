#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what the tests need, builds, and runs them all:
#
#   1. everything, as built for use
#   2. the C tests with AddressSanitizer and UndefinedBehaviorSanitizer
#   3. the C tests under valgrind
#   4. the tests of threads with ThreadSanitizer
#
# Ends with the line "N passed, N failed, N skipped".  Options:
#
#   --quick    only the first
#   --matrix   also the first on other versions of OpenSSL, in chroots (see
#              matrix.sh) below build/matrix or in what HSMSIGN_MATRIX names
#   --fuzz     also the fuzz targets, each for a minute (see fuzz.sh)
#   --bench    nothing of these, but the benchmarks (see PERFORMANCE.md)
set -euo pipefail
cd "$(dirname "$0")/.."
quick=no bench=no matrix='' fuzz=no maker=
for option; do
    case $option in
    --quick) quick=yes ;;
    --matrix) matrix=${HSMSIGN_MATRIX:-build/matrix} ;;
    --fuzz) fuzz=yes ;;
    --bench) quick=yes bench=yes ;;
    *)
        echo 'usage: test/run.sh [--quick] [--matrix] [--fuzz] | --bench' >&2
        exit 2
        ;;
    esac
done

[ $quick = yes ] || [ -e /proc/self ] || {
    echo 'run.sh: the sanitizers and valgrind need /proc: mount it, or give --quick' >&2
    exit 1
}
# HSMSIGN_PROGRAMS=no: other people's programs are tested if they are there.
if [ $bench = yes ]; then
    ./test/install.sh wrk
elif [ "${HSMSIGN_PROGRAMS:-yes}" = no ]; then
    ./test/install.sh
else
    # What is not for the chroots of --matrix, where its tests are skipped: a
    # browser, and what makes images and packages.
    ./test/install.sh --programs chromium chromium-driver debhelper mmdebstrap \
        python3-yaml systemd
fi
# What the tables in the README are made from (programs_table.py, tokens_table.py).
export HSMSIGN_RESULTS=$PWD/build/programs.tsv HSMSIGN_TOKENS=$PWD/build/tokens.tsv
if [ -n "$matrix" ]; then
    setsid ./test/matrix.sh make "$matrix" &
    maker=$!
    trap 'kill -- "-$maker" 2> /dev/null || true' EXIT
fi

logs=()
status=0

setup() { # build directory, options
    local dir=$1
    shift
    if [ -f "$dir/build.ninja" ]; then
        meson configure "$dir" -Dtests=enabled -Dhsmsignd=enabled "$@"
    else
        meson setup "$dir" -Dtests=enabled -Dhsmsignd=enabled "$@" > /dev/null
    fi
    meson compile -C "$dir" > "$dir/compile.log" 2>&1 || {
        cat "$dir/compile.log"
        echo '0 passed, 1 failed, 0 skipped'
        exit 1
    }
}

run() { # title, build directory, log base, options
    local title=$1 dir=$2 base=$3
    shift 3
    echo "== $title"
    rm -f "$dir/meson-logs/$base"*
    meson test -C "$dir" --no-rebuild --print-errorlogs --logbase "$base" "$@" || status=1
    # With a wrapper Meson adds its name.
    logs+=("$dir/meson-logs/$base"*.json)
}

setup build -Dwerror=true
if [ $bench = yes ]; then
    exec meson test -C build --no-rebuild --benchmark --verbose
fi
rm -f "$HSMSIGN_RESULTS" "$HSMSIGN_TOKENS"
# HSMSIGN_WITHOUT: a suite that is left out (matrix.sh).
run 'all tests' build testlog ${HSMSIGN_WITHOUT:+--no-suite "$HSMSIGN_WITHOUT"}

if [ $quick = no ]; then
    setup build/asan -Db_sanitize=address,undefined -Db_lundef=false
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 \
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
        run 'C tests, AddressSanitizer and UBSan' build/asan asan --suite unit -t 3

    run 'C tests, valgrind' build valgrind --suite unit --no-suite no-valgrind -t 10 \
        --wrapper 'valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --keep-debuginfo=yes --trace-children=no'

    setup build/tsan -Db_sanitize=thread -Db_lundef=false
    # Preloaded, the module stays: atexit() handlers of a library that was
    # unloaded are called by ThreadSanitizer all the same.
    TSAN_OPTIONS=halt_on_error=0:exitcode=66 \
        run 'tests of threads, ThreadSanitizer' build/tsan tsan --suite threads -t 3 \
        --wrapper "env LD_PRELOAD=$PWD/build/tsan/provider/hsmsign.so"
fi

if [ $fuzz = yes ]; then
    echo '== fuzz targets'
    fuzzed=0
    ./test/fuzz.sh > build/fuzz.tap || fuzzed=$?
    cat build/fuzz.tap
    ./test/log_result.py fuzz $fuzzed build/fuzz.tap > build/meson-logs/fuzz.json
    logs+=(build/meson-logs/fuzz.json)
fi

if [ -n "$matrix" ]; then
    echo '== other versions of OpenSSL'
    wait "$maker" || status=1
    ./test/matrix.sh test "$matrix" || status=1
    logs+=("$matrix"/must/*.json --may "$matrix"/may/*.json)
fi

./test/count.py "${logs[@]}" || status=1
exit $status
