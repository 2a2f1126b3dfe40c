#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hsmsignd while an HSM takes its time with the first load, with chains that are
# not complete any more, and with a certificate whose time is over.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/hsmsignd.sh
. "$HSMSIGN_SOURCE/test/integration/hsmsignd.sh"
need curl
T=$HSMSIGN_TOKEN

# answers STATUS PATH [BODY]
answers() {
    equal "$1" "$(curl -s -m 20 -o answer -D head -w '%{http_code}' ${3:+-d "$3"} "http://127.0.0.1:$port$2")"
}
printf data > data
SIGN="{\"action\":\"sign\",\"data_to_be_signed\":\"$(base64 -w0 data)\"}"
signs() { # KEY
    answers 200 /sign "$SIGN" &&
        plain dgst -sha256 -verify "$T/$1.pub" -signature answer data
}

# With each call of the module over a second long, the load takes twice LOAD_WAIT.
slow() { # MICROSECONDS [OPTION]...
    MODULE=$HSMSIGN_SHIM HSMSIGN_SHIM_MODULE=$SOFTHSM2_MODULE HSMSIGN_SHIM_DELAY_US=$1 \
        start_hsmsignd rsa2048 --deadline 30000 "${@:2}"
}
check 'it listens though the HSM takes its time' slow 1800000
check 'and says so' logged 1 '"event":"loading".*takes its time'
refute 'nothing is loaded' grep -q '"event":"loaded"' hsmsignd.log
check 'it lives' answers 200 /healthz
check 'it is not ready' answers 503 /readyz
check 'it signs nothing' answers 503 /sign "$SIGN"
check 'but tells to try again' grep -qi '^retry-after: 1' head
check 'it has metrics' answers 200 /metrics
check 'the HSM has answered' logged 1 '"event":"loaded".*"generation":1' 600
check 'it is ready' answers 200 /readyz
check 'it signs' signs rsa2048
check 'it ends' stop_hsmsignd

# Two that start at one port: one of them cannot listen, and is not held up.
one_ends() {
    local first second free i

    free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    slow_start() {
        HSM_MODULE=$HSMSIGN_SHIM HSMSIGN_SHIM_MODULE=$MODULE HSMSIGN_SHIM_DELAY_US=60000000 HSM_PIN=$DEMO_PIN \
            exec "$HSMSIGND" --port "$free" --key "$(uri rsa2048)" --drain 1
    }
    (slow_start) 2> first.log < /dev/null &
    first=$!
    (slow_start) 2> second.log < /dev/null &
    second=$!
    for ((i = 0; i < 300; i++)); do
        kill -0 "$first" 2> /dev/null || break
        kill -0 "$second" 2> /dev/null || break
        sleep 0.1
    done
    kill "$first" "$second" 2> kill.err
    for ((i = 0; i < 100; i++)); do
        kill -0 "$first" 2> kill.err || kill -0 "$second" 2> kill.err || break
        sleep 0.1
    done
    kill -KILL "$first" "$second" 2> kill.err # fails, if they have ended
    wait "$first"
    i=$?
    wait "$second"
    equal 1 $((i + $?)) && grep -h '"event":"listen"' first.log second.log | grep -q 'Address already in use' &&
        ! grep -q '"event":"service"' first.log second.log
}
check 'who cannot listen does not wait for the HSM' one_ends
check 'it listens though the HSM says nothing' slow 60000000 --drain 1
hsmsignd_ends() {
    stop_hsmsignd && grep -q '"event":"stopped".*"loading":true' hsmsignd.log
}
check 'it is not waited for in the end' hsmsignd_ends

# A new certificate, and the chain's file as it was.
cp "$T/rsa2048.pem" cert.pem
cp "$T/ca.pem" chain.pem
begin() {
    : > hsmsignd.log
    HSM_MODULE=$MODULE HSM_PIN=$DEMO_PIN "$HSMSIGND" --port 0 --key "$(uri rsa2048)" \
        --cert cert.pem --chain chain.pem > hsmsignd.out 2> hsmsignd.log < /dev/null &
    hsmsignd=$!
    server=$hsmsignd
    wait_for_port hsmsignd.log "$hsmsignd"
}
check 'it starts with a chain' begin
cat "$T/p256.pem" > chain.new && mv chain.new chain.pem
check 'one that is not complete any more is refused' logged 1 \
    '"level":"error","event":"chain","profile":"default".*it was complete'
check 'the one of before stays' logged 1 '"event":"loaded".*what was loaded before stays'
chain_length() {
    answers 200 /sign '{"action":"get_certificates"}' && python3 -c 'import json, sys
sys.exit(len(json.load(open("answer"))["ca_certificates"]) != int(sys.argv[1]))' "$1"
}
check 'with its chain' chain_length 1
cp "$T/ca.pem" chain.new && mv chain.new chain.pem
check 'until that is mended' logged 2 '"event":"loaded".*"generation"'
check 'it ends' stop_hsmsignd
cp "$T/rsa2048.pem" chain.pem
check 'it starts without a complete one' begin
check 'and warns' logged 1 '"level":"warning","event":"chain"'
kill -HUP "$hsmsignd"
check 'so it does when it loads anew' logged 2 '"event":"loaded".*"generation"'
check 'it ends' stop_hsmsignd
cp "$T/ca.pem" chain.pem

# One that expires while it is used.
dated short 20200101000000Z "$(date -u -d '+15 seconds' +%Y%m%d%H%M%SZ)"
cp short.pem cert.pem
check 'it starts with a certificate that is still valid' begin
check 'and warns' logged 1 '"level":"warning","event":"certificate".*"days":0'
check 'it signs' signs rsa2048
check 'and says when it has expired' logged 1 '"level":"error","event":"certificate".*"days":-1' 300
check 'the HSM is there' answers 200 /readyz
check 'nothing is signed from then on' answers 500 /sign "$SIGN"
check 'for this reason' grep -qx 'the certificate has expired' answer
check 'which is not the HSM'"'"'s fault' answers 200 /readyz
cp "$T/rsa2048.pem" cert.pem
check 'a new one is taken' logged 2 '"event":"loaded".*"generation"'
check 'it signs' signs rsa2048
check 'it ends' stop_hsmsignd

# What cannot be read is named.
named() { # FILE OPTION...
    run timeout 30 "$HSMSIGND" --check --key "$(uri rsa2048)" "${@:2}"
    cp stderr said
    [ "$status" = 1 ] && grep -qF "\"from\":\"$1\"" stderr
}
export HSM_MODULE=$MODULE HSM_PIN=$DEMO_PIN
check 'a certificate that is not there is named' named nothing.pem --cert nothing.pem
check 'so is a chain' named /dev/null --cert "$T/rsa2048.pem" --chain /dev/null
check 'of a URI what may be known' named pkcs11:object=no --cert 'pkcs11:object=no?pin-value=SECRET'
refute 'and no more' grep -q SECRET said
check 'also where the PIN stands in the wrong place' named 'pkcs11:object=no;' \
    --key 'pkcs11:object=no;PIN-value=SECRET'
refute 'which nobody is told' grep -q SECRET said
check 'nor where the scheme is missing' named 'object=no&' --cert 'object=no&pin-value=SECRET'
refute 'as well' grep -q SECRET said
check 'all that was said is JSON' python3 -c 'import json; [json.loads(l) for l in open("said")]'
finish
