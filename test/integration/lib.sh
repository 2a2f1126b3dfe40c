# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the integration tests share; sourced by them.
#
# The programs under test run through "ours", which is unmodified openssl with
# a configuration that make_conf wrote.  What they made is verified through
# "plain", the same openssl without any configuration, in which hsmsign does
# not exist.
#
# $MODULE is the module that hsmsign loads, and $DEMO_PIN the PIN of the token
# "demo": SoftHSM's, or, where HSMSIGN_TEST_CLOUDHSM says its switches, the
# simulator of AWS CloudHSM in front of it (see test/cloudhsm/sim.h).
#
# Results are TAP.  A program that is missing ends the test, and a test without
# its plan (finish) has failed.  What CloudHSM cannot do is skipped there
# (except_cloudhsm), with the reason.
set -u
export LC_ALL=C

: "${HSMSIGN_PROVIDER:?}" "${HSMSIGN:?}" "${HSMSIGN_SHIM:?}"
: "${HSMSIGN_TOKEN:?}" "${HSMSIGN_SOURCE:?}" "${SOFTHSM2_MODULE:?}"
unset HSM_MODULE HSM_PIN HSM_PIN_FILE HSMSIGN_LOG OPENSSL_MODULES

# shellcheck disable=SC2034 # tests use it
DEMO_PIN=${HSMSIGN_TEST_PIN:-1234}
MODULE=$SOFTHSM2_MODULE
test_count=0
test_failures=0
server=

bail() {
    echo "Bail out! $*"
    exit 1
}

# need PROGRAM...: no test without them
need() {
    local program

    for program in "$@"; do
        command -v "$program" > /dev/null || bail "$program is not installed"
    done
}

clean_up() {
    [ -z "$server" ] || kill "$server" 2> /dev/null
    rm -rf "$WORK"
}

# report STATUS SENTENCE: one result; if it is bad, with what was printed
report() {
    test_count=$((test_count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $test_count - $2"
        return
    fi
    test_failures=$((test_failures + 1))
    echo "not ok $test_count - $2"
    head -c 4000 stdout | cat -v | sed 's/^/# stdout: /'
    head -c 4000 stderr | cat -v | sed 's/^/# stderr: /'
}

# report_lines FILE PREFIX: a program's lines "ok ..." and "not ok ...", as ours
report_lines() {
    local line

    while IFS= read -r line; do
        case $line in
        'ok '*) report 0 "$2${line#ok }" ;;
        'not ok '*) report 1 "$2${line#not ok }" ;;
        *) echo "$line" ;;
        esac
    done < "$1"
}

# run COMMAND...: what it prints goes to stdout and stderr; $status is its exit
run() {
    "$@" > stdout 2> stderr < /dev/null
    status=$?
}

# check SENTENCE COMMAND...: the command has to succeed
check() {
    run "${@:2}"
    report "$status" "$1"
}

# refute SENTENCE COMMAND...: it has to fail, by itself, not by a signal
refute() {
    run "${@:2}"
    [ "$status" -ge 1 ] && [ "$status" -lt 124 ]
    report $? "$1"
}

on_cloudhsm() {
    [ -n "${HSMSIGN_TEST_CLOUDHSM:-}" ]
}

on_strict_cloudhsm() {
    [[ ${HSMSIGN_TEST_CLOUDHSM:-} == strict* ]]
}

# except CONDITION REASON COMMAND...: check, refute or report, but not there
except() {
    local sentence=$4

    [ "$3" != report ] || sentence=$5
    if "$1"; then
        test_count=$((test_count + 1))
        echo "ok $test_count - $sentence # SKIP CloudHSM: $2"
    else
        "${@:3}"
    fi
}

except_cloudhsm() {
    except on_cloudhsm "$@"
}

except_strict_cloudhsm() {
    except on_strict_cloudhsm "$@"
}

# equal A B: for check, with something to look at
equal() {
    [ "$1" = "$2" ] || {
        printf 'expected: %s\ngot:      %s\n' "$1" "$2" >&2
        return 1
    }
}

# Prints the plan; the exit code says whether all was well.
finish() {
    echo "1..$test_count"
    [ "$test_failures" -eq 0 ]
    exit
}

# make_conf FILE [OPTION=VALUE]...: an openssl.cnf with default and hsmsign
make_conf() {
    {
        printf '%s\n' 'openssl_conf = init' \
            '[init]' 'providers = providers' \
            '[providers]' 'default = default_section' \
            'hsmsign = hsmsign_section' \
            '[default_section]' 'activate = 1' \
            '[req]' 'distinguished_name = name' '[name]' \
            '[hsmsign_section]' 'activate = 1' "module = $HSMSIGN_PROVIDER"
        [[ "$*" == *pkcs11-module-path=* ]] ||
            echo "pkcs11-module-path = $MODULE"
        [ $# -lt 2 ] || printf '%s\n' "${@:2}"
    } > "$1"
}

# openssl with the configuration $conf.  Nothing of it takes half a minute, and
# without a terminal it asks nobody for a PIN: it reads standard input.
ours() {
    OPENSSL_CONF=$conf timeout 30 setsid -w openssl "$@"
}

plain() {
    OPENSSL_CONF=/dev/null openssl "$@"
}

# uri OBJECT [TOKEN]
uri() {
    echo "pkcs11:token=${2:-demo};object=$1;type=private"
}

# percent_encode TEXT: for a URI's value
percent_encode() {
    local i

    for ((i = 0; i < ${#1}; i++)); do
        printf '%%%02x' "'${1:i:1}"
    done
}

# find_p11_kit_client: $client; false where p11-kit's server is not, or this
find_p11_kit_client() {
    client=$(find /usr/lib* -name p11-kit-client.so -print -quit 2> /dev/null)
    [ -n "$client" ] && command -v p11-kit > /dev/null
}

# wait_for_port LOG PROCESS: where hsmsignd listens, as it logs: $port
wait_for_port() {
    local i

    port=
    for ((i = 0; i < 600; i++)); do
        port=$(sed -n 's/.*"event":"listening".*"port":\([0-9]*\).*/\1/p' "$1")
        [ -z "$port" ] || return 0
        kill -0 "$2" 2> /dev/null || break
        sleep 0.05
    done
    cat "$1" >&2
    return 1
}

# copy_token DIR: the tokens as they were made; SoftHSM uses these from now on.
# Each test has its own: SoftHSM writes to a token at every login, and another
# process that starts just then does not see that token.
copy_token() {
    mkdir "$1" || bail "cannot make $1"
    cp -R "$HSMSIGN_TOKEN/tokens" "$1/tokens" || bail "cannot copy the token"
    printf '%s\n' "directories.tokendir = $WORK/$1/tokens" \
        'objectstore.backend = file' 'log.level = ERROR' > "$1/softhsm2.conf"
    export SOFTHSM2_CONF=$WORK/$1/softhsm2.conf
}

# serve OPTION...: s_server on a port that the system chooses: $port
serve() {
    local i

    port=
    : > server.out
    OPENSSL_CONF=$conf setsid openssl s_server -www -accept 127.0.0.1:0 "$@" \
        > server.out 2> server.err < /dev/null &
    server=$!
    for ((i = 0; i < 200; i++)); do
        port=$(sed -n 's/^ACCEPT .*:\([0-9][0-9]*\)$/\1/p' server.out)
        [ -z "$port" ] || return 0
        kill -0 "$server" 2> /dev/null || break
        sleep 0.05
    done
    stop_server
    return 1
}

stop_server() {
    kill "$server" 2> /dev/null
    wait "$server" 2> /dev/null
    server=
    cat server.err >&2
}

# handshake OPTION...: whether a client that trusts the CA is content
handshake() {
    plain s_client -connect "127.0.0.1:$port" -CAfile "$HSMSIGN_TOKEN/ca.pem" \
        -verify_return_error "$@" < /dev/null
}

need openssl setsid timeout
[ -f "$HSMSIGN_TOKEN/made" ] || bail "$HSMSIGN_TOKEN is not complete"
WORK=$(mktemp -d) || bail 'no temporary directory'
trap clean_up EXIT
cd "$WORK" || exit 1
: > stdout
: > stderr
conf=$WORK/openssl.cnf
# By the name that hsmsign knows it by.
if on_cloudhsm; then
    export HSMSIGN_CLOUDHSM_SIM=$HSMSIGN_TEST_CLOUDHSM
    MODULE=$WORK/libcloudhsm_pkcs11.so
    ln -s "${HSMSIGN_CLOUDHSM:?}" "$MODULE"
fi
copy_token token
