#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the packages that the tests need, and those given as arguments, if
# they are missing (Debian).
set -euo pipefail
packages=(
    gcc libc6-dev meson ninja-build pkg-config
    libssl-dev libp11-kit-dev libcmocka-dev
    openssl softhsm2 opensc gnutls-bin valgrind procps
    python3-pycryptodome python3-ecdsa
    "$@"
)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' \
        || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "Installing: ${missing[*]}"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" > /dev/null
