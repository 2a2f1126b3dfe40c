# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the tests of unmodified programs share; sourced by them.
#
# A cell is one program, one kind of key and one way to name the key: "PEM" is a
# file that wraps the URI, "URI" the URI itself.  A cell runs twice, with the
# same function: first with a software key of the same kind and a configuration
# in which hsmsign does not exist (the key of the way "URI" is a file: URI
# then), and again with the key on the token.  So a cell that fails with both
# is the program's limit and not hsmsign's, and one that fails with the token
# alone is a failure of hsmsign.
#
# Such limits are not taken on trust: where one is expected the cell says what
# the program answers then, and any other answer is a failure.
#
# Each cell gives a TAP line, and a line of tab-separated fields in the file
# that HSMSIGN_RESULTS names, from which programs_table.py makes the README's
# table: program, version, OpenSSL's version, key, way, result.
#
# What the functions of the cells find set:
#   $key     the key's name: rsa2048, p256, p256-bare, ed25519
#   $cert    its certificate
#   $named   what the program is told as key: a file, or a URI
#   $conf    OPENSSL_CONF for the program under test
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck disable=SC2034 # for who sources this
T=$HSMSIGN_TOKEN
PATH=$PATH:/usr/sbin:/sbin
key='' cert='' named='' port=''
servers=() # their process groups
program='' version=''

# ---- cells ----

# results RESULT: a line for the table
results() {
    [ -z "${HSMSIGN_RESULTS:-}" ] || printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$program" \
        "$version" "$libcrypto" "$key" "$way" "$1" >> "$HSMSIGN_RESULTS"
}

# skip SENTENCE REASON: a result that counts as neither
skip() {
    test_count=$((test_count + 1))
    echo "ok $test_count - $1 # SKIP $2"
}

# subject NAME COMMAND...: the program that the next cells are about, and what
# prints its version.  Where it is not installed all of them are one skip, and
# also where one of the programs in $with is not, without which there is no
# telling whether it signs.
subject() {
    local tool

    program=$1
    version=
    for tool in "$2" ${with:-}; do
        if ! command -v "$tool" > stdout; then
            skip "$program signs" "$tool is not installed"
            return 1
        fi
    done
    "${@:2}" > stdout 2> stderr < /dev/null
    version=$(cat stdout stderr | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)*' | head -n 1)
    [ -n "$version" ] || bail "$2 does not tell its version"
}

# cell KEY WAY FUNCTION [ARGUMENT]...
# What else it may find set:
#   twin     the software key, if it is to be named in another way
#   cannot   what the program prints if it cannot do this with any key
#   wants    what it prints if it wants the private key's numbers
cell() {
    local way=$2 sentence
    local twin=${twin:-} cannot=${cannot:-} wants=${wants:-}

    key=$1
    # shellcheck disable=SC2034 # for the function
    cert=$T/$key.pem
    case $way in
    PEM) sentence="$program $version signs with $key in a PEM file" ;;
    URI) sentence="$program $version signs with $key by its URI" ;;
    *) bail "$way is no way to name a key" ;;
    esac
    # A cell leaves nothing that the next could take for its own.
    rm -rf cell
    mkdir cell
    chmod 755 cell
    use_software_key
    run "${@:3}"
    stop 2>> stderr || status=1
    if [ "$status" -ne 0 ]; then
        software_key_fails
        return
    fi
    rm -rf cell
    mkdir cell
    chmod 755 cell
    use_token
    run "${@:3}"
    stop 2>> stderr || status=1
    if [ "$status" -ne 0 ] && [ -n "$wants" ] && says "$wants"; then
        results 'wants the private key'
        skip "$sentence" "it wants the private key itself: $(said "$wants")"
        return
    fi
    report "$status" "$sentence"
    if [ "$status" -eq 0 ]; then
        results works
    else
        results fails
    fi
}

use_software_key() {
    conf=$WORK/software.cnf
    named=$T/$key.key
    [ "$way" != URI ] || named=file:$named
    [ -z "$twin" ] || named=$twin
}

use_token() {
    conf=$WORK/openssl.cnf
    named=$(uri "$key")
    [ "$way" = PEM ] || return 0
    [ -f "$WORK/$key.wrapped" ] || "$HSMSIGN" uri2pem "$named" > "$WORK/$key.wrapped"
    named=$WORK/$key.wrapped
}

software_key_fails() {
    if [ -n "$cannot" ] && says "$cannot"; then
        results cannot
        skip "$sentence" "it cannot with a software key either: $(said "$cannot")"
        return
    fi
    results fails
    report 1 "$sentence (its software twin fails)"
}

says() {
    cat stdout stderr | grep -aqE -e "$1"
}

# The line, fit for TAP.
said() {
    cat stdout stderr | grep -aE -e "$1" | head -n 1 | sed "s,$WORK/,,g; s,$T/,,g" |
        tr -d '#' | cut -c 1-160
}

# under COMMAND...: the program under test
under() {
    OPENSSL_CONF=$conf timeout -k 5 30 setsid -w "$@"
}

# ---- servers ----

# until_true SECONDS COMMAND...: polls
until_true() {
    local end=$((SECONDS + $1 + 1))

    until "${@:2}" 2> /dev/null; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.05
    done
}

# start COMMAND...: the program as a server, with what it forks in a process
# group of its own; cell/pid is the program's.  It ends by itself should this
# shell be killed.
start() {
    # shellcheck disable=SC2016 # for the other shell
    OPENSSL_CONF=$conf setsid timeout -k 5 100 \
        bash -c 'echo $$ > cell/pid && exec "$@"' bash "$@" \
        >> cell/server.log 2>&1 < /dev/null &
    servers+=($!)
}

# The one that was started last.
alive() {
    [ ${#servers[@]} -gt 0 ] && kill -0 "${servers[-1]}" 2> /dev/null
}

group_is_gone() {
    ! kill -0 -- "-$1"
}

# Ends the servers and all that they forked; what they said is for the report.
# Whether they left in peace: a signal that is not from here is a crash.
stop() {
    local group code peace=0

    [ ${#servers[@]} -gt 0 ] || return 0
    for group in "${servers[@]}"; do
        kill -- "-$group" 2> /dev/null
        until_true 10 group_is_gone "$group" || {
            echo 'the server does not end' >> cell/server.log
            kill -9 -- "-$group"
        }
        wait "$group" 2> /dev/null
        code=$?
        echo "the server ended with $code" >> cell/server.log
        case $code in
        132 | 134 | 135 | 136 | 137 | 139) peace=1 ;;
        esac
    done
    servers=()
    # What servers say of the processes that they forked.
    ! grep -qE 'on signal (4|6|7|8|11)\b|\((4|6|7|8|11)\)|code 13[1-9]' \
        cell/server.log || peace=1
    cat cell/server.log >&2
    : > cell/server.log
    return $peace
}

connects() {
    (exec 3<> "/dev/tcp/127.0.0.1/$port")
}

# Whether the server answers, or can no longer be waited for.
decided() {
    ! alive || connects
}

logged() {
    ! alive || grep -qE -e "$1" cell/server.log
}

# A port that nobody listens on, below those that the kernel hands out.
choose_port() {
    local i

    for ((i = 0; i < 100; i++)); do
        port=$((20000 + RANDOM % 12000))
        connects 2> /dev/null || return 0
    done
    return 1
}

# listening FUNCTION [TEXT]: calls FUNCTION, which starts a server on $port, and
# waits until a connection opens, or the server has printed TEXT.  Somebody
# else may take the port in between: then with another.
listening() {
    local i

    for i in 1 2 3 4 5; do
        choose_port || return 1
        "$1" || return 1
        if [ -n "${2:-}" ]; then
            until_true 30 logged "$2"
        else
            until_true 30 decided
        fi
        alive && return 0
        grep -qiE 'in use|cannot bind' cell/server.log || return 1
        stop
    done
    return 1
}

# ---- clients that know nothing of hsmsign ----

# trusts: three of them find the server in possession of the certificate's key.
# How the connection ends afterwards is of no interest: some servers reset it.
trusts() {
    greets -tls1_2 && greets -tls1_3 || return 1
    OPENSSL_CONF=/dev/null timeout 20 gnutls-cli --port "$port" 127.0.0.1 \
        --x509cafile "$T/ca.pem" --verify-hostname "$key" \
        < /dev/null > cell/client.out
    cat cell/client.out
    grep -q '^- Status: The certificate is trusted' cell/client.out &&
        grep -q '^- Handshake was completed' cell/client.out
}

greets() { # version of TLS
    handshake "$1" -verify_hostname "$key" > cell/client.out
    cat cell/client.out
    grep -q '^New, TLSv1.[23], Cipher is TLS_\|^New, TLSv1.[23], Cipher is ECDHE' \
        cell/client.out &&
        grep -q 'Verify return code: 0 (ok)' cell/client.out &&
        grep -q "^subject=CN = $key\$\|^subject=CN=$key\$" cell/client.out
}

# fetch [OPTION]...: curl, on a new connection
fetch() {
    OPENSSL_CONF=/dev/null timeout 20 curl -sS --cacert "$T/ca.pem" \
        --resolve "$key:$port:127.0.0.1" "$@" "https://$key:$port/"
}

# ---- preparation ----

clean_up_programs() {
    stop
    clean_up
}

need gnutls-cli
command -v curl > stdout || {
    skip 'programs sign' 'curl is not installed'
    finish
}
trap clean_up_programs EXIT
libcrypto=$(plain version | cut -d ' ' -f 2)
# Servers drop root's rights, and log in again in the processes that they fork.
owner=
if [ "$(id -u)" = 0 ]; then
    owner=www-data
    chmod 711 "$WORK"
    chown -R "$owner:" "$WORK/token"
fi
(umask 077 && echo 1234 > pin)
[ -z "$owner" ] || chown "$owner:" pin
make_conf openssl.cnf "pkcs11-module-token-pin = file:$WORK/pin"
printf '%s\n' 'openssl_conf = init' '[init]' 'providers = providers' \
    '[providers]' 'default = default_section' \
    '[default_section]' 'activate = 1' > software.cnf
