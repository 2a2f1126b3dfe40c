#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# conf/debian: the packages are built, installed in a bare Debian 12, used there
# with SoftHSM, and purged.
# shellcheck disable=SC2016,SC2317 # for a shell inside; functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/chroot.sh
. "$HSMSIGN_SOURCE/test/integration/chroot.sh" || exit 1
need_chroot
need dpkg-buildpackage dh
ROOT=$WORK/root
PACKAGES='openssl-provider-hsmsign hsmsign hsmsignd'

# As a release: what git knows, with conf/debian in its place.
build() {
    local version

    version=$(sed -n "1s/.*(\(.*\)).*/\1/p" "$HSMSIGN_SOURCE/conf/debian/changelog")
    mkdir source && git -C "$HSMSIGN_SOURCE" -c safe.directory='*' ls-files -z |
        (cd "$HSMSIGN_SOURCE" && xargs -0 cp --parents -t "$WORK/source") &&
        cp -r source/conf/debian source/debian && (
        cd source && DEB_BUILD_OPTIONS='noautodbgsym parallel=2' \
            timeout 500 dpkg-buildpackage -us -uc -b
    ) && for package in $PACKAGES libhsmsign-dev; do
        ls "${package}_$version"_*.deb || return
    done
}

make_root() {
    make_base && cp -a "$BASE" "$ROOT" && cp ./*.deb "$ROOT/root" &&
        cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
}

# inside COMMAND...: by a shell in the root, with /proc and no more
inside() {
    unshare --mount --pid --fork --kill-child bash -euc '
        mount -t proc proc "$1/proc"
        mount --bind /dev "$1/dev"
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
            chroot "$1" bash -euc "$2"' bash "$ROOT" "$1"
}

# What %files of the RPMs names is what was installed, neither more nor less.
spec_files() {
    sed -n '/^%files/,$ { /^%{/p }' "$HSMSIGN_SOURCE/conf/hsmsign.spec" | sed \
        -e 's,%{_bindir},usr/bin,; s,%{_sbindir},usr/sbin,; s,%{_mandir},usr/share/man,' \
        -e 's,%{_datadir},usr/share,; s,%{_libdir},usr/lib/*,; s,%{_includedir},usr/include,' \
        -e 's,%{_unitdir},usr/lib/systemd/system,' > named
    grep -v '%' named | (cd source/debian/tmp && while read -r name; do
        # shellcheck disable=SC2086 # a pattern
        find $name -type f || exit
    done) | sort > named.files && (cd source/debian/tmp && find . -type f -printf '%P\n') |
        sort | diff - named.files
}

# Its version and those of what it needs are the chroot's to judge.
check 'the packages are built' build
[ "$status" -eq 0 ] || finish
check 'and hsmsign.spec has the same files' spec_files
check 'a bare Debian 12 is made' make_root
[ "$status" -eq 0 ] || finish
check 'and what is there before' inside 'find / -xdev -path /proc -prune -o -path /root -prune -o -print |
    sort > /root/before'
check 'they are installed with apt-get' inside 'apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends softhsm2 openssl \
        /root/openssl-provider-hsmsign_*.deb /root/hsmsign_*.deb /root/hsmsignd_*.deb'
check 'hsmsign is there' inside 'hsmsign --version'
check 'hsmsignd is there' inside 'hsmsignd --version'
check 'man pages, completion, units and examples are' inside 'for file in \
    /usr/share/bash-completion/completions/hsmsign /usr/share/bash-completion/completions/hsmsignd \
    /lib/systemd/system/hsmsignd.service /usr/share/hsmsign/hsmsignd.env \
    /usr/share/hsmsign/web/index.html \
    /usr/share/hsmsign/openssl-cloudhsm.cnf /usr/share/doc/hsmsign/copyright; do [ -f $file ]; done
    # A bare Debian drops man pages when it installs.
    for package in hsmsign hsmsignd openssl-provider-hsmsign; do
        dpkg -L $package | grep -q "/usr/share/man/man.*gz"
    done'
check 'a key is made' inside 'softhsm2-util --init-token --free --label demo --so-pin 12345678 --pin 1234
    export HSM_MODULE=/usr/lib/softhsm/libsofthsm2.so HSM_PIN=1234
    hsmsign keygen --type rsa:2048 --label signer
    hsmsign selfsign --key "pkcs11:token=demo;object=signer" --subject /CN=signer --out /root/cert.pem
    openssl x509 -in /root/cert.pem -noout -pubkey > /root/public.pem'
check 'openssl signs with the provider that openssl.cnf names' inside 'export HSM_MODULE=/usr/lib/softhsm/libsofthsm2.so
    echo text > /root/text
    HSM_PIN=1234 OPENSSL_CONF=/usr/share/hsmsign/openssl-softhsm.cnf openssl dgst -sha256 \
        -sign "pkcs11:token=demo;object=signer;type=private" -out /root/sig /root/text
    openssl dgst -sha256 -verify /root/public.pem -signature /root/sig /root/text'
check 'hsmsign signs' inside 'export HSM_MODULE=/usr/lib/softhsm/libsofthsm2.so HSM_PIN=1234
    hsmsign sign --key "pkcs11:token=demo;object=signer" --cert /root/cert.pem --format cms --in /root/text --out /root/p7s
    openssl cms -verify -binary -inform DER -in /root/p7s -content /root/text -CAfile /root/cert.pem -purpose any > /dev/null'
check 'hsmsignd is content' inside 'HSM_MODULE=/usr/lib/softhsm/libsofthsm2.so HSM_PIN=1234 \
    HSM_KEY="pkcs11:token=demo;object=signer" HSM_CERT=/root/cert.pem hsmsignd --check'
# Without a compiler in there: with what the package has.
# shellcheck disable=SC2046 # words
embed() {
    mkdir dev && dpkg -x libhsmsign-dev_*.deb dev &&
        cc -o "$ROOT/root/embed" "$HSMSIGN_SOURCE/examples/embed.c" $(PKG_CONFIG_SYSROOT_DIR=$WORK/dev \
            PKG_CONFIG_PATH=$(echo "$WORK"/dev/usr/lib/*/pkgconfig) pkg-config --cflags --libs hsmsign) &&
        inside 'cd /root
            (umask 077 && echo 1234 > pin)
            ./embed /usr/lib/softhsm/libsofthsm2.so pin "pkcs11:token=demo;object=signer" text > embed.sig
            openssl dgst -sha256 -verify public.pem -signature embed.sig text'
}
check 'embed.c is built with libhsmsign-dev, and signs' embed
# In the place of systemd: says whether the units run, and writes down what it is asked.
units='units_are() {
    mkdir -p /run/systemd/system
    printf "#!/bin/sh\necho \"\$*\" >> /root/asked\n$1\n" > /usr/bin/systemctl
    chmod +x /usr/bin/systemctl
    : > /root/asked
}
'
check 'an upgrade restarts the service that runs' inside "$units"'units_are true
    dpkg -i /root/hsmsignd_*.deb
    cat /root/asked
    grep -q -- " restart hsmsignd.service hsmsignd.socket" /root/asked
    [ "$(grep -cwE "start|stop" /root/asked)" = 0 ]'
check 'removal stops it' inside "$units"'units_are true
    dpkg -r hsmsignd
    cat /root/asked
    grep -q "stop hsmsignd.service hsmsignd.socket" /root/asked'
check 'and installing starts nothing' inside "$units"'units_are false
    dpkg -i /root/hsmsignd_*.deb
    cat /root/asked
    grep -q is-active /root/asked
    [ "$(grep -cwE "start|restart|enable" /root/asked)" = 0 ]
    rm -r /usr/bin/systemctl /run/systemd/system'
check 'they are purged' inside "apt-get purge -qy $PACKAGES"
check 'and leave nothing' inside 'find / -xdev -path /proc -prune -o -path /root -prune -o -print | sort |
    comm -13 /root/before - | grep -i hsmsign > /root/left || true
    cat /root/left && [ ! -s /root/left ]'
finish
