# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A bare Debian 12, for tests of what is installed; sourced by them after lib.sh.

# need_chroot: all of the test is skipped where there can be none
need_chroot() {
    [ "$(id -u)" -eq 0 ] || skip_all 'only root makes a root directory'
    mountpoint -q / || skip_all 'this is a chroot already'
    command -v mmdebstrap > /dev/null || skip_all 'mmdebstrap is not installed'
    unshare --mount --pid --fork true 2> stderr || skip_all "unshare: $(head -n 1 stderr)"
}

skip_all() {
    echo "1..0 # SKIP $*"
    exit
}

# make_base: $BASE, which later tests and runs find
BASE=$HSMSIGN_BUILD/debian-12
make_base() {
    (
        flock 9
        [ ! -d "$BASE" ] || exit 0
        rm -rf "$BASE.new"
        # A mirror that stands still has dates that are over: judged as here.
        apt-config dump | grep '^Acquire::Check-' > apt.conf || : > apt.conf
        timeout 600 mmdebstrap --variant=minbase --aptopt="$WORK/apt.conf" \
            --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
            bookworm "$BASE.new" && mv "$BASE.new" "$BASE"
    ) 9> "$BASE.lock"
}
