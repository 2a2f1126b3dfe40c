#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hsmsignd's audit log: no signature is answered without its line, and each line
# that was written verifies, also by a program that is not ours (audit_chain.py).
# HSMSIGN_TEST_KILLS: how often the service is killed under load; 5.
# shellcheck disable=SC2015,SC2016,SC2317 # sh -c, messages, and functions for check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/hsmsignd.sh
. "$HSMSIGN_SOURCE/test/integration/hsmsignd.sh"
need python3 curl prlimit
CHAIN=$HSMSIGN_SOURCE/test/examples/hsmsignd/audit_chain.py
export PYTHONDONTWRITEBYTECODE=1

sign() { # ID [STATUS]
    [ "$(curl -s -o answer -w '%{http_code}' -H "X-Request-Id: $1" \
        -d '{"action":"sign","data_to_be_signed":"ZGF0YQ=="}' "http://127.0.0.1:$port/sign")" = "${2:-200}" ]
}

has_line() { # FILE ID COUNT
    [ "$(grep -c "\"id\":\"$2\"" "$1")" = "$3" ]
}

verifies() { # FILE...
    "$HSMSIGND" --verify-audit "$@" && python3 "$CHAIN" "$@"
}

check 'it starts' start_hsmsignd rsa2048 --audit audit.log
check 'it signs' sign first
check 'and a line says so' has_line audit.log first 1
check 'with what was signed' grep -q "$(printf data | sha256sum | cut -d' ' -f1)" audit.log
check 'and by which certificate' grep -q "$(plain x509 -in "$HSMSIGN_TOKEN/rsa2048.pem" -outform DER |
    sha256sum | cut -d' ' -f1)" audit.log
check 'the file is for nobody else' test "$(stat -c %a audit.log)" = 600
check 'who asks for certificates is not in it' curl -sf -H 'X-Request-Id: asked' \
    -d '{"action":"get_certificates"}' "http://127.0.0.1:$port/sign"
check 'indeed' has_line audit.log asked 0
mv audit.log audit.1
kill -HUP "$hsmsignd"
reopened() {
    local i

    for ((i = 0; i < 100; i++)); do
        [ -s audit.log ] && return
        sleep 0.1
    done
    return 1
}
check 'SIGHUP opens it anew' reopened
check 'it signs' sign second
check 'and the line is in the new file' has_line audit.log second 1
check 'both files are one chain' verifies audit.1 audit.log
refute 'not in the other order' "$HSMSIGND" --verify-audit audit.log audit.1
refute 'another service is not let in' env HSM_MODULE="$MODULE" HSM_PIN="$DEMO_PIN" timeout 30 \
    "$HSMSIGND" --port 0 --audit audit.log --key "$(uri rsa2048)" --cert "$HSMSIGN_TOKEN/rsa2048.pem"
check 'it ends' stop_hsmsignd
check 'the log has the last hash' grep -q "\"event\":\"audit\".*\"hash\":\"$(tail -n 1 audit.log |
    sed 's/.*"this":"\([0-9a-f]*\)"}/\1/')\"" hsmsignd.log

# What cannot be written.
for optional in '' --audit-optional; do
    : > full.log
    # shellcheck disable=SC2086 # none, or one
    check "it starts $optional" start_hsmsignd rsa2048 --audit full.log $optional
    fill() { # COUNT
        local i

        for ((i = 0; i < $1; i++)); do
            sign "$i" || return 1
        done
    }
    # So that it is larger than the log on standard error, which is limited, too.
    check "it signs $optional" fill 40
    check 'the disk becomes full' prlimit --fsize="$(($(stat -c %s full.log) + 100))" --pid "$hsmsignd"
    if [ -z "$optional" ]; then
        refute 'no signature without its line' fill 1
        check 'but 503' sign again 503
    else
        check 'with --audit-optional there is' fill 5
    fi
    check 'the log says so' grep -q '"event":"audit".*cannot be written' hsmsignd.log
    check "it ends $optional" stop_hsmsignd
    rm -f full.log
done

# Killed under load: what was answered has its line.
killed() { # NUMBER
    local i

    start_hsmsignd rsa2048 --audit killed.log || return
    python3 - "$port" "$1" >> answered << 'END' &
import http.client
import os
import sys
import threading

def client(number):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    for i in range(100000):
        name = f"kill{sys.argv[2]}.{number}.{i}"
        try:
            connection.request("POST", "/sign", '{"action":"sign","data_to_be_signed":"ZGF0YQ=="}',
                               {"X-Request-Id": name})
            answer = connection.getresponse()
            if answer.status == 200 and len(answer.read()) == 256:
                os.write(1, f"{name}\n".encode())  # in one
        except (OSError, http.client.HTTPException):
            return

for n in range(8):
    threading.Thread(target=client, args=(n,)).start()
END
    clients=$!
    for ((i = 0; i < 200; i++)); do
        ! grep -q "^kill$1\." answered || break
        sleep 0.05
    done
    sleep "0.$((RANDOM % 4))"
    kill -9 "$hsmsignd"
    wait "$hsmsignd" 2> /dev/null
    server=
    wait "$clients" 2> /dev/null
    "$HSMSIGND" --verify-audit killed.log > verified 2>&1 ||
        ! grep -v 'torn' verified | grep -q 'killed.log:' || { cat verified >&2; return 1; }
}
kill_often() {
    local i

    for ((i = 0; i < ${HSMSIGN_TEST_KILLS:-5}; i++)); do
        killed "$i" || return
    done
}
every_answer_has_its_line() {
    sed -n 's/.*"id":"\([^"]*\)".*"result":"signed".*/\1/p' killed.log | sort > lines
    sort answered > answers
    echo "$(wc -l < answers) answers, $(wc -l < lines) lines"
    [ -s answers ] && [ -z "$(comm -23 answers lines)" ]
}
: > answered
check 'it is killed under load, and starts again each time' kill_often
check 'no signature was answered without its line' every_answer_has_its_line
sed 's/^/# /' stdout
check 'every line verifies' verifies killed.log
finish
