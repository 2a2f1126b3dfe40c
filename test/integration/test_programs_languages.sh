#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The OpenSSL that comes with programming languages, unmodified, with a key on
# the token: TLS servers of a few lines, signatures, CMS.
# shellcheck disable=SC2016,SC2317 # other languages' $; called through cell
# shellcheck source=test/integration/programs.sh
. "$HSMSIGN_SOURCE/test/integration/programs.sh" || exit 1

# ---- what they made, verified ----

verified_signature() { # of letter, in cell/sig
    local -a digest

    digest=(-digest sha256)
    [ "$key" != ed25519 ] || digest=()
    plain pkeyutl -verify -rawin "${digest[@]}" -pubin -inkey "$T/$key.pub" \
        -in letter -sigfile cell/sig || return 1
    ! plain pkeyutl -verify -rawin "${digest[@]}" -pubin -inkey "$T/$key.pub" \
        -in openssl.cnf -sigfile cell/sig
}

verified_cms() { # of letter, in cell/cms
    plain cms -verify -binary -inform DER -in cell/cms -content letter \
        -CAfile "$T/ca.pem" -purpose any -out cell/verified &&
        OPENSSL_CONF=/dev/null certtool --p7-verify --inder --infile cell/cms \
            --load-ca-certificate "$T/ca.pem" --load-data letter
}

# ---- PHP ----

cat > sign.php << 'PHP'
<?php
[, $name, $cert, $ed25519] = $argv;
$key = openssl_pkey_get_private(str_starts_with($name, '/') ? "file://$name" : $name);
if ($key === false) {
    fwrite(STDERR, 'no key: ' . openssl_error_string() . "\n");
    exit(1);
}
if (!openssl_sign(file_get_contents('letter'), $sig, $key, OPENSSL_ALGO_SHA256)
    || !openssl_cms_sign(getcwd() . '/letter', getcwd() . '/cell/cms', "file://$cert", $key,
        [], OPENSSL_CMS_BINARY | OPENSSL_CMS_DETACHED, OPENSSL_ENCODING_DER)) {
    exit(1);
}
file_put_contents('cell/sig', $sig);
PHP

php_signs() {
    under php -d display_errors=stderr sign.php "$named" "$cert" &&
        verified_signature && verified_cms
}

# ---- Perl ----

cat > server.pl << 'PERL'
use strict;
use warnings;
use IO::Socket::INET;
use Net::SSLeay;

my ($port, $cert, $key) = @ARGV;
Net::SSLeay::initialize();
my $ctx = Net::SSLeay::CTX_new_with_method(Net::SSLeay::TLS_server_method());
Net::SSLeay::CTX_use_certificate_chain_file($ctx, $cert) > 0
    && Net::SSLeay::CTX_use_PrivateKey_file($ctx, $key, Net::SSLeay::FILETYPE_PEM()) > 0
    && Net::SSLeay::CTX_check_private_key($ctx)
    or die 'no key: ', Net::SSLeay::ERR_error_string(Net::SSLeay::ERR_get_error());
my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 5)
    or die "in use: $!";
while (my $socket = $listener->accept) {
    my $ssl = Net::SSLeay::new($ctx);
    Net::SSLeay::set_fd($ssl, fileno $socket);
    if (Net::SSLeay::accept($ssl) == 1) {
        Net::SSLeay::write($ssl, 'hello');
        1 while Net::SSLeay::read($ssl);    # until the client leaves
        Net::SSLeay::shutdown($ssl);
    }
    Net::SSLeay::free($ssl);
}
PERL

perl_start() {
    start perl server.pl "$port" "$cert" "$named"
}

perl_serves() {
    listening perl_start && trusts
}

# ---- Python ----

cat > server.py << 'PYTHON'
import socket
import ssl
import sys

port, cert, key = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
with socket.create_server(("127.0.0.1", int(port))) as listener:
    while True:
        connection, _ = listener.accept()
        try:
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(b"hello")
                while tls.recv(1000):  # until the client leaves
                    pass
                tls.unwrap()
        except OSError as error:
            print(error, file=sys.stderr)
PYTHON

python_start() {
    start /usr/bin/python3 server.py "$port" "$cert" "$named"
}

python_serves() {
    listening python_start && trusts
}

# ---- node ----

cat > sign.js << 'JAVASCRIPT'
const crypto = require('crypto');
const fs = require('fs');
const [name, digest] = process.argv.slice(2);
const pem = name.startsWith('/') ? fs.readFileSync(name) : name;
fs.writeFileSync('cell/sig',
    crypto.sign(digest || null, fs.readFileSync('letter'), crypto.createPrivateKey(pem)));
JAVASCRIPT
cat > server.js << 'JAVASCRIPT'
const fs = require('fs');
const tls = require('tls');
const [port, cert, key] = process.argv.slice(2);
tls.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, (connection) => {
    connection.on('error', console.error);
    connection.write('hello');
    connection.resume(); // until the client leaves
}).listen(port, '127.0.0.1');
JAVASCRIPT

# Without the first option it reads a section of its own, nodejs_conf.
with_configuration() {
    "$1" node --openssl-shared-config "--openssl-config=$conf" "${@:2}"
}

node_start() {
    with_configuration start server.js "$port" "$cert" "$named"
}

node_signs() {
    local name=sha256

    [ "$key" != ed25519 ] || name=
    with_configuration under sign.js "$named" "$name" && verified_signature &&
        listening node_start && trusts
}

head -c 100000 /dev/urandom > letter

if subject PHP php --version; then
    for k in rsa2048 p256 p256-bare; do
        cell $k PEM php_signs
    done
    for k in rsa2048 p256; do
        cannot='no key: .*(no start line|unsupported)' cell $k URI php_signs
    done
fi
if subject Net::SSLeay perl -MNet::SSLeay -e 'print "Net::SSLeay $Net::SSLeay::VERSION\n"'; then
    for k in rsa2048 p256 p256-bare ed25519; do
        cell $k PEM perl_serves
    done
    for k in rsa2048 p256; do
        cannot='no key: .*No such file' cell $k URI perl_serves
    done
fi
if subject Python /usr/bin/python3 --version; then
    for k in rsa2048 p256 p256-bare ed25519; do
        cell $k PEM python_serves
    done
    for k in rsa2048 p256; do
        cannot='FileNotFoundError' cell $k URI python_serves
    done
fi
if subject node node --version; then
    # It may bring its own.
    libcrypto=$(node -p process.versions.openssl)
    for k in rsa2048 p256 p256-bare ed25519; do
        cell $k PEM node_signs
    done
    for k in rsa2048 p256; do
        cannot='DECODER routines::unsupported' cell $k URI node_signs
    done
fi
finish
