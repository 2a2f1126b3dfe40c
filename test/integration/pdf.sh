# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# PDFs that @signpdf/signpdf signs through hsmsignd, and what Poppler says of them;
# sourced after lib.sh.

# The packages stay in the build directory until others are asked for.
packages=$HSMSIGN_BUILD/pdf

# has_pdf_tools: whether they are here; else $missing says what is not
has_pdf_tools() {
    for missing in node npm pdfsig certutil certtool; do
        command -v "$missing" > /dev/null || {
            missing="$missing is not installed"
            return 1
        }
    done
    run flock "$HSMSIGN_BUILD" bash -c "$(declare -f install_packages); packages=\$1; install_packages" \
        bash "$packages"
    missing="npm cannot install: $(tail -n 1 stderr | head -c 100)"
    [ "${status:?}" -eq 0 ]
}

install_packages() {
    cmp -s "$HSMSIGN_SOURCE/test/pdf/package-lock.json" "$packages/installed" &&
        return
    rm -rf "$packages" && mkdir -p "$packages" &&
        cp "$HSMSIGN_SOURCE"/test/pdf/package*.json "$packages" &&
        (cd "$packages" && OPENSSL_CONF=/dev/null timeout 200 npm ci \
            --ignore-scripts --no-audit --no-fund --prefer-offline) &&
        mv "$packages/package-lock.json" "$packages/installed"
}

# trust CERTIFICATE: $WORK/nss is a database of NSS with that as a root
trust() {
    mkdir nss &&
        certutil -N -d "sql:$WORK/nss" --empty-password &&
        certutil -A -d "sql:$WORK/nss" -n ca -t CT,C,C -i "$1"
}

# sign_pdfs PORT DIR: in each mode with each hash; DIR/names has what was made
sign_pdfs() {
    mkdir "$2" || return 1
    NODE_PATH=$packages/node_modules OPENSSL_CONF=/dev/null node \
        "$HSMSIGN_SOURCE/test/pdf/sign.js" "http://127.0.0.1:$1/sign" \
        "$HSMSIGN_SOURCE/examples/contract.pdf" "$2" > "$2/names"
}

# pdfsig_says FILE LINE...: by its text; the exit status says other things
pdfsig_says() {
    local line

    pdfsig -nssdir "sql:$WORK/nss" "$1" > said 2>&1
    cat said
    for line in "${@:2}"; do
        grep -q "$line" said || return 1
    done
}
