#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hsmsign sign --out-dir: many documents by one process, with keys on a token,
# seen through the call log of a PKCS #11 module (the shim) that stands in front
# of SoftHSM.  openssl without configuration verifies what was signed.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need script mount umount setpriv

T=$HSMSIGN_TOKEN
HSMSIGN=$(realpath "$HSMSIGN")
export HSM_MODULE=$HSMSIGN_SHIM HSM_PIN=1234
export HSMSIGN_SHIM_MODULE=$SOFTHSM2_MODULE HSMSIGN_SHIM_LOG=$WORK/calls
: > calls

# sign KEY FORMAT OPTION...
sign() {
    : > "$WORK/calls"
    timeout 100 "$HSMSIGN" sign --key "$(uri "$1")" --cert "$T/$1.pem" \
        --format "$2" "${@:3}"
}

# calls NAME: how many there were
calls() {
    grep -c "^$1 " calls
}

# summary SIGNED SKIPPED FAILED [LEFT]: what the last line of stderr says
summary() {
    tail -n 1 stderr | grep -q "^hsmsign: $1 signed, $2 skipped, $3 failed\
${4:+, $4 left}, [0-9.]* s\$"
}

# verify_raw KEY DOCUMENT SIGNATURE [OPTION]...
verify_raw() {
    if [ "$1" = ed25519 ]; then
        plain pkeyutl -verify -rawin -pubin -inkey "$T/$1.pub" -in "$2" \
            -sigfile "$3" > /dev/null
    else
        plain dgst -sha256 "${@:4}" -verify "$T/$1.pub" -signature "$3" "$2" \
            > /dev/null
    fi
}

# verify_cms DOCUMENT SIGNATURE [OPTION]...
verify_cms() {
    plain cms -verify -binary -inform DER -CAfile "$T/ca.pem" -purpose any \
        -content "$1" -in "$2" -out verified "${@:3}"
}

# all_verify DIR DOCUMENT...: raw signatures with p256, one of each
all_verify() {
    local dir=$1 document

    shift
    for document; do
        verify_raw p256 "$document" "$dir/$(basename -- "$document").sig" || {
            printf 'bad: %q\n' "$document" >&2
            return 1
        }
    done
    equal $# "$(find "$dir" -name '*.sig' -printf x | wc -c)"
}

# All but that of the slow run, which is not at its end.
no_rubbish() {
    equal '' "$(find . -path ./slow.out -prune -o -name '.hsmsign-*' -print)"
}

# a directory's files: names, inodes and times; a file that is replaced differs
snapshot() {
    stat -c '%n %i %y' "$1"/*
}

mkdir docs
for ((i = 0; i < 200; i++)); do
    head -c "$((i * 100))" /dev/urandom > "docs/document $i"
done

test_many() {
    check '200 documents are signed by 8 threads' \
        sign p256 raw --threads 8 --out-dir out docs/*
    [ ! -s stdout ] && [ "$(wc -l < stderr)" -eq 1 ] && summary 200 0 0
    report $? 'nothing is printed but a summary'
    check 'openssl verifies all of them' all_verify out docs/*
    equal 1 "$(calls C_Login)" 2> stderr
    report $? 'there is one login'
    equal '200 200' "$(calls C_SignInit) $(calls C_Sign)" 2> stderr
    report $? 'each costs C_SignInit and C_Sign'
    equal 755-644 "$(stat -c %a out)-$(stat -c %a 'out/document 0.sig')" \
        2> stderr
    report $? 'directory and signatures have modes by the umask'
    check 'no temporary file is left' no_rubbish
    snapshot out > before
    check 'a second run succeeds' sign p256 raw --out-dir out docs/*
    summary 0 200 0
    report $? 'and skips all'
    equal '0 0' "$(calls C_SignInit) $(calls C_Sign)" 2> stderr
    report $? 'and makes no signature'
    snapshot out | cmp before - > stderr
    report $? 'and leaves the files as they were'
    check '--quiet says nothing' sign p256 raw --quiet --out-dir out docs/*
    [ ! -s stdout ] && [ ! -s stderr ]
    report $? '--quiet says nothing'
    check '--force signs' sign p256 raw --force --out-dir out docs/*
    equal 200 "$(calls C_Sign)" && all_verify out docs/*
    report $? 'all of them anew'
}

test_replaced() {
    local victim='out/document 7.sig'

    head -c 60 /dev/urandom > "$victim"
    : > 'out/document 8.sig'
    plain dgst -sha256 -sign "$T/p384.key" -out 'out/document 9.sig' \
        'docs/document 9'
    cp 'out/document 1.sig' 'out/document 10.sig'
    check 'a run over signatures that are not valid succeeds' \
        sign p256 raw --out-dir out docs/*
    summary 4 196 0
    report $? 'rubbish, nothing, and those of another key or document go'
    check 'openssl verifies all of them again' all_verify out docs/*
    check 'another digest is another signature' \
        sign rsa2048 raw --out-dir digest docs/*1
    check 'which is made where the first one is' \
        sign rsa2048 raw --digest sha512 --out-dir digest docs/*1
    summary 20 0 0
    report $? 'for all of them'
    echo precious > precious
    ln -s "$WORK/precious" 'digest/document 0.sig'
    refute 'a symbolic link is no signature' \
        sign rsa2048 raw --out-dir digest 'docs/document 0'
    [ "$status" -eq 3 ] && equal precious "$(cat precious)" 2> stderr
    report $? 'and what it leads to stays'
}

# key, format, more options, how openssl verifies: options of verify_...
kinds=(
    'rsa2048 raw   --pss|-sigopt rsa_padding_mode:pss'
    'rsa3072 raw|'
    'p384    raw|'
    'ed25519 raw|'
    'rsa2048 cms|'
    'rsa2048 cms   --pss --digest sha384|'
    'p521    cms   --digest sha512|'
    'rsa2048 cades|-cades'
    'rsa2048 cades --pss|-cades'
    'p256    cades|-cades'
)

kind() { # signature's extension, key, format, options of sign, -- of verify
    local extension=$1 key=$2 format=$3 dir="kind.$test_count" document
    local -a options=() verify=()

    shift 3
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    verify=("${@:2}")
    [ "$format" = raw ] || options+=(--chain "$T/ca.pem")
    sign "$key" "$format" "${options[@]}" --out-dir "$dir" docs/*9 || return 1
    for document in docs/*9; do
        set -- "$document" "$dir/${document#docs/}.$extension"
        if [ "$format" = raw ]; then
            verify_raw "$key" "$@" "${verify[@]}" || return 1
        else
            verify_cms "$@" "${verify[@]}" || return 1
        fi
    done
    sign "$key" "$format" "${options[@]}" --out-dir "$dir" docs/*9 &&
        equal 0 "$(calls C_Sign)"
}

test_kinds() {
    local row key format options extension

    for row in "${kinds[@]}"; do
        read -r key format options <<< "${row%|*}"
        extension=p7s
        [ "$format" = raw ] && extension=sig
        # shellcheck disable=SC2086 # of words
        check "sign, verify, and skip: $key $format $options" \
            kind "$extension" "$key" "$format" $options -- ${row#*|}
    done
    : > calls
    check 'raw needs no certificate' timeout 100 "$HSMSIGN" sign \
        --key "$(uri p256)" --format raw --out-dir out docs/*
    summary 0 200 0
    report $? 'nor does skipping'
}

test_names() {
    local -a names=('two  blanks' $'new\nline' -dash --out $'latin1-\xe4'
        "quote'\"" '*' 'back\slash' $'tab\t' .hidden name.sig)
    local name

    # shellcheck disable=SC2016 # it is a name
    names+=('$HOME')
    mkdir strange sub
    for name in "${names[@]}"; do
        echo "$name" > "strange/$name"
    done
    find strange -type f -print0 > list
    check 'names of all kinds in --files-from' \
        sign p256 raw --out-dir named --files-from list
    summary "${#names[@]}" 0 0 && all_verify named strange/* strange/.hidden
    report $? 'are all signed'
    find strange -type f -print0 | {
        sign p256 raw --out-dir piped --files-from - sub/../list
    } > stdout 2> stderr
    report "${PIPESTATUS[1]}" '--files-from - and an operand'
    check 'are all signed' all_verify piped strange/* strange/.hidden list
    cd strange || exit 1
    sign p256 raw --out-dir ../dashed -- -dash --out > ../stdout 2> ../stderr
    report $? 'a dash begins a name behind --'
    cd ..
    check 'which is signed' all_verify dashed strange/-dash strange/--out
    printf 'docs/document 3' > list
    check 'the last name needs no NUL' \
        sign p256 raw --out-dir last --files-from list
    check 'and is signed' all_verify last 'docs/document 3'
    : > list
    check 'no names at all are no error' \
        sign p256 raw --out-dir none --files-from list
}

# As README.md says: a machine's share of the documents.
share() { # machine, of how many
    find docs -type f -print0 | sort -z |
        split -t '\0' -n "r/$1/$2" > "share.$1" &&
        sign p256 raw --out-dir shared --files-from "share.$1"
}

test_shares() {
    local i

    for i in 1 2 3; do
        check "machine $i of 3 signs its share" share "$i" 3
        grep -q 'hsmsign: 6[67] signed, 0 skipped' stderr
        report $? 'which nobody else has'
    done
    check 'the shares are all documents' all_verify shared docs/*
    rm -rf shared
    # One after the other: SoftHSM's token is away while another logs in.
    find docs -type f -print0 | timeout 100 xargs -0 -n 50 "$HSMSIGN" \
        sign --key "$(uri p256)" --format raw --out-dir shared -- \
        > stdout 2> stderr
    report "${PIPESTATUS[1]}" 'xargs runs several, one by one'
    check 'and all documents are signed' all_verify shared docs/*
}

# wrong SENTENCE TEXT OPTION...: the command line is wrong, nothing is done
wrong() {
    refute "$1" sign p256 raw "${@:3}"
    [ "$status" -eq 2 ] && [ ! -s stdout ] && [ "$(wc -l < stderr)" -eq 1 ] &&
        grep -q -e "$2" stderr && equal 0 "$(grep -c . calls)" 2>> stderr
    report $? "$1: status 2 and one line, before anything is signed"
}

test_usage() {
    mkdir -p sub
    echo x > 'sub/document 1'
    echo x > 'docs.sig'
    wrong 'two documents of one name' 'would have one signature' \
        --out-dir wrong docs/* 'sub/document 1'
    wrong 'a document given twice' 'would have one signature' \
        --out-dir wrong 'docs/document 1' 'docs/document 1'
    mkdir own
    echo x > own/a
    echo x > own/a.sig
    wrong 'a document that a signature would replace' 'overwrite own/a.sig' \
        --out-dir own own/a own/a.sig
    equal x "$(cat own/a.sig)" 2> stderr
    report $? 'which is as it was'
    wrong 'standard input among the documents' 'is no file' --out-dir wrong -
    wrong 'no document' 'no FILE' --out-dir wrong
    wrong '--out with --out-dir' '--out does not go' --out-dir wrong --out x y
    wrong '--threads without --out-dir' '--threads is for --out-dir' \
        --threads 3 --in docs.sig --out x
    wrong 'operands without --out-dir' 'unexpected argument' \
        --in docs.sig --out x y
    wrong 'no threads' 'from 1 to' --threads 0 --out-dir wrong docs.sig
    wrong 'too many threads' 'from 1 to' --threads 257 --out-dir wrong docs.sig
    wrong 'threads that are no number' 'from 1 to' --threads 2x \
        --out-dir wrong docs.sig
    [ ! -e wrong ]
    report $? 'no usage error made the directory'
}

test_unreadable() {
    mkdir -p directory
    refute 'of unreadable documents the others are signed' \
        sign p256 raw --out-dir some docs/*2 docs/missing directory/
    [ "$status" -eq 3 ] && summary 20 0 2
    report $? 'with status 3 and a summary'
    grep -q '^hsmsign: cannot read docs/missing: No such file' stderr &&
        grep -q '^hsmsign: cannot sign directory: Is a directory$' stderr &&
        [ "$(wc -l < stderr)" -eq 3 ]
    report $? 'and a line with the reason for each'
    check 'openssl verifies the others' all_verify some docs/*2
    refute 'a missing list is an error' \
        sign p256 raw --out-dir some --files-from missing
    [ "$status" -eq 1 ] && grep -q 'cannot read missing: No such' stderr
    report $? 'that names it'
}

# fails_early SENTENCE TEXT COMMAND...: one line, no call to the token
fails_early() {
    : > calls
    refute "$1" "${@:3}"
    [ "$status" -eq 1 ] && [ "$(wc -l < stderr)" -eq 1 ] &&
        grep -q "$2" stderr && equal 0 "$(grep -c . calls)" 2>> stderr
    report $? "$1: one line, and the token is not touched"
}

as_nobody() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
    else
        "$@"
    fi
}

test_directory() {
    cp "$HSMSIGN" hsmsign
    cp "$T/p256.key" .
    chmod 755 "$WORK" p256.key
    mkdir -m 555 closed
    fails_early 'a directory that is not writable' 'closed: Permission denied' \
        as_nobody ./hsmsign sign --key p256.key --format raw \
        --out-dir closed docs/*
    fails_early 'a directory whose parent is missing' 'No such file' \
        sign p256 raw --out-dir missing/out docs/*
    fails_early 'a directory that is a file' 'precious: Not a directory' \
        sign p256 raw --out-dir precious docs/*
    mkdir -p full
    if mount -t tmpfs -o size=64k tmpfs full 2> /dev/null; then
        refute 'a directory that gets full' \
            sign p256 raw --threads 4 --out-dir full docs/*
        [ "$status" -eq 1 ] && [ "$(wc -l < stderr)" -eq 2 ] &&
            grep -q 'stopped: cannot write full/.*: No space left' stderr &&
            tail -n 1 stderr | grep -q ', [0-9]* left, '
        report $? 'stops the run with one line'
        [ "$(calls C_Sign)" -lt 100 ] && no_rubbish
        report $? 'without all the signatures, or a temporary file'
        umount full
    else
        for i in 1 2 3; do
            report 0 "a directory that gets full, $i # SKIP no tmpfs can be mounted here"
        done
    fi
}

# What goes wrong with the token as a whole.
test_token() {
    HSM_PIN=99 refute 'a wrong PIN' sign p256 raw --out-dir never docs/*
    [ "$status" -eq 1 ] && [ "$(wc -l < stderr)" -eq 1 ] &&
        equal 1 "$(calls C_Login)" 2>> stderr
    report $? 'is one line and one C_Login'
    HSMSIGN_SHIM_FAIL=C_SignInit=0x30 \
        refute 'a token that never signs' sign p256 raw --out-dir never docs/*
    [ "$status" -eq 1 ] && [ "$(wc -l < stderr)" -eq 2 ] && summary 0 0 0 200 &&
        grep -q 'stopped: .*CKR_DEVICE_ERROR' stderr
    report $? 'is one line, and how many are left'
    HSMSIGN_SHIM_FAIL=C_SignInit=0x30@50 refute 'a token that goes away' \
        sign p256 raw --threads 8 --out-dir never docs/*
    # What others had begun when it went is made again, and fails then.
    signed=$(sed -n 's/^hsmsign: \([0-9]*\) signed, .*/\1/p' stderr)
    [ "$status" -eq 1 ] && [ "$(wc -l < stderr)" -eq 2 ] && [ "$signed" -ge 35 ] &&
        [ "$signed" -le 49 ] && summary "$signed" 0 0 $((200 - signed)) &&
        [ "$(calls C_SignInit)" -lt 1000 ]
    report $? 'is one line, and soon given up'
    # Not even the provider's second tries help: the documents' do.
    HSMSIGN_SHIM_FAIL='C_SignInit=0x30*15@50' check 'a token that comes back' \
        sign p256 raw --threads 8 --out-dir never docs/*
    summary $((200 - signed)) "$signed" 0
    report $? 'gets the rest again'
    check 'openssl verifies all of them' all_verify never docs/*
    export HSMSIGN_SHIM_MAX_SESSIONS=3 HSMSIGN_SHIM_DELAY_US=2000
    check 'more threads than sessions' \
        sign p256 raw --threads 16 --force --out-dir never docs/*
    unset HSMSIGN_SHIM_MAX_SESSIONS HSMSIGN_SHIM_DELAY_US
    summary 200 0 0 && [ "$(grep -c '^C_OpenSession 0x0 ' calls)" -le 3 ]
    report $? 'sign all with the sessions that there are'
}

# A slow token with one session, beside the other tests: it takes most of a
# minute.
start_slow() {
    (
        copy_token slow
        export HSMSIGN_SHIM_LOG=$WORK/slow.calls HSMSIGN_SHIM_DELAY_US=900000
        export HSMSIGN_SHIM_MAX_SESSIONS=1
        timeout 200 "$HSMSIGN" sign --key "$(uri p256)" --format raw \
            --threads 16 --out-dir slow.out 'docs/document 1'[0-9] \
            'docs/document 2'[0-5] \
            > slow.stdout 2> slow.stderr < /dev/null
    ) &
    slow=$!
}

test_slow() {
    wait "$slow"
    status=$?
    cp slow.stdout stdout
    cp slow.stderr stderr
    report "$status" 'threads that wait for the one session too long'
    summary 16 0 0 &&
        all_verify slow.out 'docs/document 1'[0-9] 'docs/document 2'[0-5]
    report $? 'give their documents to the others'
}

# wait_for COMMAND...: until it succeeds; no test depends on how long that is
wait_for() {
    local n

    for ((n = 0; n < 600; n++)); do
        ! "$@" || return 0
        sleep 0.05
    done
    return 1
}

some_done() {
    [ "$(find interrupted -name '*.sig' 2> /dev/null | wc -l)" -ge 20 ]
}

test_signal() {
    local pid row code name sig n ok

    for row in TERM:143 INT:130; do
        code=${row#*:}
        name=${row%:*}
        rm -rf interrupted
        : > calls
        # A shell gives its background jobs SIG_IGN for SIGINT.
        HSMSIGN_SHIM_DELAY_US=20000 python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$HSMSIGN" sign --key "$(uri p256)" \
            --format raw --threads 4 --out-dir interrupted docs/* \
            > stdout 2> stderr < /dev/null &
        pid=$!
        wait_for some_done
        kill "-$name" "$pid"
        wait "$pid"
        equal "$code" $? 2>> stderr
        report $? "SIG$name ends a run with the status of the signal"
        [ "$(wc -l < stderr)" -eq 1 ] && grep -q '^hsmsign: interrupted: ' stderr
        report $? "SIG$name: a line says how far it came"
        check "SIG$name leaves no temporary file" no_rubbish
        ok=0
        for sig in interrupted/*; do
            verify_raw p256 "docs/$(basename "$sig" .sig)" "$sig" || ok=1
        done
        report "$ok" 'what was written is valid'
        n=$(find interrupted -type f | wc -l)
        check 'the next run succeeds' sign p256 raw --out-dir interrupted docs/*
        summary $((200 - n)) "$n" 0
        report $? 'and signs the rest'
        check 'openssl verifies all of them' all_verify interrupted docs/*
    done
}

on_terminal() { # OPTION...
    HSMSIGN_SHIM_DELAY_US=20000 script -qec "'$HSMSIGN' sign \
--key '$(uri p256)' --format raw --force --threads 2 --out-dir terminal $* docs/*" \
        typescript
}

test_progress() {
    if ! script -qec true /dev/null > /dev/null 2>&1 < /dev/null; then
        for i in 1 2 3; do
            report 0 "progress, $i # SKIP no pseudo-terminal can be opened"
        done
        return
    fi
    check 'sign on a terminal' on_terminal
    tr '\r' '\n' < stdout > lines
    grep -q '^hsmsign: [1-9][0-9]* of 200, 0 failed, [0-9]*/s, 0:00:[0-9]* left' \
        lines && grep -q '^hsmsign: 200 signed, 0 skipped, 0 failed' lines
    report $? 'progress and summary are shown'
    check '--quiet shows none' on_terminal --quiet
    [ ! -s stdout ]
    report $? '--quiet shows none'
}

start_slow
test_many
test_replaced
test_kinds
test_names
test_shares
test_usage
test_unreadable
test_directory
test_token
test_signal
test_progress
test_slow
equal '' "$(find . -name '.hsmsign-*')" 2> stderr
report $? 'no test left a temporary file'
finish
