#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# examples/web, served by hsmsignd --web, in a headless Chromium.
# shellcheck disable=SC2015,SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/hsmsignd.sh
. "$HSMSIGN_SOURCE/test/integration/hsmsignd.sh" || exit 1
need python3 curl
T=$HSMSIGN_TOKEN

ask() { # STATUS PATH [ARGUMENT]...
    [ "$(curl -s -o answer -D head -w '%{http_code}' "${@:3}" "http://127.0.0.1:$port$2")" = "$1" ]
}
origin() { # STATUS ORIGIN HOST
    ask "$1" /sign -H "Origin: $2" -H "Host: $3" -d '{"action":"get_certificates"}'
}

check 'it starts without the page' start_hsmsignd rsa2048
check 'and has none' ask 404 /web/
check 'nor is there an own origin' origin 403 "http://127.0.0.1:$port" "127.0.0.1:$port"
check 'it ends' stop_hsmsignd
wrong_directory() {
    HSM_MODULE=$MODULE HSM_PIN=$DEMO_PIN HSM_CERT=$T/rsa2048.pem "$HSMSIGND" --check \
        --key "$(uri rsa2048)" --web "$PWD" > out 2> err
    [ $? = 1 ] && grep -q '"event":"web".*no directory with an index.html' err
}
check 'a directory without a page stops the start' wrong_directory
check 'it starts with it' start_hsmsignd rsa2048 --web "$HSMSIGN_SOURCE/examples/web"
for path in /web /web/ /web/index.html /web/sign.js /web/page.js /web/style.css; do
    check "$path is served" ask 200 $path
done
check 'under a policy' grep -qi "^Content-Security-Policy: default-src 'none'; script-src 'self'" head
check 'and typed' grep -qi '^Content-Type: text/css' head
for path in /web/none.html /web/../hsmsign.c /web/%2e%2e/hsmsign.c /web/.. /web/a/b.js; do
    check "$path is not" ask 404 "$path" --path-as-is
done
check 'the page may sign' origin 200 "http://127.0.0.1:$port" "127.0.0.1:$port"
check 'another may not' origin 403 http://evil.example "127.0.0.1:$port"
check 'nor one whose name points here' origin 403 http://evil.example evil.example

driver=$(command -v chromedriver) && chromium=$(command -v chromium) || {
    test_count=$((test_count + 1))
    echo "ok $test_count - in a browser # SKIP chromium and chromium-driver are not installed"
    check 'it ends' stop_hsmsignd
    finish
}
printf 'a document' > document
mkdir downloads
mkfifo go
HOME=$WORK TMPDIR=$WORK timeout 120 python3 "$HSMSIGN_SOURCE/test/integration/hsmsignd_web.py" "$driver" "$chromium" \
    "http://127.0.0.1:$port/web/" "$WORK/document" "$WORK/downloads" > browser 2> browser.err < go &
client=$!
exec 9> go
for ((i = 0; i < 900; i++)); do
    grep -q 'the service is stopped' browser && break
    kill -0 $client 2> /dev/null || break
    sleep 0.1
done
check 'it ends while the page is open' stop_hsmsignd
echo >&9
wait $client
status=$?
exec 9>&-
report_lines browser ''
cp browser.err stderr
report $status 'the browser was driven to the end'

verified() { # SIGNATURE CONTENTS
    plain cms -verify -binary -inform DER -in "downloads/$1" -content "$2" -CAfile "$T/ca.pem" -purpose any
}
printf data > data
check 'the saved signature is good' verified document.p7s document
check "so is the SDK's" verified sdk.p7s data
check 'and that of the digest' verified digest.p7s data
finish
