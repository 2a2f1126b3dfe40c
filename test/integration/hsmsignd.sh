# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the tests of hsmsignd share; sourced by them after lib.sh.
# shellcheck disable=SC2034 # $server is lib.sh's
if [ -z "${HSMSIGND:=}" ]; then
    echo '1..0 # SKIP hsmsignd is not built'
    exit
fi

# start_hsmsignd KEY [OPTION]...: in the background: $hsmsignd is its process,
# $port where it listens, hsmsignd.log what it says.
start_hsmsignd() {
    local key=$1

    : > hsmsignd.log # the shell below may be slow to do so
    HSM_MODULE=${HSM_MODULE:-$MODULE} HSM_PIN=$DEMO_PIN \
        HSM_CERT=$HSMSIGN_TOKEN/$key.pem HSM_CHAIN=$HSMSIGN_TOKEN/ca.pem \
        "$HSMSIGND" --port 0 --key "$(uri "$key")" "${@:2}" \
        > hsmsignd.out 2> hsmsignd.log < /dev/null &
    hsmsignd=$!
    server=$hsmsignd
    wait_for_port hsmsignd.log "$hsmsignd"
}

# It ends by itself and content; what it logged besides requests is shown.
stop_hsmsignd() {
    local status

    kill -TERM "$hsmsignd"
    wait "$hsmsignd"
    status=$?
    server=
    grep -v '"event":"request"' hsmsignd.log >&2
    return "$status"
}
