#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The chapter "AWS CloudHSM" of README.md, command by command as it is written
# there, with the simulator in the place of AWS's library, and the user that it
# speaks of.  All of it happens in a mount namespace, in which /etc, /opt,
# /usr/local and OpenSSL's directory of modules are copies or empty, so that the
# machine stays as it is.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
need meson softhsm2-util setpriv useradd
: "${HSMSIGN_CLOUDHSM:?}" "${HSMSIGN_CLOUDHSM_KEYPAIR:?}" "${HSMSIGN_BUILD:?}"

SDK=/opt/cloudhsm/lib/libcloudhsm_pkcs11.so
PIN=crypto_user:password
chmod 755 .

# The chapter's commands: what is indented, without the indentation.
sed -n '/^## AWS CloudHSM/,/^## [^A]/s/^    //p' \
    "$HSMSIGN_SOURCE/README.md" > chapter
# Whose they are: up to chown the administrator's, then the signer's.
sed '/^sudo chown /q' chapter > administrator
sed '1,/^sudo chown /d' chapter > signer

split() {
    equal 4 "$(grep -c ^sudo administrator)" && ! grep sudo signer &&
        grep -q '^# a CA makes signer.pem' signer &&
        [ "$(grep -c ^hsmsign signer)" -eq 2 ]
}
check 'the chapter has commands of an administrator, then of a signer' split
check 'install' env "DESTDIR=$WORK/root" meson install -C "$HSMSIGN_BUILD" --no-rebuild

if ! unshare --mount true 2> stderr; then
    echo "ok $((test_count += 1)) - the chapter's commands # SKIP unshare --mount: $(head -1 stderr)"
    finish
fi

# What is there before: the SDK, its cluster with a crypto user and a key, a user
# who signs, and hsmsign as the chapter "Install" leaves it.
cat > prepare << 'EOF'
set -e
modules=$(dirname "$(find root -name hsmsign.so)")
mkdir etc local
cp -a /etc/. etc
cp -n "${modules#root}"/* "$modules"
cp -a root/usr/local/. local
mount --bind etc /etc
mount --bind local /usr/local
mount --bind "$modules" "${modules#root}"
mount -t tmpfs tmpfs /opt
mkdir -p "$(dirname "$SDK")"
cp "$HSMSIGN_CLOUDHSM" "$SDK"
rm -rf /etc/hsmsign
id signer > /dev/null 2>&1 || useradd --no-create-home signer
PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export SOFTHSM2_CONF=$PWD/hsm.conf
mkdir -p tokens work
printf 'directories.tokendir = %s\nlog.level = ERROR\n' "$PWD/tokens" > hsm.conf
softhsm2-util --init-token --free --label hsm1 --so-pin 87654321 --pin "$PIN"
"$HSMSIGN_CLOUDHSM_KEYPAIR" "$SDK" "$PIN" "$TYPE" signer_pub signer
cp "$HSMSIGN_SOURCE/examples/contract.pdf" work
chown -R signer: tokens work
EOF

# sudo is for those who are not root already; and the CA, where the README has
# a comment.
cat > tools << 'EOF'
set -e
sudo() {
    "$@"
}
certify() {
    OPENSSL_CONF=/dev/null openssl x509 -req -in signer.csr -days 300 \
        -CA "$HSMSIGN_TOKEN/ca.pem" -CAkey ../ca.key -set_serial 1 \
        -copy_extensions copy -out signer.pem
    cp "$HSMSIGN_TOKEN/ca.pem" ca.pem
}
EOF
cp "$HSMSIGN_TOKEN/ca.key" ca.key && chmod 644 ca.key
sed '/^# a CA makes signer.pem/a certify' signer > signer.commands
[ "$(wc -l < signer.commands)" -eq "$(($(wc -l < signer) + 1))" ] || bail 'no CA in the chapter'
cat > environment << 'EOF'
# The last paragraph of the chapter.
export HSM_MODULE=$SDK HSM_PIN=$PIN
hsmsign sign --key 'pkcs11:object=signer' --cert signer.pem --chain ca.pem \
    --format cades --in contract.pdf --out other.p7s
# What the README advises where no private key matches.
hsmsign keys 'pkcs11:token=hsm1' > keys
EOF

as_signer() { # FILE: its commands, each shown
    # shellcheck disable=SC2016
    printf '(cd work && setpriv --reuid=signer --regid=signer --clear-groups \
        bash -c ". ../tools; set -x; . ../%s")\n' "$1"
}

# rsa or ec: everything, in a namespace of its own
chapter() {
    rm -rf etc local tokens work signed
    {
        cat prepare
        # shellcheck disable=SC2016 # for the other shell
        printf '%s\n' '. ./tools; set -x' '. ./administrator < pin' \
            '[ "$(stat -c %a:%U /etc/hsmsign/pin)" = 600:signer ]'
        as_signer signer.commands
        as_signer environment
    } > all
    echo "$PIN" > pin
    env -u OPENSSL_CONF "SDK=$SDK" "PIN=$PIN" TYPE="$1" \
        unshare --mount bash "$PWD/all"
}

verified() {
    plain cms -verify -binary -cades -inform DER -in "work/$1" -content \
        "$HSMSIGN_SOURCE/examples/contract.pdf" -CAfile "$HSMSIGN_TOKEN/ca.pem" \
        -purpose any -out content && cmp content "$HSMSIGN_SOURCE/examples/contract.pdf"
}

outside() {
    stat -c '%n %y %i' /etc /etc/passwd /etc/hsmsign /opt /opt/cloudhsm \
        /usr/local /usr/local/bin 2> /dev/null
    true
}

outside > before
for type in rsa ec; do
    check "the chapter's commands, with a key of type $type" chapter $type
    cp stderr shown
    cp stdout doctor
    check 'doctor finds nothing wrong' sh -c \
        'grep "^ok *signature: made and verified" doctor && ! grep -E "^(error|warning) " doctor'
    check 'the request is for a signer who signs documents' sh -c \
        'openssl req -in work/signer.csr -noout -text -verify | grep -q "Non Repudiation"'
    check 'openssl verifies the signature' verified contract.p7s
    check 'and the one by HSM_MODULE and HSM_PIN' verified other.p7s
    check 'keys lists both halves' sh -c \
        'grep "object=signer;type=private" work/keys && grep "object=signer_pub;type=public" work/keys'
    check 'no PIN is shown, but by the comment in the README and our own last command' \
        sh -c '! grep -v "^+* .*HSM_PIN=" shown | grep "crypto_user:password"'
done
outside > after
check 'the machine is as it was' cmp before after
finish
