#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What conf/ has to run hsmsignd: the systemd units as systemd's own programs see
# them, and with the settings that they give; the files for containers beside the
# program.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/hsmsignd.sh
. "$HSMSIGN_SOURCE/test/integration/hsmsignd.sh" || exit 1
CONF=$HSMSIGN_SOURCE/conf
T=$HSMSIGN_TOKEN

skip() { # SENTENCE REASON
    test_count=$((test_count + 1))
    echo "ok $test_count - $1 # SKIP $2"
}

# The installed unit, with the program that was built.
copy_units() {
    local unit=$HSMSIGN_BUILD/conf/hsmsignd.service

    grep -q '^ExecStart=/.*/sbin/hsmsignd$' "$unit" &&
        mkdir units &&
        sed "s|^ExecStart=.*|ExecStart=$HSMSIGND|" "$unit" > units/hsmsignd.service &&
        cp "$CONF/hsmsignd.socket" units
}

# Words behind a setting that is misspelt are warnings: nothing may be said.
verifies() {
    systemd-analyze verify --man=no units/hsmsignd.service units/hsmsignd.socket > said 2>&1
    status=$?
    cat said
    [ "$status" -eq 0 ] && [ ! -s said ]
}

# 1.5 of 10, where 10 is no protection at all; its network is most of it.
is_confined() {
    systemd-analyze security --offline=yes --threshold=15 units/hsmsignd.service
}

# setting NAME: what the unit gives to it, one a line
setting() {
    sed -n "s/^$1=//p" units/hsmsignd.service
}

# Started with the unit's variables and those of the file that it names.
starts_as_unit() {
    local -a variables=()
    local line

    mkdir credentials state state/hsmsignd
    echo "$DEMO_PIN" > credentials/pin
    # That file for this token, certificate and port.
    sed -e "s|^HSM_MODULE=.*|HSM_MODULE=$MODULE|" -e "s|^HSM_KEY=.*|HSM_KEY=$(uri rsa2048)|" \
        -e "s|^HSM_CERT=.*|HSM_CERT=$T/rsa2048.pem|" -e "s|^HSM_CHAIN=.*|HSM_CHAIN=$T/ca.pem|" \
        -e 's|^SIGNING_SERVICE_PORT=.*|SIGNING_SERVICE_PORT=0|' "$CONF/hsmsignd.env" > settings
    while read -r line; do
        line=${line//%d/$WORK/credentials}
        variables+=("${line//%S/$WORK/state}")
    done < <(setting Environment; grep -v "^#" settings | grep .)
    : > hsmsignd.log
    env "${variables[@]}" "$(setting ExecStart)" 2> hsmsignd.log < /dev/null &
    hsmsignd=$!
    server=$hsmsignd
    wait_for_port hsmsignd.log "$hsmsignd"
}

reloads_as_unit() {
    local command

    command=$(setting ExecReload)
    MAINPID=$hsmsignd sh -c "${command/\/bin\//}" &&
        for _ in {1..100}; do
            grep -q '"event":"loaded"' hsmsignd.log && return 0
            sleep 0.05
        done
    return 1
}

answers() {
    python3 -c 'import sys, urllib.request as r
r.build_opener(r.ProxyHandler({})).open(sys.argv[1], timeout=20)' "http://127.0.0.1:$port$1"
}

# The files for containers; $probes are the paths that are asked.
compare_yaml() {
    local line

    run python3 "$HSMSIGN_SOURCE/test/integration/conf_yaml.py" "$CONF" "$HSMSIGND"
    cp stdout lines
    report "$status" 'the files for containers are read'
    probes=()
    while IFS= read -r line; do
        case $line in
        'ok '*) report 0 "${line#ok }" ;;
        'not ok '*) report 1 "${line#not ok }" ;;
        'path '*) probes+=("${line#path }") ;;
        esac
    done < lines
}

check 'the unit is made for where the service is installed' copy_units
if command -v systemd-analyze > stdout; then
    check 'systemd finds nothing wrong with the units' verifies
    check 'the unit confines the service' is_confined
else
    skip 'systemd verifies the units' 'systemd-analyze is not installed'
fi
check 'hsmsignd starts with the settings of the unit' starts_as_unit
check 'its audit log is in its state directory' test -f state/hsmsignd/audit.log
check 'ExecReload reloads it' reloads_as_unit
if python3 -c 'import yaml' 2> /dev/null; then
    compare_yaml
    check 'three probes are asked' [ ${#probes[@]} -eq 3 ]
    for path in "${probes[@]}"; do
        check "a probe's $path answers" answers "$path"
    done
else
    skip 'the files for containers agree with the program' 'python3-yaml is not installed'
fi
check 'and it ends' stop_hsmsignd
check 'it is given more time to end than it takes' \
    [ "$(setting TimeoutStopSec | tr -d s)" -gt "$("$HSMSIGND" --help | sed -n 's/.*at SIGTERM (\([0-9]*\)).*/\1/p')" ]
finish
