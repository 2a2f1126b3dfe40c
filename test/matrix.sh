#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Other versions of OpenSSL, each in a Debian chroot of its own:
#
#   matrix.sh make DIR   makes the chroots that DIR lacks, all at once
#   matrix.sh test DIR   tests in them, one after the other
#
# In each,  1. what build/ holds, which was built here, signs with the openssl
#              that is there, and
#           2. the tree is built there and passes its tests, as run.sh --quick;
#              not those that may fail if HSMSIGN_MAY=built, and without the
#              suite that HSMSIGN_MATRIX_WITHOUT names.
#
# What has to pass leaves its results in DIR/must, the others in DIR/may, for
# count.py: of these a failure is a warning, since they move, and what breaks
# there may be mended there.  For programs_table.py there are DIR/*.tsv.  A
# chroot is made anew after a week, or when the tests need other packages.
#
# Needs root.  Mounts live in a namespace of the processes inside: nothing
# remains mounted, however this ends.
set -euo pipefail
cd "$(dirname "$0")/.."
what=$1 dir=$(realpath -m "$2")

# suite, the OpenSSL expected there, whether it has to pass, and whether other
# people's programs are tested there: in sid they use another OpenSSL than 4.0.
suites=(
    'trixie 3.5. must programs'
    'forky  3.6. may  programs'
    'sid    4.   may  -'
)

# In sid there is 3.6 as well; 4.0 waits in experimental.
# shellcheck disable=SC2016 # for a shell of mmdebstrap's
from_experimental='
    sed "s/ sid / experimental /" "$1/etc/apt/sources.list" \
        > "$1/etc/apt/sources.list.d/experimental.list"
    chroot "$1" apt-get update -q
    chroot "$1" apt-get install -qy -t experimental openssl libssl-dev'

# Those of the programs that the suite has.
# shellcheck disable=SC2016 # for a shell of mmdebstrap's
add_programs='
    cp test/install.sh "$1/root"
    chroot "$1" /root/install.sh --programs'

make_chroot() { # suite, "programs" or not
    local root=$dir/$1
    local -a hook=() packages made

    read -ra packages < <(./test/install.sh --list)
    read -ra made < <(./test/install.sh --list ${2:+--programs})
    [ "$(cat "$root.made" 2> /dev/null)" != "${made[*]}" ] ||
        [ -n "$(find "$root.made" -mtime +7)" ] || return 0
    rm -rf "$root" "$root.made"
    [ "$1" != sid ] || hook+=(--customize-hook="$from_experimental")
    [ -z "$2" ] || hook+=(--customize-hook="$add_programs")
    timeout --foreground 1800 mmdebstrap --variant=minbase --aptopt="$dir/apt.conf" \
        --include="$(IFS=,; echo "${packages[*]}")" "${hook[@]}" "$1" "$root" \
        > "$root.log" 2>&1 && echo "${made[*]}" > "$root.made"
}

make_all() {
    local suite must programs

    ./test/install.sh mmdebstrap
    # A mirror that stands still has dates that are over: judged as here.
    apt-config dump | grep '^Acquire::Check-' > "$dir/apt.conf" || true
    while read -r suite _ must programs; do
        [ "$must" = must ] || [ "${HSMSIGN_MAY:-}" != built ] || programs=-
        make_chroot "$suite" "${programs#-}" &
    done < <(printf '%s\n' "${suites[@]}")
    wait
}

inside() { # suite, command...
    # shellcheck disable=SC2016 # for the shell inside
    timeout 2400 unshare --mount --pid --fork --kill-child bash -euc '
        mount -t proc proc "$0/proc"
        mount -t tmpfs tmpfs "$0/dev/shm"
        mount -t devpts -o newinstance,ptmxmode=0666 devpts "$0/dev/pts"
        mount --bind "$0/dev/pts/ptmx" "$0/dev/ptmx"
        exec chroot "$0" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            "$@"' "$dir/$1" "${@:2}"
}

copy_in() { # root
    rm -rf "$1/src" "$1/built"
    mkdir "$1/src" "$1/built"
    tar --exclude=./build --exclude=./.git -cf - . | tar -xf - -C "$1/src"
    cp build/provider/hsmsign.so build/examples/hsmsign build/test/shim.so \
        "$1/built"
}

# What was built here, inside: prints the results.
test_built() { # suite
    local module=/usr/lib/softhsm/libsofthsm2.so log test status=0

    log=$dir/$1.make_token.log
    inside "$1" bash /src/test/make_token.sh /built/token "$module" \
        > "$log" 2>&1 || status=$?
    ./test/log_result.py "$1: built here: make_token" "$status" "$log"
    for test in openssl_signs openssl_keys cli; do
        log=$dir/$1.$test.log
        status=0
        inside "$1" HSMSIGN_PROVIDER=/built/hsmsign.so HSMSIGN=/built/hsmsign \
            HSMSIGN_SHIM=/built/shim.so HSMSIGN_SOURCE=/src \
            HSMSIGN_TOKEN=/built/token SOFTHSM2_MODULE="$module" \
            SOFTHSM2_CONF=/built/token/softhsm2.conf OPENSSL_CONF=/dev/null \
            HSMSIGN_TEST_KEYS=/built/token/cli HSMSIGN_TEST_BIG=100 \
            HSM_MODULE="$module" HSM_PIN=1234 \
            bash "/src/test/integration/test_$test.sh" \
            > "$log" 2>&1 || status=$?
        ./test/log_result.py "$1: built here: $test" "$status" "$log"
    done
}

# The tree, built and tested inside: prints the results.
test_tree() { # suite, must or may
    local log=$dir/$1.run.log tests=$dir/$1/src/build/meson-logs/testlog.json
    local status=0

    if [ "$2" = may ] && [ "${HSMSIGN_MAY:-}" = built ]; then
        printf '{"name": "%s", "result": "SKIP", "stdout": "ok 1 - %s"}\n' \
            "$1: run.sh --quick" "the tree # SKIP HSMSIGN_MAY=built"
        return
    fi

    [ -z "${HSMSIGN_MATRIX_WITHOUT:-}" ] ||
        printf '{"name": "%s", "result": "SKIP", "stdout": "ok 1 - %s"}\n' "$1: run.sh --quick" \
            "suite $HSMSIGN_MATRIX_WITHOUT # SKIP HSMSIGN_MATRIX_WITHOUT"
    inside "$1" HSMSIGN_PROGRAMS=no HSMSIGN_TEST_EVERY=10 \
        HSMSIGN_WITHOUT="${HSMSIGN_MATRIX_WITHOUT:-}" \
        /src/test/run.sh --quick > "$log" 2>&1 || status=$?
    if [ ! -f "$tests" ]; then
        ./test/log_result.py "$1: run.sh --quick" 1 "$log"
        return
    fi
    cat "$tests"
    cp "$dir/$1/src/build/programs.tsv" "$dir/$1.tsv" || true
    # Whatever else it did not like.
    [ "$status" = 0 ] || ! ./test/count.py "$tests" > /dev/null ||
        ./test/log_result.py "$1: run.sh --quick" "$status" "$log"
}

test_suite() { # suite, version of OpenSSL expected, that is there, must or may
    if [ ! -f "$dir/$1.made" ]; then
        ./test/log_result.py "$1: the chroot cannot be made" 1 "$dir/$1.log"
    elif [[ $3 != "$2"* ]]; then
        ./test/log_result.py "$1: OpenSSL $3, not $2" 1 /dev/null
    else
        copy_in "$dir/$1"
        test_built "$1"
        test_tree "$1" "$4"
    fi
}

# What the logs say of what went wrong: in TAP, or at their end.
show_failures() { # suite
    local log
    local -a logs=("$dir/$1".*.log)

    [ -f "$dir/$1.made" ] || logs=("$dir/$1.log")
    for log in "${logs[@]}"; do
        if grep -qE '^(not ok|Bail out)' "$log"; then
            grep -H -A 12 -E '^(not ok|Bail out)' "$log"
        elif ! grep -q '^1\.\.' "$log"; then
            tail -v -n 40 "$log"
        fi
    done
}

test_all() {
    local row suite expected must version log

    rm -rf "$dir/must" "$dir/may"
    mkdir -p "$dir/must" "$dir/may"
    for row in "${suites[@]}"; do
        read -r suite expected must _ <<< "$row"
        version=$(inside "$suite" openssl version | cut -d ' ' -f 2) ||
            version=none
        echo "== $suite: OpenSSL $version"
        log=$dir/$must/$suite.json
        rm -f "$dir/$suite".*.log "$dir/$suite.tsv"
        test_suite "$suite" "$expected" "$version" "$must" > "$log"
        ./test/count.py "--$must" "$log" || show_failures "$suite"
    done
}

mkdir -p "$dir"
case $what in
make) make_all ;;
test) test_all ;;
*) exit 2 ;;
esac
