#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The image of conf/Containerfile, made without a registry: its lines are run in
# a bare Debian 12 (containerfile.py), and what it starts is started there with
# the variables of conf/compose.yaml and of the vendor's guide: as its user, with
# its root read-only, its own processes, and a directory for its volume.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/hsmsignd.sh
. "$HSMSIGN_SOURCE/test/integration/hsmsignd.sh" || exit 1
# shellcheck source=test/integration/chroot.sh
. "$HSMSIGN_SOURCE/test/integration/chroot.sh" || exit 1
# shellcheck source=test/integration/pdf.sh
. "$HSMSIGN_SOURCE/test/integration/pdf.sh" || exit 1
CONF=$HSMSIGN_SOURCE/conf
TOOLS=$HSMSIGN_SOURCE/test/integration
DIR=$HSMSIGN_BUILD/image
IMAGE=$DIR/image
container='' user=''

need_chroot
python3 -c 'import yaml' 2> /dev/null || skip_all 'python3-yaml is not installed'

end() {
    [ -z "$container" ] || kill -9 "$container"
    clean_up
}
trap end EXIT

make_image() {
    mkdir -p "$DIR" && make_base &&
        timeout 900 python3 "$TOOLS/containerfile.py" "$CONF/Containerfile" "$HSMSIGN_SOURCE" \
            "$BASE" "$DIR"
}

image() { # EXPRESSION: of image.json, $i
    python3 -c 'import json, sys; i = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' \
        "$DIR/image.json" "$1"
}

# A new volume has what the image has there.
make_volume() {
    cp -a "$IMAGE$(image 'i["Volumes"][0]')" "$1"
}

# in_image VOLUME MOUNTS VARIABLE=VALUE... COMMAND...: takes the place of this
# shell; MOUNTS are lines of "directory target".
in_image() {
    # shellcheck disable=SC2016 # for the shell inside
    exec unshare --mount --pid --fork --kill-child bash -euc '
        root=$1 user=$2
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        mount --bind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        while read -r source target; do
            [ -z "$source" ] || mount --bind "$source" "$root$target"
        done <<< "$3"
        mount -o remount,bind,ro "$root"
        shift 3
        exec chroot --userspec="$user" --groups= "$root" /usr/bin/env -i \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
        ' bash "$IMAGE" "${user:-$(image 'i["User"]')}" "$1 $(image 'i["Volumes"][0]')"$'\n'"$2" \
        "${@:3}"
}

# start VOLUME MOUNTS VARIABLE=VALUE...: the entry point, with the image's
# variables before these; $container is the process that is number 1 in there.
start() {
    local -a variables entry

    mapfile -t variables < <(image '"\n".join(k + "=" + v for k, v in i["Env"].items())')
    mapfile -t entry < <(image '"\n".join(i["Entrypoint"])')
    : > log
    in_image "$1" "$2" "${variables[@]}" "${@:3}" "${entry[@]}" > out 2> log < /dev/null &
    outer=$!
    wait_for_port log "$outer" || return 1
    container=$(pgrep -P "$outer")
}

stop() {
    [ -n "$container" ] || return 1
    kill -TERM "$container"
    timeout 30 tail --pid="$container" -f /dev/null || kill -9 "$container"
    container=
    wait "$outer"
    status=$?
    tail -n 20 log >&2
    [ "$status" -eq 0 ] && [ ! -s out ] && grep -q '"event":"stopped"' log
}

# fails TEXT VOLUME VARIABLE=VALUE...: it does not start, and says that
fails() {
    ! start "$2" '' "${@:3}" && grep -qF -- "$1" log
}

# compose VARIABLE=VALUE...: what the service gets if the caller has these, in
# $compose; only the port is another, since that one may be taken, and Node.js
# refuses it.
compose() {
    local free

    free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
    env "$@" python3 "$TOOLS/compose.py" "$CONF/compose.yaml" signing_service environment > given &&
        grep -q '^SIGNING_SERVICE_PORT=6000$' given &&
        sed -i "s/^SIGNING_SERVICE_PORT=.*/SIGNING_SERVICE_PORT=$free/" given &&
        mapfile -t compose < given
}

certificate() {
    curl -sS --data '{"action":"get_certificates"}' "http://127.0.0.1:$port/sign" |
        python3 -c 'import base64, json, sys
print(base64.b64decode(json.load(sys.stdin)["certificates"][0]).decode())'
}

# key_is FILE: that of the certificate that it answers with
key_is() {
    certificate | plain x509 -noout -pubkey > now.pub && cmp now.pub "$1"
}

first_key() {
    certificate | plain x509 -noout -pubkey > first.pub && grep -q 'BEGIN PUBLIC KEY' first.pub
}

makes_no_token() { # VOLUME
    [ -z "$(ls -A "$1")" ]
}

is_user() {
    equal 10001 "$(stat -c %u "/proc/$container")" &&
        equal "hsmsignd" "$(cat "/proc/$container/comm")"
}

listens_everywhere() {
    grep -q '"event":"listening".*"address":"0.0.0.0"' log
}

no_pin_shows() {
    ! grep -F "$PIN" log out && ! tr '\0' ' ' < "/proc/$container/cmdline" | grep -F "$PIN"
}

healthy() {
    local -a command

    mapfile -t command < <(python3 "$TOOLS/compose.py" "$CONF/compose.yaml" signing_service health)
    (in_image volume '' SIGNING_SERVICE_PORT="$port" "${command[@]}")
}

all_good() { # DIR
    local name

    equal 24 "$(wc -l < "$1/names")" || return 1
    while read -r name; do
        pdfsig_says "$1/$name.pdf" 'Signature is Valid' 'Certificate is Trusted' \
            'Total document signed' || return 1
    done < "$1/names"
    pdfsig_says "$1/$(tail -n 1 "$1/names").tampered.pdf" 'Digest Mismatch'
}

signs_pdfs() {
    trust volume/ca.pem && sign_pdfs "$port" pdfs && all_good pdfs
}

PIN=4711-of-the-image
check 'the lines of the Containerfile run in a bare Debian 12' make_image
[ "$status" -eq 0 ] || finish
check 'its port is the one of the service' equal 6000 "$(image 'i["Ports"][0]')"
make_volume volume
# As a first start leaves it that was cut short.
mkdir -p volume/new/rest
chown -R 10001:10001 volume
check 'the variables of the compose file' compose HSM_PIN=$PIN
check 'the entry point starts with them' start "$WORK/volume" '' "${compose[@]}"
check 'the service is number 1, and the user is not root' is_user
check 'it listens to other containers' listens_everywhere
check 'the PIN is in no log and no argument of the service' no_pin_shows
check 'the check of its health is content' healthy
check 'it answers with the certificate of its key' first_key
if has_pdf_tools; then
    check 'PDFs that it signs are good, says pdfsig' signs_pdfs
else
    test_count=$((test_count + 1))
    echo "ok $test_count - PDFs that it signs are good # SKIP $missing"
fi
check 'it ends at SIGTERM' stop
refute 'then the check of its health is not content' healthy

install -d run
printf '%s\n' "$PIN" > run/hsm_pin
chown -R 10001 run
# As secrets do, in a directory that the image has.
check 'the variables with the PIN in a file' compose HSM_PIN=
check 'it starts again, with the PIN in a file' start "$WORK/volume" "$WORK/run /mnt" \
    "${compose[@]}" HSM_PIN_FILE=/mnt/hsm_pin
check 'the key is the same' key_is first.pub
check 'it ends' stop
rm volume/cert.pem
check 'it starts after the certificate is lost' start "$WORK/volume" '' "${compose[@]}" HSM_PIN=$PIN
check 'the key is the same still' key_is first.pub
check 'it ends then' stop

make_volume empty
check 'without a PIN it says so' fails 'HSM_PIN or HSM_PIN_FILE' "$WORK/empty" "${compose[@]}"
user=10002:10002
check 'another user is told whose the volume is' fails 'user 10002 cannot write' "$WORK/empty" \
    "${compose[@]}" HSM_PIN=$PIN
user=
check 'with another module' compose HSM_PIN=crypto_user:password \
    HSM_MODULE=/opt/cloudhsm/lib/libcloudhsm_pkcs11.so
check 'it wants that one' fails /opt/cloudhsm/lib/libcloudhsm_pkcs11.so "$WORK/empty" "${compose[@]}"
check 'and makes no token' makes_no_token empty
finish
