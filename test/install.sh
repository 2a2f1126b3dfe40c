#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the packages that the tests need, and those given as arguments, if
# they are missing (Debian).  --programs: also the programs of others that the
# tests run with keys on a token; those that this system does not have are
# left out, and skipped there.
# --list [--programs]: prints the names instead.
set -euo pipefail
packages=(
    gcc libc6-dev meson ninja-build pkg-config
    libssl-dev libp11-kit-dev libcmocka-dev libmicrohttpd-dev libjansson-dev
    openssl softhsm2 opensc gnutls-bin valgrind procps bsdutils
    python3-pycryptodome python3-ecdsa
)
# Tokens of others, what they need and what makes keys on them.
tokens=(
    libnss3-tools p11-kit p11-kit-modules
    libtpm2-pkcs11-1 libtpm2-pkcs11-tools swtpm libtss2-tcti-tabrmd0 dbus-daemon
)
servers=(nginx haproxy stunnel4 openvpn opencryptoki tpm2-abrmd)
declare -A services=([opencryptoki]=pkcsslotd) # where it has another name
programs=(
    "${servers[@]}" apache2-bin curl osslsigncode sbsigntool bind9-utils xmlsec1
    php-cli libnet-ssleay-perl python3 nodejs openssl-provider-fips
    "${tokens[@]}" poppler-utils wrk
)
# Where Node.js is not Debian's, npm comes with it, and Debian's conflicts.
command -v npm > /dev/null || programs+=(npm)
policy=/usr/sbin/policy-rc.d
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

installed() {
    dpkg-query -W -f '${Status}' "$1" 2> /dev/null | grep -q 'ok installed'
}

# Those of "$@" that are not installed: $missing
find_missing() {
    local package

    missing=()
    for package; do
        installed "$package" || missing+=("$package")
    done
}

# Those of $missing that there are.
keep_known() {
    local package known=()

    for package in "${missing[@]}"; do
        if apt-cache show "$package" > /dev/null 2>&1; then
            known+=("$package")
        else
            echo "There is no package $package: its tests are skipped"
        fi
    done
    missing=("${known[@]}")
}

# The kernel's sign-file is in a package that bears the version of a kernel; the
# oldest is the release's own, newer ones are backports.
add_sign_file() {
    local package

    compgen -G '/usr/lib/linux-kbuild-*/scripts/sign-file' > /dev/null && return
    package=$(apt-cache pkgnames linux-kbuild- | sort -V | head -n 1)
    missing+=("${package:-linux-kbuild}")
}

install() {
    echo "Installing: $*"
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends \
        "$@" > /dev/null
}

# Debian starts a server as soon as it is installed, and at each boot.  Nobody
# who runs tests has asked for a web server on port 80.  policy-rc.d is what
# both invoke-rc.d and deb-systemd-invoke ask, also where there is no init
# (RUNLEVEL=1 does not reach the latter).  One that is there already is left
# alone, unless it is ours and a run that was killed left it.
forbid_servers() {
    if [ -e $policy ] && ! grep -q 'hsmsign test/install.sh' $policy; then
        return
    fi
    trap '$sudo rm -f $policy' EXIT
    printf '%s\n' '#!/bin/sh' '# from hsmsign test/install.sh, which removes it' \
        'exit 101' | $sudo tee $policy > /dev/null
    $sudo chmod 755 $policy
}

# Those of $servers that were not there before do not start at boot either.
disable_servers() {
    local server said

    for server in "${servers[@]}"; do
        if [[ " $* " == *" $server "* ]]; then
            echo "Not to be started at boot: $server"
            said=$($sudo update-rc.d "${services[$server]:-$server}" disable 2>&1) ||
                echo "$said"
        fi
    done
}

if [ "${1:-}" = --list ]; then
    [ "${2:-}" != --programs ] || packages+=("${programs[@]}")
    echo "${packages[*]}"
    exit
fi
with_programs=no
if [ "${1:-}" = --programs ]; then
    with_programs=yes
    shift
fi
find_missing "${packages[@]}" "$@"
if [ ${#missing[@]} != 0 ]; then
    $sudo apt-get update -qq
    install "${missing[@]}"
fi
[ $with_programs = yes ] || exit 0

find_missing "${programs[@]}"
if [ ${#missing[@]} != 0 ] ||
    ! compgen -G '/usr/lib/linux-kbuild-*/scripts/sign-file' > /dev/null; then
    $sudo apt-get update -qq
    add_sign_file
    keep_known
fi
if [ ${#missing[@]} != 0 ]; then
    forbid_servers
    install "${missing[@]}"
    disable_servers "${missing[@]}"
fi
