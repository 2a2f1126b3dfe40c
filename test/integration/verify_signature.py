#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A second opinion that shares no code with OpenSSL, nor with hsmsign.

    verify_signature.py FORMAT PUBLIC_KEY SALT FILE [DOCUMENT]

FORMAT says what FILE is: raw (a signature of DOCUMENT), cms (of DOCUMENT,
detached), signed (a certificate, request or revocation list), ocsp (a
response), cmp (a message that its sender signed).  SALT is the salt length
that a signature with RSASSA-PSS has to have and to declare (0, digest, max),
or "-" for RSASSA-PKCS1-v1_5 and other types of keys.  The digest is SHA-256.

GnuTLS verifies most of what the matrix makes; this does the rest: salts that
GnuTLS refuses, bare signatures, CMP.  Debian's interpreter is named above
since Debian's modules are wanted: PyCryptodome, python3-ecdsa.
"""
import hashlib
import sys

from Cryptodome.Hash import SHA256
from Cryptodome.IO import PEM
from Cryptodome.PublicKey import ECC, RSA
from Cryptodome.Signature import DSS, pkcs1_15, pss

RSA_ENCRYPTION = "2a864886f70d010101"
SHA256_WITH_RSA = "2a864886f70d01010b"
RSASSA_PSS = "2a864886f70d01010a"
ECDSA_WITH_SHA256 = "2a8648ce3d040302"
ED25519 = "2b6570"
MGF1 = "2a864886f70d010108"
ID_SHA256 = "608648016503040201"
MESSAGE_DIGEST = "2a864886f70d010904"
SEQUENCE, SET, OID, BIT_STRING, OCTETS = 0x30, 0x31, 6, 3, 4
CONTEXT = 0xA0


def load(path):
    """A file's DER, which may be wrapped as PEM."""
    with open(path, "rb") as file:
        data = file.read()
    return PEM.decode(data.decode("ascii"))[0] if data.startswith(b"-----") else data


def element(data, at=0):
    """One DER element: its tag, all of it, its content."""
    tag, length, start = data[at], data[at + 1], at + 2
    if length >= 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[start:start + size], "big")
        start += size
    if start + length > len(data):
        raise ValueError("an element ends behind the data")
    return tag, data[at:start + length], data[start:start + length]


def children(content):
    """The elements in a content."""
    found, at = [], 0
    while at < len(content):
        found.append(element(content, at))
        at += len(found[-1][1])
    return found


def tagged(elements, tag):
    """The contents of those with a tag."""
    return [content for t, _, content in elements if t == tag]


def only(found):
    """The one that there has to be."""
    if len(found) != 1:
        raise ValueError(f"{len(found)} elements instead of one")
    return found[0]


def bits(content):
    """A BIT STRING's bytes."""
    if content[0] != 0:
        raise ValueError("unused bits")
    return content[1:]


def oid(algorithm):
    """An AlgorithmIdentifier's OBJECT IDENTIFIER."""
    return tagged(children(algorithm), OID)[0].hex()


def salt_declared(algorithm):
    """RSASSA-PSS-params, RFC 4055 section 3.1: the salt's length."""
    fields = children(children(algorithm)[1][2])
    digest = only(children(only(tagged(fields, CONTEXT))))[2]
    mask = only(children(only(tagged(fields, CONTEXT + 1))))[2]
    if (oid(digest), oid(mask), oid(children(mask)[1][2])) != (ID_SHA256, MGF1, ID_SHA256):
        raise ValueError("another digest or mask")
    salt = tagged(fields, CONTEXT + 2)
    return int.from_bytes(only(children(salt[0]))[2], "big") if salt else 20


class Signer:
    """Whose signatures are verified."""

    def __init__(self, path, salt):
        self.spki = load(path)
        self.type = oid(tagged(children(element(self.spki)[2]), SEQUENCE)[0])
        self.key = RSA.import_key(self.spki) if self.type == RSA_ENCRYPTION else None
        self.salt = None
        if salt != "-":
            longest = (self.key.size_in_bits() + 6) // 8 - 32 - 2
            self.salt = {"0": 0, "digest": 32, "max": longest}[salt]

    def expect(self, algorithm):
        """The AlgorithmIdentifier has to be this signer's."""
        name = oid(algorithm)
        if self.type == RSA_ENCRYPTION and self.salt is None:
            good = name in (SHA256_WITH_RSA, RSA_ENCRYPTION)
        elif self.type == RSA_ENCRYPTION:
            good = name == RSASSA_PSS and salt_declared(algorithm) == self.salt
        else:
            good = name == {ED25519: ED25519}.get(self.type, ECDSA_WITH_SHA256)
        if not good:
            raise ValueError(f"the algorithm is {algorithm.hex()}")

    def verify(self, message, signature):
        """Raises an exception unless it is right."""
        if self.type == ED25519:
            # Here, since it is slow to load.
            from ecdsa import VerifyingKey

            VerifyingKey.from_der(self.spki).verify(signature, message)
        elif self.type != RSA_ENCRYPTION:
            key = ECC.import_key(self.spki)
            if key.curve == "NIST P-256":
                DSS.new(key, "fips-186-3", "der").verify(SHA256.new(message), signature)
            else:
                verify_ecdsa(self.spki, message, signature)
        elif self.salt is None:
            pkcs1_15.new(self.key).verify(SHA256.new(message), signature)
        else:
            pss.new(self.key, salt_bytes=self.salt).verify(SHA256.new(message), signature)


def verify_ecdsa(spki, message, signature):
    """With larger curves, for which PyCryptodome wants longer digests."""
    # Here, since it is slow to load.
    from ecdsa import VerifyingKey, util

    VerifyingKey.from_der(spki).verify(
        signature, message, hashfunc=hashlib.sha256, sigdecode=util.sigdecode_der)


def verify_raw(signer, data, document):
    """A bare signature of the document."""
    signer.verify(document, data)


def verify_signed(signer, data, _document):
    """SIGNED{}, RFC 5280 section 4.1.1: what, by which algorithm, the signature."""
    what, algorithm, signature = children(element(data)[2])[:3]
    signer.expect(algorithm[2])
    signer.verify(what[1], bits(signature[2]))


def verify_ocsp(signer, data, document):
    """OCSPResponse, RFC 6960 section 4.2.1, around a BasicOCSPResponse."""
    response = only(children(only(tagged(children(element(data)[2]), CONTEXT))))
    verify_signed(signer, only(tagged(children(response[2]), OCTETS)), document)


def verify_cms(signer, data, document):
    """SignedData with one SignerInfo, RFC 5652 sections 5.3 and 5.4."""
    signed = only(children(only(tagged(children(element(data)[2]), CONTEXT))))
    info = children(only(children(tagged(children(signed[2]), SET)[-1]))[2])
    attributes = [whole for tag, whole, _ in info if tag == CONTEXT]
    # Behind them: the issuer's name, the digest's algorithm, the signature's.
    signer.expect(tagged(info, SEQUENCE)[2])
    message = document
    if attributes:
        values = {oid(a): only(children(only(tagged(children(a), SET))))[2]
                  for a in tagged(children(element(attributes[0])[2]), SEQUENCE)}
        if values[MESSAGE_DIGEST] != SHA256.new(document).digest():
            raise ValueError("the digest is of another document")
        message = bytes([SET]) + attributes[0][1:]
    signer.verify(message, only(tagged(info, OCTETS)))


def verify_cmp(signer, data, _document):
    """PKIMessage, RFC 4210 section 5.1.3: header and body are signed."""
    parts = children(element(data)[2])
    header, body = parts[0][1], parts[1][1]
    length = len(header) + len(body)
    size = (length.bit_length() + 7) // 8
    start = bytes([SEQUENCE]) + (bytes([length]) if length < 0x80
                                 else bytes([0x80 | size]) + length.to_bytes(size, "big"))
    signer.expect(only(children(only(tagged(children(parts[0][2]), CONTEXT + 1))))[2])
    signature = only(children(only(tagged(parts[2:], CONTEXT))))[2]
    signer.verify(start + header + body, bits(signature))


def main(form, public_key, salt, path, document=None):
    """Exits 0 if the signature is right; otherwise an exception says what is not."""
    content = None
    if document is not None:
        with open(document, "rb") as file:
            content = file.read()
    formats = {"raw": verify_raw, "signed": verify_signed, "ocsp": verify_ocsp,
               "cms": verify_cms, "cmp": verify_cmp}
    formats[form](Signer(public_key, salt), load(path), content)


main(*sys.argv[1:])
