#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Programs, unmodified, that sign files with a key on the token: executables,
# kernel modules, zones, XML.
# shellcheck disable=SC2317 # functions are called through cell
# shellcheck source=test/integration/programs.sh
. "$HSMSIGN_SOURCE/test/integration/programs.sh" || exit 1
need /usr/bin/python3

# An executable of one section that does nothing (Microsoft, PE Format, 3).
make_executable() {
    /usr/bin/python3 - << 'PYTHON'
import struct
import sys

dos = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
coff = struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x22E)
optional = struct.pack(
    "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
    0x20B, 1, 0, 512, 0, 0, 4096, 4096, 0x400000, 4096, 512,
    0, 0, 0, 0, 0, 0, 0, 8192, 512, 0, 10, 0,
    0x100000, 4096, 0x100000, 4096, 0, 16,
) + bytes(16 * 8)
section = struct.pack("<8s6I2HI", b".text", 3, 4096, 512, 512, 0, 0, 0, 0, 0x60000020)
header = dos + b"PE\0\0" + coff + optional + section
sys.stdout.buffer.write(header.ljust(512, b"\0") + b"\x31\xc0\xc3".ljust(512, b"\x90"))
PYTHON
}

# ---- Authenticode ----

accepted_by_sbverify() { # executable, certificate
    OPENSSL_CONF=/dev/null sbverify --cert "$2" "$1"
}

verified_executable() {
    local exe=cell/signed.exe

    accepted_by_sbverify "$exe" "$T/ca.pem" || return 1
    # Neither for another nor with another code byte.
    accepted_by_sbverify "$exe" "$T/p384.pem" && return 1
    cp "$exe" cell/forged.exe &&
        printf X | dd of=cell/forged.exe bs=1 seek=600 conv=notrunc || return 1
    ! accepted_by_sbverify cell/forged.exe "$T/ca.pem"
}

osslsigncode_signs() {
    under osslsigncode sign -h sha256 -certs "$cert" -key "$named" \
        -in empty.exe -out cell/signed.exe && verified_executable || return 1
    OPENSSL_CONF=/dev/null osslsigncode verify -CAfile "$T/ca.pem" \
        -in cell/signed.exe > cell/verify && grep -q "CN=$key\$" cell/verify
}

# Not for osslsigncode's eyes: 2.5 finds what sbsign makes invalid, with any key.
sbsign_signs() {
    under sbsign --cert "$cert" --key "$named" --output cell/signed.exe empty.exe &&
        verified_executable
}

# ---- kernel modules ----

# What sign-file appends: a CMS without signed attributes, 12 bytes of which the
# last four are its length, and a text (Linux, include/linux/module_signature.h).
take_signature() { # signed module, of which it is, CMS
    /usr/bin/python3 - "$@" << 'PYTHON'
import sys

signed, module = (open(name, "rb").read() for name in sys.argv[1:3])
text = b"~Module signature appended~\n"
assert signed.startswith(module) and signed.endswith(text)
trailer = signed[len(signed) - len(text) - 12:len(signed) - len(text)]
cms = signed[len(module):len(signed) - len(text) - 12]
assert trailer[2] == 2 and int.from_bytes(trailer[8:], "big") == len(cms)
open(sys.argv[3], "wb").write(cms)
PYTHON
}

# Given a pkcs11: URI, it loads a provider by the name "pkcs11", which is then
# the name under which the configuration has to activate ours.
sign_file_signs() {
    [ "$named" = "${named#pkcs11:}" ] || conf=$WORK/pkcs11.cnf
    under "$sign_file" sha256 "$named" "$cert" module.ko cell/signed.ko &&
        take_signature cell/signed.ko module.ko cell/cms &&
        plain cms -verify -binary -inform DER -in cell/cms -content module.ko \
            -certfile "$cert" -CAfile "$T/ca.pem" -purpose any -out cell/verified
}

# ---- zones ----

bind_signs() {
    local algorithm name

    case $key in
    rsa*) algorithm=RSASHA256 ;;
    p256) algorithm=ECDSAP256SHA256 ;;
    esac
    # It wants the public key from the same place.
    case $named in
    pkcs11:*) named=${named%;type=private} ;;
    *) cat "$T/$key.key" "$T/$key.pub" > cell/both && named=file:$WORK/cell/both ;;
    esac
    name=$(under dnssec-keyfromlabel -K cell -a "$algorithm" -f KSK -l "$named" \
        example.test) || return 1
    {
        # shellcheck disable=SC2016 # a word of the zone
        printf '%s\n' '$TTL 300' '@ SOA ns hostmaster 1 3600 600 86400 300' \
            '@ NS ns' 'ns A 192.0.2.1'
        cat "cell/$name.key"
    } > cell/zone
    under dnssec-signzone -z -o example.test -f cell/signed cell/zone \
        "cell/$name" &&
        OPENSSL_CONF=/dev/null dnssec-verify -z -o example.test cell/signed
}

# ---- XML ----

make_xml() { # signature method
    cat << XML
<?xml version="1.0"?>
<letter><text>hello</text><Signature xmlns="http://www.w3.org/2000/09/xmldsig#">
<SignedInfo>
<CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>
<SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#$1-sha256"/>
<Reference URI=""><Transforms>
<Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>
</Transforms>
<DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><DigestValue/>
</Reference></SignedInfo><SignatureValue/></Signature></letter>
XML
}

# Not told to be lax, 1.3 finds a key by its name alone.  1.2 knows no URIs.
xmlsec_uri=--privkey-pem
xmlsec_lax=()
find_xmlsec_options() {
    xmlsec1 --help-all > stdout
    if grep -q -e --lax-key-search stdout; then
        xmlsec_uri=--privkey-openssl-store
        xmlsec_lax=(--lax-key-search)
    fi
}

xmlsec_verify() {
    OPENSSL_CONF=/dev/null xmlsec1 --verify "${xmlsec_lax[@]}" \
        --pubkey-pem "$T/$key.pub" "$1"
}

xmlsec_signs() {
    local option=--privkey-pem

    [ "$way" = PEM ] || option=$xmlsec_uri
    case $key in
    rsa*) make_xml rsa ;;
    *) make_xml ecdsa ;;
    esac > cell/letter.xml
    under xmlsec1 --sign "${xmlsec_lax[@]}" "$option" "$named" \
        --output cell/signed.xml cell/letter.xml &&
        xmlsec_verify cell/signed.xml || return 1
    sed 's/hello/hallo/' cell/signed.xml > cell/forged.xml
    ! xmlsec_verify cell/forged.xml
}

make_executable > empty.exe || bail 'no executable to sign'
head -c 100000 /dev/urandom > module.ko
sed 's/^hsmsign = /pkcs11 = /' openssl.cnf > pkcs11.cnf

if with=sbverify subject osslsigncode osslsigncode --version; then
    for k in rsa2048 p256 p256-bare; do
        cell $k PEM osslsigncode_signs
    done
    for k in rsa2048 p256; do
        cannot='Failed to read private key file: file:' cell $k URI osslsigncode_signs
    done
fi
if with=sbverify subject sbsign sbsign --version; then
    for k in rsa2048 p256 p256-bare; do
        cell $k PEM sbsign_signs
    done
    for k in rsa2048 p256; do
        cannot="Can't load key from file 'file:" cell $k URI sbsign_signs
    done
fi
for sign_file in /usr/lib/linux-kbuild-*/scripts/sign-file sign-file; do
    [ ! -x "$sign_file" ] || break
done
# Its version is that of the directory.
if [ -x "$sign_file" ]; then
    subject sign-file echo "$sign_file"
    for k in rsa2048 p256 p256-bare; do
        cell $k PEM sign_file_signs
    done
    for k in rsa2048 p256; do
        twin=$T/$k.key cell $k URI sign_file_signs
    done
else
    skip 'sign-file signs' 'linux-kbuild is not installed'
fi
if with='dnssec-signzone dnssec-verify' subject bind dnssec-keyfromlabel -V; then
    for k in rsa2048 p256; do
        cannot='no engine' cell $k URI bind_signs
    done
fi
if subject xmlsec1 xmlsec1 --version; then
    find_xmlsec_options
    wants='error=45:key is not found' cell rsa2048 PEM xmlsec_signs
    for k in p256 p256-bare; do
        cell $k PEM xmlsec_signs
    done
    for k in rsa2048 p256; do
        cannot='path=file:.*No such file' cell $k URI xmlsec_signs
    done
fi
finish
