#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hsmsignd goes on while its keys, certificates, users and PIN are replaced.
# HSMSIGN_TEST_ROTATION: seconds of load; 12.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/hsmsignd.sh
. "$HSMSIGN_SOURCE/test/integration/hsmsignd.sh"
need python3 pkcs11-tool
T=$HSMSIGN_TOKEN
export PYTHONDONTWRITEBYTECODE=1
PROGRAM=$HSMSIGN_SOURCE/test/integration/hsmsignd_rotate.py

profile() { # KEY [CERT]
    printf '{"profiles":{"default":{"key":"%s","cert":"%s"}}}' "$(uri "$1")" "$T/${2:-$1}.pem" \
        > profiles.new
    mv profiles.new profiles.json
}

# served CERT: whether that is the certificate now, within some seconds
served() {
    local i

    for ((i = 0; i < 100; i++)); do
        curl -s -d '{"action":"get_certificates"}' "http://127.0.0.1:$port/sign" |
            python3 -c 'import base64, json, sys
sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)["certificates"][0]))' > served.pem
        cmp -s served.pem <(openssl x509 -in "$T/$1.pem") && return
        sleep 0.1
    done
    return 1
}

signs() { # KEY [PROFILE]
    printf data > data
    curl -sf -d "{\"action\":\"sign\",\"data_to_be_signed\":\"$(base64 -w0 data)\"}" \
        "http://127.0.0.1:$port/sign${2:+/$2}" > signature &&
        plain dgst -sha256 -verify "$T/$1.pub" -signature signature data
}

set_pin() { # OLD NEW [TOKEN]
    pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label "${3:-demo}" --login --pin "$1" \
        --change-pin --new-pin "$2"
}

cat > set-pin << 'END'
#!/bin/sh
exec pkcs11-tool --module "$SOFTHSM2_MODULE" --token-label demo --login --pin "$1" \
    --change-pin --new-pin "$2"
END
chmod +x set-pin
(umask 077 && echo "$DEMO_PIN" > pin)
profile rsa2048
printf '{"users":{}}' > users.json

begin() {
    : > hsmsignd.log
    HSM_MODULE=$MODULE HSM_PIN_FILE=$WORK/pin HSM_CHAIN=$T/ca.pem "$HSMSIGND" --port 0 \
        --profiles profiles.json "$@" > hsmsignd.out 2> hsmsignd.log < /dev/null &
    hsmsignd=$!
    server=$hsmsignd
}

start() {
    begin "$@"
    wait_for_port hsmsignd.log "$hsmsignd"
}

check 'it starts with profiles' start
check 'and signs' signs rsa2048
profile rsa3072
check 'another profile is taken without a signal' served rsa3072
check 'and signs' signs rsa3072
profile rsa3072 p256
check 'one whose certificate is not its key'"'"'s is refused' logged 1 '"what":"certificate"'
check 'the one of before stays' served rsa3072
echo nonsense > profiles.json
check 'so it does after nonsense' logged 1 '"event":"profiles"'
check 'and signs' signs rsa3072
profile p256
check 'until it is mended' served p256
before=$(grep -c '"event":"loaded"' hsmsignd.log)
kill -HUP "$hsmsignd"
check 'SIGHUP loads all anew' logged $((before + 1)) '"event":"loaded"'
check 'and it signs' signs p256

# The PIN.
trials=$(grep -c '"event":"pin"' hsmsignd.log)
echo 99999999 > pin
check 'a wrong PIN in the file is tried by another process' logged $((trials + 1)) \
    '"event":"pin".*the new one does not work'
check 'and the right one goes on to sign' signs p256
often() { # COUNT: as many reloads, one after the other
    local i before

    for ((i = 0; i < $1; i++)); do
        before=$(grep -c '"event":"loaded"' hsmsignd.log)
        kill -HUP "$hsmsignd"
        logged $((before + 1)) '"event":"loaded"' || return
    done
}
check 'it is told to reload eight times' often 8
tries() { # COUNT: of a wrong PIN, by whatever process
    equal "$1" "$(grep -c '"event":"profile".*CKR_PIN_INCORRECT' hsmsignd.log)"
}
check 'and the wrong PIN was tried once' tries 1
check 'the PIN is changed' set_pin "$DEMO_PIN" 12345678
echo 12345678 > pin
check 'it logs in with it' logged 1 '"event":"pin".*logging in anew'
check 'and signs' signs p256
refute 'no PIN is in the log' grep -qE '12345678|99999999' hsmsignd.log
check 'it ends' stop_hsmsignd

# A reload that takes its time, since the PIN does, is waited for.
echo "$DEMO_PIN" > pin
check 'the PIN is set back' set_pin 12345678 "$DEMO_PIN"
check 'it starts again' start
ends_after_its_reload() {
    local status writer

    rm pin && mkfifo -m 600 pin && kill -HUP "$hsmsignd" && sleep 0.5
    kill -TERM "$hsmsignd"
    (
        sleep 1
        for ((i = 0; i < 8; i++)); do
            [ ! -e ended ] || break
            echo "$DEMO_PIN" | timeout 1 tee pin > pin.written
        done
    ) &
    writer=$!
    wait "$hsmsignd"
    status=$?
    # The next test writes a file of that name.
    touch ended
    wait "$writer"
    rm -f pin
    cat hsmsignd.log >&2
    return "$status"
}
check 'SIGTERM waits for a reload' ends_after_its_reload

# One that an HSM holds up is not for longer than that, nor is the other process
# left behind.
ends_in_its_reload() {
    local child='' status i

    MODULE=$HSMSIGN_SHIM HSMSIGN_SHIM_MODULE=$SOFTHSM2_MODULE HSMSIGN_SHIM_DELAY_US=200000 \
        start --drain 0 || return
    echo 99999999 > pin
    for ((i = 0; i < 100; i++)); do
        child=$(pgrep -P "$hsmsignd") && break
        sleep 0.1
    done
    kill -TERM "$hsmsignd"
    wait "$hsmsignd"
    status=$?
    cat hsmsignd.log >&2
    [ "$status" = 0 ] && [ -n "$child" ] && grep -q '"event":"stopped".*"loading":true' hsmsignd.log || return
    for ((i = 0; i < 100; i++)); do
        # One that nobody waited for has no program any more.
        readlink "/proc/$child/exe" > /dev/null || return 0
        sleep 0.1
    done
    return 1
}
echo "$DEMO_PIN" > pin
check 'SIGTERM ends what tries a PIN, too' ends_in_its_reload

# SIGHUP may be for all of the process group.
hangs_up_the_trial() {
    local child='' i

    MODULE=$HSMSIGN_SHIM HSMSIGN_SHIM_MODULE=$SOFTHSM2_MODULE HSMSIGN_SHIM_DELAY_US=100000 start &&
        set_pin "$DEMO_PIN" 12345678 || return
    echo 12345678 > pin
    for ((i = 0; i < 100; i++)); do
        child=$(pgrep -P "$hsmsignd") && break
        sleep 0.1
    done
    kill -HUP "$child" && logged 1 '"event":"pin".*logging in anew' 300
}
echo "$DEMO_PIN" > pin
check 'SIGHUP does not end what tries a PIN' hangs_up_the_trial
check 'it ends' stop_hsmsignd
check 'the PIN is set back' set_pin 12345678 "$DEMO_PIN"

# A new PIN is in use, though not all that came with it is good.
echo "$DEMO_PIN" > pin
cp "$T/ca.pem" chain.pem
printf '{"profiles":{"default":{"key":"%s","cert":"%s","chain":"chain.pem"}}}' \
    "$(uri rsa2048)" "$T/rsa2048.pem" > profiles.json
check 'it starts with a chain' start
cp "$T/p256.pem" chain.pem
check 'that is not complete any more' logged 1 '"event":"chain".*it was complete'
check 'the PIN is changed' set_pin "$DEMO_PIN" 12345678
echo 12345678 > pin
check 'it logs in with the new one' logged 1 '"event":"pin".*logging in anew'
check 'it is told to reload twice' often 2
refute 'and does not try it again' logged 2 '"event":"pin"' 1
check 'it signs' signs rsa2048
check 'it ends' stop_hsmsignd
check 'the PIN is set back' set_pin 12345678 "$DEMO_PIN"
profile rsa2048

# Whoever starts it may ignore the end of children.
echo "$DEMO_PIN" > pin
start_ignoring() {
    trap '' CHLD
    start
    trap - CHLD
}
check 'it starts where SIGCHLD is ignored' start_ignoring
check 'the PIN is changed' set_pin "$DEMO_PIN" 12345678
echo 12345678 > pin
check 'it logs in with it all the same' logged 1 '"event":"pin".*logging in anew'
check 'it ends' stop_hsmsignd
check 'the PIN is set back' set_pin 12345678 "$DEMO_PIN"

# What is no file does not stop it from looking at the next one.
echo "$DEMO_PIN" > pin
profile rsa2048
check 'it starts with users' start --users users.json --certs "$WORK"
fifo() { # NAME: in place of that file, and then it again
    local before refused

    cp "$1" "$1.new" && rm "$1" && mkfifo "$1"
    logged 1 "$2.*it is no regular file"
    refused=$?
    before=$(grep -c '"event":"loaded".*"generation"' hsmsignd.log)
    mv "$1.new" "$1"
    logged $((before + 1)) '"event":"loaded".*"generation"' && return "$refused"
}
cp "$T/rsa2048.pem" cert.pem
printf '{"profiles":{"default":{"key":"%s","cert":"cert.pem"}}}' "$(uri rsa2048)" > profiles.json
check 'a FIFO in place of the users is refused' fifo users.json '"event":"users"'
check 'and of the profiles' fifo profiles.json '"event":"profiles"'
check 'and of a certificate' fifo cert.pem '"what":"certificate"'
printf '{"users":{"somebody":"SECRET-OF-SOMEBODY",}}' > users.json
check 'where users are wrong is said' logged 1 '"event":"users".*line 1'
printf '{"users":{"somebody" "SECRET-OF-S"}}' > users.json
check 'and again' logged 2 '"event":"users".*line 1'
refute 'but not what is there' grep -q SECRET hsmsignd.log
printf '{"users":{}' | dd of=users.json bs=1M seek=17 2> dd.err
check 'users of 17 MiB are refused' logged 1 '"event":"users".*it has more than 16 MiB'
printf '{"users":{}}' > users.json
check 'it ends' stop_hsmsignd

# The directory of --certs: what is read from it, no more.
quiet() { # COMMAND...: nothing is loaded because of it
    local before

    before=$(grep -c '"event":"loaded"' hsmsignd.log)
    "$@" && sleep 2.5 && equal "$before" "$(grep -c '"event":"loaded"' hsmsignd.log)"
}
loads() { # COMMAND...
    local before

    before=$(grep -c '"event":"loaded".*"generation"' hsmsignd.log)
    "$@" && logged $((before + 1)) '"event":"loaded".*"generation"'
}
mkdir certs
cp "$T/rsa2048.pem" certs
printf '{"profiles":{"default":{"key":"%s"}}}' "$(uri rsa2048)" > profiles.json
check 'it starts with a directory of certificates' start --certs certs
check 'a log in it is nothing to load' quiet cp users.json certs/a.log
check 'a certificate is' loads cp "$T/p256.pem" certs
check 'so is one less' loads rm certs/p256.pem
check 'it ends' stop_hsmsignd
printf '{"profiles":{"default":{"key":"%s","cert":"%s","chain":"%s"}}}' \
    "$(uri rsa2048)" "$T/rsa2048.pem" "$T/ca.pem" > profiles.json
check 'it starts without need of the directory' start --certs certs
check 'nothing in it is loaded' quiet cp "$T/ca.pem" certs
check 'it ends' stop_hsmsignd
profile rsa2048

# What comes while it starts is not missed.
meanwhile() { # COMMAND...: after the users were read, and before it listens
    MODULE=$HSMSIGN_SHIM HSMSIGN_SHIM_MODULE=$SOFTHSM2_MODULE HSMSIGN_SHIM_DELAY_US=300000 \
        begin --users users.json
    logged 1 '"event":"token"' && "$@" && ! grep -q '"event":"listening"' hsmsignd.log &&
        wait_for_port hsmsignd.log "$hsmsignd" && logged 2 '"event":"loaded"'
}
other_users() {
    printf '{"users":{ }}' > users.json
}
hang_up() {
    kill -HUP "$hsmsignd"
}
check 'other users while it starts are seen' meanwhile other_users
check 'it ends' stop_hsmsignd
check 'so is SIGHUP' meanwhile hang_up
check 'it ends' stop_hsmsignd

# Two tokens, each with a PIN in a file of its own.
(umask 077 && cp pin pin-demo && cp "$T/second.pin" pin-second && touch pin-other)
two_tokens() { # FILE: of the PIN of "demo"
    printf '{"profiles":{"default":{"key":"%s","cert":"%s"},"second":{"key":"%s","cert":"%s"}}}' \
        "$(uri p256)?pin-source=file:$WORK/$1" "$T/p256.pem" \
        "$(uri rsa2048 second)?pin-source=file:$WORK/pin-second" "$T/rsa2048.pem" > profiles.new
    mv profiles.new profiles.json
}
second=$(cat "$T/second.pin")
two_tokens pin-demo
check 'it starts with two tokens' start
check 'the first signs' signs p256
check 'and the second' signs rsa2048 second
echo 99999999 > pin-demo
check 'a wrong PIN of the first is refused' logged 1 '"event":"pin".*"default".*is not tried again'
check 'the PIN of the second is changed' set_pin "$second" user:12345678 second
echo user:12345678 > pin-second
check 'it waits for the first' logged 1 '"event":"pin".*"second".*is not tried again'
check 'whose wrong one was tried once' tries 1
cp pin pin-demo
check 'that is mended: the second is taken' logged 1 '"event":"pin".*"second".*logging in anew'
check 'it signs' signs rsa2048 second
check 'so does the first' signs p256
check 'the first gets another PIN' set_pin "$DEMO_PIN" 12345678
echo 12345678 > pin-other
two_tokens pin-other
check 'in another file' logged 1 '"event":"pin".*"default".*logging in anew'
check 'it signs' signs p256
check 'and no more were refused' tries 1
check 'the PIN of the second is set back' set_pin user:12345678 "$second" second
before=$(grep -c '"event":"pin".*"default".*is not tried again' hsmsignd.log)
echo 99999999 > pin-other
cp "$T/second.pin" pin-second
check 'one of two that are new is wrong' logged $((before + 1)) \
    '"event":"pin".*"default".*is not tried again'
echo 12345678 > pin-other
check 'the other is not to blame' logged 2 '"event":"pin".*"second".*logging in anew'
check 'it signs' signs rsa2048 second
check 'it was one more try' tries 2
check 'it ends' stop_hsmsignd
check 'the PIN of the first is set back' set_pin 12345678 "$DEMO_PIN"

# Under load.
echo "$DEMO_PIN" > pin
profile rsa2048
check 'it starts for the load' start --queue 1000
check 'no signature fails, and each is of the certificate that was served' \
    python3 "$PROGRAM" "${HSMSIGN_TEST_ROTATION:-12}" "$port" profiles.json "$WORK/pin" ./set-pin hsmsignd.log \
    "rsa2048=$(uri rsa2048)=$T/rsa2048.pem" "rsa3072=$(uri rsa3072)=$T/rsa3072.pem"
sed 's/^/# /' stdout
check 'generations were loaded' logged 5 '"event":"loaded".*"generation"'
check 'with new PINs' logged 2 '"event":"pin".*logging in anew'
check 'it ends after the load' stop_hsmsignd
finish
