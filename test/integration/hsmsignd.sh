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

# logged COUNT TEXT [TENTHS]: within so many seconds/10 that many lines have it
logged() {
    local i

    for ((i = 0; i < ${3:-100}; i++)); do
        [ "$(grep -c -- "$2" hsmsignd.log)" -ge "$1" ] && return
        sleep 0.1
    done
    return 1
}

# dated NAME FROM TO [USAGE]: a certificate of rsa2048's key
dated() {
    printf '%s\n' '[ca]' 'default_ca=c' '[c]' 'database=index' 'new_certs_dir=.' 'serial=serial' \
        'default_md=sha256' 'policy=p' 'x509_extensions=e' 'unique_subject=no' '[p]' \
        'commonName=supplied' '[e]' "keyUsage=${4:-digitalSignature}" '[req]' \
        'distinguished_name=n' '[n]' > ca.cnf
    : > index
    echo 01 > serial
    openssl req -new -config ca.cnf -key "$HSMSIGN_TOKEN/rsa2048.key" -subj "/CN=$1" -out csr 2> ca.err
    openssl ca -config ca.cnf -batch -notext -cert "$HSMSIGN_TOKEN/ca.pem" -keyfile "$HSMSIGN_TOKEN/ca.key" \
        -startdate "$2" -enddate "$3" -in csr -out "$1.pem" 2>> ca.err || bail "$(cat ca.err)"
}
