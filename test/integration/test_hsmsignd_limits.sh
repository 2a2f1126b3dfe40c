#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hsmsignd's limits, its profiles and who may use them, the sockets it listens
# on, and what it tells a service manager and Prometheus.
# shellcheck disable=SC2015,SC2016,SC2317 # sh -c, messages, and functions for check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/hsmsignd.sh
. "$HSMSIGN_SOURCE/test/integration/hsmsignd.sh"
need python3 curl
T=$HSMSIGN_TOKEN
export PYTHONDONTWRITEBYTECODE=1

limits() {
    python3 "$HSMSIGN_SOURCE/test/integration/hsmsignd_limits.py" "$@"
}

check 'it starts' start_hsmsignd rsa2048
check '1,000 connections that say nothing do not stop a good one' limits idle "$port"
check 'nor 1,000 that drip' limits drip "$port"
check '/metrics counts' limits metrics "$port"
check 'it ends' stop_hsmsignd

check 'it starts with short times' start_hsmsignd rsa2048 --idle-timeout 2 --body-timeout 3
check 'a head that comes byte by byte is cut off' limits head "$port" 2
check 'so is a body' limits body "$port" 3
check 'it ends' stop_hsmsignd

check 'it starts with few connections' start_hsmsignd rsa2048 --connections 64
check 'more than may be open do not stop good ones' limits crowd "$port" 64
check 'it ends' stop_hsmsignd

check 'it starts with a rate' start_hsmsignd rsa2048 --rate 5
check 'what is more is answered 503' limits rate "$port" 5
check 'it ends' stop_hsmsignd

# Profiles, and users.
user() { # NAME MORE
    local salt=0123456789abcdef$1
    printf '"%s":{"secret":"sha256:%s:%s","rights":["sign","sign_pkcs7","get_certificates"]%s}' "$1" \
        "$salt" "$(printf %s "${salt}SECRET-OF-${1^^}" | sha256sum | cut -d' ' -f1)" "$2"
}
printf '{"users":{%s,%s,%s}}' "$(user slow ',"rate":2')" "$(user fast '')" \
    "$(user both ',"profiles":["default","ec"]')" > users.json
printf '{"profiles":{"default":{"key":"%s","cert":"%s"},
    "ec":{"key":"%s","cert":"%s","hashes":["sha384"]}}}' \
    "$(uri rsa2048)" "$T/rsa2048.pem" "$(uri p256)" "$T/p256.pem" > profiles.json

# post STATUS TOKEN PATH [HASH]: the answer's status, and its signature
post() {
    printf data > data
    [ "$(curl -s -o answer -w '%{http_code}' -d "{\"action\":\"sign\",\"data_to_be_signed\":\"$(base64 -w0 data)\",
        \"hash_algorithm\":\"${4:-sha256}\",\"signing_token\":$2}" "http://127.0.0.1:$port$3")" = "$1" ] ||
        { cat answer >&2; return 1; }
}

signed() { # KEY HASH
    plain dgst "-$2" -verify "$T/$1.pub" -signature answer data
}

check 'it starts with profiles and users' start_hsmsignd rsa2048 --profiles profiles.json --users users.json
check 'a user with a rate is answered 429' limits user "$port" 2
check 'the default profile signs' post 200 '"both:SECRET-OF-BOTH"' /sign
check 'by its key' signed rsa2048 sha256
check 'the path names a profile' post 200 '"both:SECRET-OF-BOTH"' /sign/ec sha384
check 'whose key signs' signed p256 sha384
check 'so does the token' post 200 '{"userId":"both","secret":"SECRET-OF-BOTH","profile":"ec"}' /sign/ sha384
check 'whose key signs then' signed p256 sha384
check 'a hash that the profile does not have is refused' post 400 '"both:SECRET-OF-BOTH"' /sign/ec
check 'so is a profile that is not there' post 403 '"both:SECRET-OF-BOTH"' /sign/nothing
check 'so is one of which the user has no right' post 403 '"fast:SECRET-OF-FAST"' /sign/ec sha384
check 'so are two at once' post 400 '{"userId":"both","secret":"SECRET-OF-BOTH","profile":"ec"}' /sign/default
check 'the certificates are of the profile' sh -c 'curl -s -d "{\"action\":\"get_certificates\"}" \
    "http://127.0.0.1:$0/sign/ec" | python3 -c "import base64, json, sys
sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)[\"certificates\"][0]))" |
    cmp - "$1"' "$port" <(plain x509 -in "$T/p256.pem")
check 'it ends' stop_hsmsignd

# bad_profiles TEXT REASON: it does not start
bad_profiles() {
    printf %s "$1" > bad.json
    ! HSM_MODULE=$MODULE HSM_PIN=$DEMO_PIN timeout 30 "$HSMSIGND" --check --profiles bad.json 2> said &&
        grep -qF "$2" said || { cat said >&2; return 1; }
}
while IFS='|' read -r what text reason; do
    check "profiles are refused: $what" bad_profiles "$text" "$reason"
done << 'END'
nothing||line
no profiles|{}|profiles is not an object
none|{"profiles":{}}|profiles is not an object
no key|{"profiles":{"a":{"cert":"x"}}}|it takes key
an unknown member|{"profiles":{"a":{"key":"pkcs11:","keys":1}}}|it takes key
a bad name|{"profiles":{"a b":{"key":"pkcs11:"}}}|its name
no hashes|{"profiles":{"a":{"key":"pkcs11:","hashes":[]}}}|hashes is not a list
an unknown hash|{"profiles":{"a":{"key":"pkcs11:","hashes":["md5"]}}}|none of sha224
a profile twice|{"profiles":{"a":{"key":"pkcs11:"},"a":{"key":"pkcs11:"}}}|duplicate
END

# Sockets.
on_unix() {
    local i

    for ((i = 0; i < 200; i++)); do
        grep -q '"event":"listening"' hsmsignd.log && break
        sleep 0.05
    done
    [ "$(stat -c %a "$WORK/socket")" = 660 ] && printf data > data &&
        curl -sf --unix-socket "$WORK/socket" -o answer \
            -d "{\"action\":\"sign\",\"data_to_be_signed\":\"$(base64 -w0 data)\"}" http://localhost/sign &&
        signed rsa2048 sha256
}
unix_socket() {
    : > hsmsignd.log
    HSM_MODULE=$MODULE HSM_PIN=$DEMO_PIN "$HSMSIGND" --listen "unix:$WORK/socket" --key "$(uri rsa2048)" \
        --cert "$T/rsa2048.pem" --chain "$T/ca.pem" "$@" 2> hsmsignd.log < /dev/null &
    hsmsignd=$!
    server=$hsmsignd
    on_unix
}
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$WORK/socket"
check 'a Unix socket, where an old one is left, for owner and group' unix_socket
check 'it ends' stop_hsmsignd
refute 'and takes it away' test -e socket
export HSM_MODULE=$MODULE HSM_PIN=$DEMO_PIN
options=(--key "$(uri rsa2048)" --cert "$T/rsa2048.pem" --chain "$T/ca.pem")
second_start() {
    local i

    : > hsmsignd.log
    HSM_MODULE=$HSMSIGN_SHIM HSMSIGN_SHIM_MODULE=$MODULE HSMSIGN_SHIM_DELAY_US=300000 \
        "$HSMSIGND" --listen "unix:$WORK/socket" "${options[@]}" 2> hsmsignd.log < /dev/null &
    hsmsignd=$!
    server=$hsmsignd
    for ((i = 0; i < 200; i++)); do
        [ -S socket ] && break
        sleep 0.02
    done
    run timeout 30 "$HSMSIGND" --listen "unix:$WORK/socket" "${options[@]}"
    [ "$status" = 1 ] && grep -q '"event":"listen".*Address already in use' stderr
}
check 'a second start does not take the socket of one that starts' second_start
check 'which serves on it' on_unix
check 'it ends' stop_hsmsignd
refute 'and takes it away' test -e socket
check 'a socket that a service manager has opened' limits activate "$HSMSIGND" "${options[@]}"
check 'it says when it is ready, reloads and stops' limits notify "$HSMSIGND" --port 0 "${options[@]}"
refute 'a port in use stops the start' python3 -c 'import socket, subprocess, sys
s = socket.create_server(("127.0.0.1", 0))
sys.exit(subprocess.run([*sys.argv[1:], "--port", str(s.getsockname()[1])], timeout=30).returncode)' \
    "$HSMSIGND" "${options[@]}"
cp stderr said
check 'and says so' grep -q '"event":"listen".*Address already in use' said

# An HSM that takes its time is no reason to wait for it.
ends_while_it_starts() {
    HSM_MODULE=$HSMSIGN_SHIM HSMSIGN_SHIM_MODULE=$MODULE HSMSIGN_SHIM_DELAY_US=5000000 \
        "$HSMSIGND" --port 0 "${options[@]}" 2> hsmsignd.log < /dev/null &
    hsmsignd=$!
    sleep 1
    kill -TERM "$hsmsignd"
    wait "$hsmsignd" && grep -q '"event":"stopped"' hsmsignd.log && ! grep -q listening hsmsignd.log
}
check 'SIGTERM ends it while it starts' ends_while_it_starts

# Rights.
as_user() {
    local i

    chmod -R a+rwX "$WORK" && : > hsmsignd.log
    "$HSMSIGND" --port 0 --user nobody "${options[@]}" 2> hsmsignd.log < /dev/null &
    hsmsignd=$!
    server=$hsmsignd
    wait_for_port hsmsignd.log "$hsmsignd" && [ "$(ps -o user= -p "$hsmsignd")" = nobody ] &&
        [ "$(ps -o supgrp= -p "$hsmsignd")" = nogroup ]
}
if [ "$(id -u)" = 0 ] && setpriv --reuid nobody --clear-groups test -x "$HSMSIGND" 2> setpriv.err; then
    check 'started as root, it takes the rights of --user' as_user
    check 'it ends' stop_hsmsignd
    check 'its Unix socket is its own' unix_socket --user nobody
    check 'indeed' test "$(stat -c %U:%a socket)" = nobody:660
    check 'it ends' stop_hsmsignd
    refute 'and takes it away' test -e socket
    check 'who has them already goes on' setpriv --reuid nobody --regid nogroup --clear-groups \
        timeout 30 "$HSMSIGND" --check --user nobody "${options[@]}"
else
    test_count=$((test_count + 1))
    echo "ok $test_count - started as root, it takes the rights of --user # SKIP not root, or the build is not for others to see"
fi
refute 'a user that is not there stops the start' timeout 30 "$HSMSIGND" --port 0 --user no-such-user "${options[@]}"
finish
