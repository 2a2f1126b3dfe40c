#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Format and lint checks: clang-format, clang-tidy, shellcheck, man pages, and
# the few rules of CONTRIBUTING.md that a command can see.
set -euo pipefail
cd "$(dirname "$0")/.."
./test/install.sh clang-format clang-tidy shellcheck mandoc git
fail() {
    echo "lint: $*" >&2
    exit 1
}

mapfile -t sources < <(git ls-files '*.c' '*.h')
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
mapfile -t pages < <(git ls-files '*.1' '*.7' '*.8')

clang-format --dry-run -Werror "${sources[@]}"
shellcheck -x "${scripts[@]}"
[ ${#pages[@]} = 0 ] || mandoc -T lint -W warning "${pages[@]}"

# The top level stays: what a test leaves in the wrong place does not get in.
top='^(\.|(CHANGELOG|CONTRIBUTING|PERFORMANCE|README|SECURITY)\.md$|LICENSE$|meson|(conf|examples|pkcs11|provider|test)/)'
git ls-files | grep -vE "$top" && fail 'not for the top level'

# Dependencies point one way, and nothing in the library writes to stdout.
grep -nE 'EVP_|OSSL_|ERR_raise|openssl/' pkcs11/*.[ch] && fail 'pkcs11/ names OpenSSL'
grep -nE '\b(printf|puts|putchar) ?\(' pkcs11/*.c provider/*.c && fail 'the library writes to stdout'
lines=$(./test/count_code.py pkcs11/*.[ch] provider/*.[ch])
[ "$lines" -lt 10750 ] || fail "pkcs11/ and provider/ have $lines lines of code; an afternoon is enough for 10,750"
wc -l pkcs11/*.[ch] provider/*.[ch] examples/*.[ch] examples/*/*.[ch] |
    awk '$2 != "total" && $1 > 500 { print; bad = 1 } END { exit bad }' ||
    fail 'a file of more than 500 lines'

[ -f build/compile_commands.json ] || meson setup build -Dwerror=true > /dev/null
printf '%s\n' pkcs11/*.c provider/*.c examples/*.c examples/*/*.c \
    | xargs -P "$(nproc)" -n 4 clang-tidy -p build --quiet 2> /dev/null
echo 'lint: ok'
