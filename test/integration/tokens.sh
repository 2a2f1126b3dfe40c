# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The tokens that test_tokens.sh tries, each started from nothing and ended
# with the test: sourced by it.
#
# A row of tokens names the package that the token is in, whose version is told,
# and what else has to be installed.  For NAME there are two functions:
#   start_NAME       starts what it needs, makes an empty token, and sets $module,
#                    $label and $pin (empty: none is needed) and
#                    $init_args (the same)
#   own_key_NAME KIND  makes a key as a user of the token would, with its own
#                    tool, and writes its public key, as that tool tells it, to
#                    own-KIND.pub; $own is then its URI
#
# State is in the test's temporary directory.  Servers listen on sockets there.
# opencryptoki has fixed places, and shared memory: enter_opencryptoki runs the
# test where those are its own.
# shellcheck disable=SC2034 # variables are for who sources this
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1

# name, package, programs beside openssl
tokens=(
    'softhsm      softhsm2         softhsm2-util pkcs11-tool p11tool'
    'nss          libnss3          certutil'
    'opencryptoki opencryptoki     pkcsslotd pkcsconf pkcs11-tool p11tool'
    'tpm2         libtpm2-pkcs11-1 swtpm tpm2-abrmd dbus-daemon tpm2_ptool pkcs11-tool p11tool'
    'p11-kit      p11-kit          p11-kit softhsm2-util pkcs11-tool p11tool'
)
module='' label='' pin='' own=''
init_args=''
daemons=()

# skip SENTENCE REASON: a result that counts as neither
skip() {
    test_count=$((test_count + 1))
    echo "ok $test_count - $1 # SKIP $2"
}

# The last thing that was said, fit for TAP and a table.
reason() {
    local text

    text=$(cat stderr stdout | grep -avE '^$|^Aborting|^rc |may take a few' | tail -n 1 |
        tr -d '#\t|' | sed "s,$WORK/,,g" | cut -c 1-150)
    echo "${text:-it says nothing}"
}

# until_true SECONDS COMMAND...: polls
until_true() {
    local end=$((SECONDS + $1))

    until "${@:2}"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.05
    done
}

# daemon NAME COMMAND...: it ends with this shell
daemon() {
    "${@:2}" > "$1.log" 2>&1 < /dev/null &
    daemons+=($!)
}

stop_daemons() {
    local i

    # In the opposite order: each may need those before it.
    for ((i = ${#daemons[@]} - 1; i >= 0; i--)); do
        kill "${daemons[i]}" 2> /dev/null
        wait "${daemons[i]}" 2> /dev/null
    done
    daemons=()
}

clean_up_tokens() {
    stop_daemons
    clean_up
}
trap clean_up_tokens EXIT

# A PKCS #11 module of the system, by the name of its file.
find_module() {
    local dir

    for dir in /usr/lib/*/pkcs11 /usr/lib64/pkcs11 /usr/lib/pkcs11 /usr/lib/* /usr/lib64; do
        [ ! -e "$dir/$1" ] || { module=$dir/$1 && return; }
    done
    echo "there is no $1" >&2
    return 1
}

# A key by pkcs11-tool, and its public half as another tool reads it from the token.
tool_key() { # kind
    local -A types=([rsa2048]=rsa:2048 [p256]=EC:prime256v1 [p384]=EC:secp384r1
        [ed25519]=EC:edwards25519)

    own="pkcs11:token=$label;object=own-$1;type=private"
    pkcs11-tool --module "$module" --token-label "$label" --login --pin "$pin" \
        --keypairgen --key-type "${types[$1]}" --label "own-$1" --usage-sign \
        --id "$(printf '%s' "$1" | od -An -tx1 | tr -d ' ')" &&
        tool_public "$1"
}

# pkcs11-tool 0.23 reads no P-384; p11tool cannot start opencryptoki 3.23.
tool_public() { # kind
    if GNUTLS_PIN=$pin p11tool --provider "$module" --login --outfile told.pub \
        --export "pkcs11:token=$label;object=own-$1;type=public"; then
        plain pkey -pubin -in told.pub -out "own-$1.pub"
    else
        pkcs11-tool --module "$module" --token-label "$label" --login --pin "$pin" \
            --read-object --type pubkey --label "own-$1" --output-file told.der &&
            plain pkey -pubin -inform DER -in told.der -out "own-$1.pub"
    fi
}

# ---- SoftHSM ----

empty_softhsm() {
    mkdir soft soft/tokens
    printf '%s\n' "directories.tokendir = $WORK/soft/tokens" \
        'objectstore.backend = file' 'log.level = ERROR' > soft/softhsm2.conf
    export SOFTHSM2_CONF=$WORK/soft/softhsm2.conf
    label=soft pin=1234
    softhsm2-util --init-token --free --label soft --so-pin 87654321 --pin 1234
}

start_softhsm() {
    module=$SOFTHSM2_MODULE
    empty_softhsm
}

own_key_softhsm() {
    tool_key "$1"
}

# ---- p11-kit: a token behind a socket ----

start_p11_kit() {
    empty_softhsm && find_module p11-kit-client.so || return 1
    daemon p11-kit p11-kit server --foreground --provider "$SOFTHSM2_MODULE" \
        -n "$WORK/p11-kit.socket" 'pkcs11:token=soft'
    export P11_KIT_SERVER_ADDRESS=unix:path=$WORK/p11-kit.socket
    until_true 30 test -S p11-kit.socket
}

own_key_p11_kit() {
    tool_key "$1"
}

# ---- NSS: a database without password; its keys have no label ----

start_nss() {
    find_module libsoftokn3.so || return 1
    mkdir nss
    label='NSS Certificate DB' pin=''
    init_args=configDir=sql:$WORK/nss
    certutil -N -d "sql:$WORK/nss" --empty-password
}

own_key_nss() {
    local id name=own-$1
    local -A types=([rsa2048]='rsa -g 2048' [p256]='ec -q nistp256' [p384]='ec -q nistp384'
        [ed25519]='ec -q curve25519')

    head -c 100 /dev/urandom > noise
    # shellcheck disable=SC2086 # words
    certutil -S -d "sql:$WORK/nss" -n "$name" -s "CN=$name" -x -t u,u,u -z noise \
        -m "$RANDOM" -k ${types[$1]} < /dev/null &&
        certutil -L -d "sql:$WORK/nss" -n "$name" -a > "$name.crt" &&
        plain x509 -in "$name.crt" -noout -pubkey > "$name.pub" || return 1
    id=$(certutil -K -d "sql:$WORK/nss" |
        sed -n "s/^<.*> *[a-z]* *\([0-9a-f]*\) *NSS Certificate DB:$name\$/\1/p")
    # shellcheck disable=SC2001 # a percent sign before each two digits
    own="pkcs11:token=NSS%20Certificate%20DB;id=$(echo "$id" | sed 's/../%&/g');type=private"
}

# ---- opencryptoki ----

# Runs this script where /run, /dev/shm, System V's shared memory, processes
# and opencryptoki's directory and configuration are its own.  In a chroot the
# root is no mount, and unshare cannot make it private: that has to be done
# already.
enter_opencryptoki() {
    local -a how=(unshare --mount --ipc --pid --fork --kill-child)

    export HSMSIGN_INSIDE=yes
    if "${how[@]}" true 2> stderr; then
        exec "${how[@]}" bash "$0" "$@"
    elif grep -q 'shared:' /proc/self/mountinfo; then
        echo 'mounts would show outside of this chroot' >> stderr
    elif "${how[@]}" --propagation unchanged true 2> stderr; then
        exec "${how[@]}" --propagation unchanged bash "$0" "$@"
    fi
    unset HSMSIGN_INSIDE
    return 1
}

start_opencryptoki() {
    local state=/var/lib/opencryptoki

    find_module libopencryptoki.so && [ "${HSMSIGN_INSIDE:-}" = yes ] &&
        mount -t tmpfs -o mode=755 tmpfs /run && mount -t tmpfs tmpfs /dev/shm &&
        mount -t proc proc /proc && mkdir skeleton &&
        (cd $state && find . -type d -exec mkdir -p "$WORK/skeleton/{}" ';') &&
        mkdir -p /run/lock && cp -R skeleton /run/lock/opencryptoki &&
        cp -R skeleton /run/opencryptoki &&
        chgrp -R pkcs11 skeleton /run/lock/opencryptoki /run/opencryptoki &&
        chmod -R 770 skeleton /run/lock/opencryptoki /run/opencryptoki &&
        mount --bind skeleton $state || return 1
    # From version 3.21 on the daemon is a user of its own.
    ! id pkcsslotd || chown pkcsslotd /run/opencryptoki || return 1
    # The software token; the others want hardware.
    sed -n '/^version/p; /^slot 3$/,/^}/p' /etc/opencryptoki/opencryptoki.conf > slots.conf &&
        grep -q libpkcs11_sw.so slots.conf && chmod 644 slots.conf &&
        mount --bind slots.conf /etc/opencryptoki/opencryptoki.conf || return 1
    label=lite pin=12345678
    pkcsslotd < /dev/null || return 1
    until_true 30 pkcsconf -t || return 1
    # The SO's first PIN is 87654321, and has to be changed before the user's.
    printf '%s\n' 87654321 $label | pkcsconf -I -c 3 &&
        printf '%s\n' 87654321 76543210 76543210 | pkcsconf -P -c 3 &&
        printf '%s\n' 76543210 $pin $pin | pkcsconf -u -c 3
}

own_key_opencryptoki() {
    tool_key "$1"
}

# ---- tpm2-pkcs11, over a resource manager and a TPM in software ----

start_tpm2() {
    find_module libtpm2_pkcs11.so || return 1
    mkdir tpm store
    daemon swtpm swtpm socket --tpm2 --tpmstate "dir=$WORK/tpm" \
        --server "type=unixio,path=$WORK/swtpm" --ctrl "type=unixio,path=$WORK/swtpm.ctrl" \
        --flags not-need-init,startup-clear
    daemon bus dbus-daemon --session --nofork --nopidfile --nosyslog \
        --address="unix:path=$WORK/bus"
    export DBUS_SESSION_BUS_ADDRESS=unix:path=$WORK/bus
    until_true 30 test -S bus && until_true 30 test -S swtpm.ctrl || return 1
    daemon abrmd tpm2-abrmd --session --allow-root --tcti "swtpm:path=$WORK/swtpm"
    export TPM2_PKCS11_STORE=$WORK/store TPM2_PKCS11_TCTI=tabrmd:bus_type=session
    export TPM2TOOLS_TCTI=$TPM2_PKCS11_TCTI TSS2_LOG=all+NONE
    label=tpm pin=1234
    until_true 30 tpm2_ptool init --path store &&
        tpm2_ptool addtoken --pid=1 --sopin=12345678 --userpin=$pin --label=$label \
            --path store
}

own_key_tpm2() {
    local -A types=([rsa2048]=rsa2048 [p256]=ecc256 [p384]=ecc384 [ed25519]=ed25519)

    own="pkcs11:token=$label;object=own-$1;type=private"
    tpm2_ptool addkey --algorithm="${types[$1]}" --label="$label" \
        --key-label="own-$1" --userpin="$pin" --path store && tool_public "$1"
}
