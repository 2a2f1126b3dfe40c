#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of the fuzz targets: test/fuzz/make_corpus.py

Into corpus/uri (URIs), corpus/pem (key files), corpus/attrs (what a token
answers, as fuzz_attrs.c describes it), corpus/token (what is done with a token,
and how it answers each call, as fuzz_token.c and hostile_token.h do) and
corpus/request (bodies for hsmsignd).  Findings that were kept there by hand
stay.  A name says what is expected (fuzz.h): "good-", "bad-", or neither where
libcrypto or a matter of taste decides.  The keys are values that libcrypto
takes: no token has them.
"""
import base64
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))


def write(target, name, data):
    path = os.path.join(HERE, "corpus", target)
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, name), "wb") as out:
        out.write(data)


# --- URIs: each attribute, each kind of encoding, each kind of mistake.

URIS = {
    "good-nothing": "pkcs11:",
    "good-case-of-scheme": "PKCS11:token=demo",
    "good-token": "pkcs11:token=demo;object=signer;type=private",
    "good-every-path-attribute":
        "pkcs11:token=a;manufacturer=b;serial=1;model=c;"
        "library-manufacturer=d;library-description=e;library-version=2.40;"
        "object=f;type=cert;id=%01;slot-manufacturer=g;slot-description=h;"
        "slot-id=3",
    "good-every-query-attribute": "pkcs11:?pin-source=file:/run/pin"
    "&module-name=p11&module-path=/usr/lib/p11.so",
    "good-empty-values": "pkcs11:token=;object=;id=?module-name=",
    "good-plain-characters": "pkcs11:object=-._~:[]@!$'()*+,=&",
    "good-query-characters": "pkcs11:?module-name=-._~:[]@!$'()*+,=/?|",
    "good-escaped": "pkcs11:token=%54he%20token;object=%3B%26%3F%3D%25",
    "good-utf-8": "pkcs11:object=Z%C3%BCrich%20%E2%82%AC%F0%9F%94%91",
    "good-binary-id": "pkcs11:id=%00%01%FE%FF%80",
    "good-type-public": "pkcs11:type=public",
    "good-type-secret-key": "pkcs11:type=secret-key",
    "good-type-data": "pkcs11:type=data",
    "good-slot-id-largest": "pkcs11:slot-id=18446744073709551615",
    "good-slot-id-zeros": "pkcs11:slot-id=00042",
    "good-version-major": "pkcs11:library-version=3",
    "good-version-largest": "pkcs11:library-version=255.255",
    "good-pin-value": "pkcs11:token=t?pin-value=crypto_user:p%26w%3d%20%25",
    "good-pin-source-path": "pkcs11:?pin-source=/run/pin",
    "good-pin-source-localhost": "pkcs11:?pin-source=file://localhost/run/pin",
    "bad-pin-source-command": "pkcs11:?pin-source=|command",
    "bad-pin-source-host": "pkcs11:?pin-source=file://example.com/pin",
    "bad-scheme": "pkcs12:token=a",
    "bad-misspelt": "pkcs11:tokn=a",
    "bad-vendor": "pkcs11:x-vendor=a",
    "bad-twice": "pkcs11:token=a;token=a",
    "bad-side": "pkcs11:token=a?object=b",
    "bad-separator": "pkcs11:token=a;;object=b",
    "bad-no-equals": "pkcs11:token=a;object",
    "bad-escape": "pkcs11:token=%4g",
    "bad-nul": "pkcs11:token=a%00b",
    "bad-utf-8": "pkcs11:object=%C3%28",
    "bad-both-pins": "pkcs11:?pin-value=1&pin-source=/a",
    "bad-pin-ampersand": "pkcs11:?pin-value=1&2",
    "bad-pin-misplaced": "pkcs11:token=a&pin-value=1",
    "bad-slot-id": "pkcs11:slot-id=18446744073709551616",
    "bad-version": "pkcs11:library-version=1.256",
    "bad-fragment": "pkcs11:token=a#b",
}

for name, uri in URIS.items():
    write("uri", name, uri.encode())

# --- DER and PEM.

SEQUENCE, UTF8, VISIBLE, OCTETS, BITS, INTEGER, OID = (
    0x30, 0x0C, 0x1A, 0x04, 0x03, 0x02, 0x06)


def der(tag, *values):
    value = b"".join(values)
    if len(value) < 0x80:
        return bytes([tag, len(value)]) + value
    size = (len(value).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(value).to_bytes(size, "big") + value


def wrapped(uri, version=b"PKCS#11 Provider URI v1.0", tags=(VISIBLE, UTF8)):
    return der(SEQUENCE, der(tags[0], version), der(tags[1], uri))


def pem(data, label=b"PKCS#11 PROVIDER URI", header=b"", width=64):
    text = base64.b64encode(data)
    lines = [text[i:i + width] for i in range(0, len(text), width)]
    return b"\n".join([b"-----BEGIN " + label + b"-----"]
                      + ([header, b""] if header else []) + lines
                      + [b"-----END " + label + b"-----", b""])


P256 = b"pkcs11:token=fake;object=p256"
GOOD = wrapped(P256)
# The private key 1 on P-256, without its public half (RFC 5915, 5958).
SOFTWARE = der(
    SEQUENCE, der(INTEGER, b"\0"),
    der(SEQUENCE, bytes.fromhex("06072a8648ce3d0201 06082a8648ce3d030107")),
    der(OCTETS, der(SEQUENCE, der(INTEGER, b"\1"),
                    der(OCTETS, b"\0" * 31 + b"\1"))))

PEMS = {
    "good-p256": pem(GOOD),
    "good-rsa": pem(wrapped(b"pkcs11:token=fake;object=rsa")),
    "good-ed25519": pem(wrapped(b"pkcs11:token=fake;id=%03")),
    "good-behind-text":
        b"Bag Attributes\n  friendlyName: signer\n" + pem(GOOD),
    "good-crlf": pem(GOOD).replace(b"\n", b"\r\n"),
    "good-one-line": pem(GOOD, width=1000),
    "good-twice": pem(GOOD) + pem(GOOD),
    "bad-before-good": pem(wrapped(b"pkcs11:tokn=fake")) + pem(GOOD),
    "good-before-bad": pem(GOOD) + pem(b"\x30\x00"),
    "good-before-software": pem(GOOD) + pem(SOFTWARE, b"PRIVATE KEY"),
    "good-as-der": GOOD,
    "software": pem(SOFTWARE, b"PRIVATE KEY"),
    "software-as-der": SOFTWARE,
    "software-before-good": pem(SOFTWARE, b"PRIVATE KEY") + pem(GOOD),
    "bad-token-asks": pem(wrapped(b"pkcs11:token=asks;object=p256")),
    "bad-token-is-locked": pem(wrapped(
        b"pkcs11:token=asks;object=p256?pin-value=1234")),
    "bad-no-token": pem(wrapped(b"pkcs11:token=none")),
    "bad-no-key": pem(wrapped(b"pkcs11:token=fake;object=none")),
    "bad-many-keys": pem(wrapped(b"pkcs11:token=fake")),
    "bad-pin-command": pem(wrapped(P256 + b"?pin-source=|command")),
    "bad-module-path": pem(wrapped(P256 + b"?module-path=/tmp/other.so")),
    "bad-uri": pem(wrapped(b"pkcs11:token=fake;token=fake")),
    "bad-scheme": pem(wrapped(b"file:/etc/passwd")),
    "bad-two-of-them": pem(wrapped(b"pkcs11:a=b")) + pem(b"\x30\x00"),
    "bad-version": pem(wrapped(P256, b"PKCS#11 Provider URI v2.0")),
    "bad-tags": pem(wrapped(P256, tags=(UTF8, VISIBLE))),
    "bad-trailing": pem(GOOD + b"\0"),
    "bad-cut": pem(GOOD[:-1]),
    "bad-nul": pem(wrapped(P256 + b"\0")),
    "bad-empty": pem(b""),
    "bad-no-uri": pem(
        der(SEQUENCE, der(VISIBLE, b"PKCS#11 Provider URI v1.0"))),
    "bad-indefinite-as-der": b"\x30\x80" + GOOD[2:] + b"\0\0",
    "bad-third-value-as-der": der(SEQUENCE, GOOD[2:], der(UTF8, b"x")),
    "bad-long-length-as-der": b"\x30\x88" + b"\xff" * 8 + GOOD[2:],
    "bad-long-form-length": pem(b"\x30\x83\0\0" + GOOD[1:]),
    "bad-long-form-length-inside": pem(
        der(SEQUENCE, b"\x1a\x81" + GOOD[3:])),
    "bad-long-form-tag": pem(b"\x3f\x10" + GOOD[1:]),
    "bad-long-uri": pem(wrapped(b"pkcs11:object=" + b"a" * 8192)),
    "bad-label": pem(GOOD, b"PKCS#11 PROVIDER URI "),
    "bad-end": pem(GOOD).replace(b"END PKCS#11", b"END PKCS#12"),
    "bad-base64": pem(GOOD).replace(b"U", b"*", 1),
    "encrypted-header": pem(
        GOOD, header=b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC," + b"00" * 16),
    "encrypted-software": pem(der(
        SEQUENCE, der(SEQUENCE, bytes.fromhex("06092a864886f70d01050d"),
        der(SEQUENCE)), der(OCTETS, b"\0" * 16)),
        b"ENCRYPTED PRIVATE KEY"),
}

for name, data in PEMS.items():
    write("pem", name + (".der" if data[0] == SEQUENCE else ".pem"), data)

# --- What a token answers.

RSA, EC, EDWARDS, DSA, ML_DSA = range(5)
(CKR_OK, TYPE_INVALID, CKR_SENSITIVE, DEVICE_ERROR, TOO_SMALL) = range(5)
(MODULUS, EXPONENT, EC_PARAMS, EC_POINT, INFO, VALUE, SET) = range(7)
UNAVAILABLE, TOO_LONG, UNTOUCHED = 0x40, 0x80, 0xC0


def token(key_type, *attributes, answer=CKR_OK):
    return bytes([key_type, answer]) + b"".join(
        struct.pack(">BH", what, len(value)) + value
        for what, value in attributes)


N = b"\xff" * 128  # 1,024 bits
E = b"\x01\x00\x01"
P256_OID = bytes.fromhex("06082a8648ce3d030107")
P384_OID = bytes.fromhex("06052b81040022")
ED25519_OID = bytes.fromhex("06032b6570")
POINT = bytes.fromhex(  # the base point of P-256 (SEC 2, 2.4.2)
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
ED_POINT = b"\x58" + b"\x66" * 31  # of Ed25519 (RFC 8032, 5.1)
POINT_DER = der(OCTETS, POINT)
# X9.62's Parameters spelt out: a prime field of 23, no named curve.
EXPLICIT = der(SEQUENCE, der(INTEGER, b"\1"),
               der(SEQUENCE, bytes.fromhex("06072a8648ce3d0101"),
                   der(INTEGER, b"\x17")),
               der(SEQUENCE, der(OCTETS, b"\1"), der(OCTETS, b"\1")),
               der(OCTETS, b"\4\0\1"), der(INTEGER, b"\x1c"))


def number(value):
    return struct.pack("=Q", value)  # CK_ULONG


def spki(algorithm, key):
    return der(SEQUENCE, der(SEQUENCE, algorithm), der(BITS, b"\0", key))


EC_INFO = spki(bytes.fromhex("06072a8648ce3d0201") + P256_OID, POINT)
RSA_INFO = spki(bytes.fromhex("06092a864886f70d0101010500"),
                der(SEQUENCE, der(INTEGER, b"\0" + N), der(INTEGER, E)))
ED_INFO = spki(ED25519_OID, ED_POINT)


def certificate(info):
    algorithm = der(SEQUENCE, bytes.fromhex("06082a8648ce3d040302"))
    name = der(SEQUENCE, der(0x31, der(SEQUENCE, bytes.fromhex("0603550403"),
                                       der(UTF8, b"a"))))
    dates = der(SEQUENCE, der(0x17, b"250101000000Z"),
                der(0x17, b"350101000000Z"))
    inside = der(SEQUENCE, der(0xA0, der(INTEGER, b"\2")), der(INTEGER, b"\1"),
                 algorithm, name, dates, name, info)
    return der(SEQUENCE, inside, algorithm, der(BITS, b"\0", b"\0" * 8))


ATTRS = {
    "good-rsa": token(RSA, (MODULUS, N), (EXPONENT, E)),
    "bad-rsa-without-exponent": token(RSA, (MODULUS, N)),
    "bad-rsa-short": token(RSA, (MODULUS, b"\xff" * 63), (EXPONENT, E)),
    "bad-rsa-long": token(RSA, (MODULUS, b"\xff" * 2049), (EXPONENT, E)),
    "bad-rsa-even": token(RSA, (MODULUS, N[:-1] + b"\xfe"), (EXPONENT, E)),
    "bad-rsa-exponent-1": token(RSA, (MODULUS, N), (EXPONENT, b"\1")),
    "bad-rsa-exponent-even": token(RSA, (MODULUS, N), (EXPONENT, b"\2")),
    "rsa-exponent-long": token(RSA, (MODULUS, N), (EXPONENT, N)),
    "good-rsa-leading-zeros": token(RSA, (MODULUS, b"\0\0" + N),
        (EXPONENT, b"\0" + E)),
    "bad-rsa-zero": token(RSA, (MODULUS, b"\0" * 128), (EXPONENT, b"\0")),
    "bad-rsa-empty": token(RSA, (MODULUS, b""), (EXPONENT, b"")),
    "good-rsa-info": token(RSA, (INFO, RSA_INFO)),
    "bad-rsa-info-of-ec": token(RSA, (INFO, EC_INFO)),
    "good-ec": token(EC, (EC_PARAMS, P256_OID), (EC_POINT, POINT_DER)),
    "good-ec-bare-point": token(EC, (EC_PARAMS, P256_OID), (EC_POINT, POINT)),
    "good-ec-compressed": token(EC, (EC_PARAMS, P256_OID),
        (EC_POINT, der(OCTETS, b"\x03" + POINT[1:33]))),
    "ec-hybrid": token(EC, (EC_PARAMS, P256_OID),
        (EC_POINT, der(OCTETS, b"\x07" + POINT[1:]))),
    "bad-ec-infinity": token(EC, (EC_PARAMS, P256_OID), (EC_POINT, b"\4\1\0")),
    "bad-ec-off-the-curve": token(EC, (EC_PARAMS, P256_OID),
        (EC_POINT, der(OCTETS, POINT[:-1] + b"\0"))),
    "bad-ec-point-of-another-curve": token(EC, (EC_PARAMS, P384_OID),
        (EC_POINT, POINT_DER)),
    "good-ec-curve-by-name": token(EC, (EC_PARAMS, der(0x13, b"prime256v1")),
        (EC_POINT, POINT_DER)),
    "bad-ec-curve-unknown": token(EC, (EC_PARAMS, b"\x06\x03\x2a\x03\x04"),
        (EC_POINT, POINT_DER)),
    "bad-ec-curve-explicit": token(EC, (EC_PARAMS, EXPLICIT),
        (EC_POINT, POINT_DER)),
    "bad-ec-curve-cut": token(EC,
        (EC_PARAMS, P256_OID[:5]), (EC_POINT, POINT_DER)),
    "bad-ec-curve-null": token(EC,
        (EC_PARAMS, b"\5\0"), (EC_POINT, POINT_DER)),
    "bad-ec-point-cut": token(EC,
        (EC_PARAMS, P256_OID), (EC_POINT, POINT_DER[:9])),
    "bad-ec-point-trailing": token(EC, (EC_PARAMS, P256_OID),
        (EC_POINT, POINT_DER + b"\0")),
    "bad-ec-point-length": token(EC, (EC_PARAMS, P256_OID),
        (EC_POINT, b"\x04\x84\xff\xff\xff\xff\x04")),
    "good-ec-info": token(EC, (INFO, EC_INFO)),
    "ec-info-trailing": token(EC, (INFO, EC_INFO + b"\0")),
    "good-ed25519": token(EDWARDS, (EC_PARAMS, ED25519_OID),
        (EC_POINT, der(OCTETS, ED_POINT))),
    "good-ed25519-by-name": token(EDWARDS,
        (EC_PARAMS, der(0x13, b"edwards25519")),
        (EC_POINT, ED_POINT)),
    "bad-ed25519-short": token(EDWARDS, (EC_PARAMS, ED25519_OID),
        (EC_POINT, ED_POINT[:-1])),
    "good-ed25519-info": token(EDWARDS,
        (EC_PARAMS, ED25519_OID), (INFO, ED_INFO)),
    # libcrypto before 3.5 has none of them.
    "ml-dsa-44": token(ML_DSA, (SET, number(1)), (VALUE, b"\x55" * 1312)),
    "ml-dsa-65": token(ML_DSA, (SET, number(2)), (VALUE, b"\x55" * 1952)),
    "ml-dsa-87": token(ML_DSA, (SET, number(3)), (VALUE, b"\x55" * 2592)),
    "ml-dsa-info": token(ML_DSA, (SET, number(1)),
        (INFO, spki(bytes.fromhex("0609608648016503040311"), b"\x55" * 1312))),
    "bad-ml-dsa-length": token(ML_DSA, (SET, number(1)),
        (VALUE, b"\x55" * 1952)),
    "bad-ml-dsa-of-no-set": token(ML_DSA, (VALUE, b"\x55" * 1312)),
    "bad-ml-dsa-of-another-set": token(ML_DSA, (SET, number(4)),
        (VALUE, b"\x55" * 1312)),
    "bad-ml-dsa-short-set": token(ML_DSA, (SET, b"\1"),
        (VALUE, b"\x55" * 1312)),
    "bad-dsa": token(DSA, (MODULUS, N), (EXPONENT, E)),
    "good-certificate-ec": token(EC, (VALUE, certificate(EC_INFO))),
    "good-certificate-rsa": token(RSA, (VALUE, certificate(RSA_INFO))),
    "bad-certificate-cut": token(EC, (VALUE, certificate(EC_INFO)[:-20])),
    "certificate-trailing": token(EC, (VALUE, certificate(EC_INFO) + b"\0")),
    "bad-certificate-bad-key": token(EC, (VALUE, certificate(EC_INFO[:-4]))),
    "bad-lie-unavailable": token(EC, (EC_PARAMS, P256_OID),
        (EC_POINT | UNAVAILABLE, b"")),
    "bad-lie-too-long": token(EC, (EC_PARAMS | TOO_LONG, P256_OID),
        (EC_POINT, POINT_DER)),
    "bad-lie-untouched": token(EC, (EC_PARAMS | UNTOUCHED, b""),
        (EC_POINT, POINT_DER)),
    "bad-lie-stops": token(RSA, (MODULUS, N), (EXPONENT | UNTOUCHED, b""),
        answer=TYPE_INVALID),
    "good-lie-stops-behind": token(RSA, (MODULUS, N), (EXPONENT, E),
        (INFO | UNTOUCHED, b""), answer=TYPE_INVALID),
    "good-larger-than-expected": token(RSA,
        (MODULUS, N), (EXPONENT, b"\0" * 99 + E)),
    "bad-much-larger": token(RSA, (MODULUS, N), (EXPONENT, b"\1" * 200)),
    "bad-sensitive": token(EC, (EC_PARAMS, P256_OID), answer=CKR_SENSITIVE),
    "bad-device-error": token(EC, (EC_PARAMS, P256_OID), answer=DEVICE_ERROR),
    "bad-always-too-small": token(EC, (EC_PARAMS, P256_OID), answer=TOO_SMALL),
    "bad-nothing": token(RSA),
}

for name, data in ATTRS.items():
    write("attrs", name, data)

# --- What is done with a token that lies.

(KEY_RSA, KEY_EC, KEY_ED25519, KEY_ML_DSA, LOGIN, ALWAYS, INITIALISED,
 TWICE) = (0, 1, 2, 3, 4, 8, 16, 32)
(LOAD, SIGN, PUBLIC, NAME, LIST, GENERATE, RESTART, OPEN, PROVIDER_SIGN,
 PROVIDER_LIST) = range(10)
ONLY_RV, NOTHING, LIE, LIE_AND_RV = 4, 5, 6, 7
FUNCTIONS = (  # as hostile_token.c has them, and whether one can do without
    ("C_Initialize", False), ("C_Finalize", True), ("C_GetInfo", False),
    ("C_GetSlotList", False), ("C_GetSlotInfo", False),
    ("C_GetTokenInfo", False), ("C_OpenSession", False),
    ("C_CloseSession", True), ("C_GetSessionInfo", True), ("C_Login", False),
    ("C_FindObjectsInit", False), ("C_FindObjects", False),
    ("C_FindObjectsFinal", False), ("C_GetAttributeValue", False),
    ("C_GenerateKeyPair", False), ("C_SignInit", False), ("C_Sign", False))
# With each URI that names it, each class of objects, each type of key.
ALL = [LOAD, SIGN, PUBLIC, NAME, (LOAD, 1), (LOAD, 2), (LOAD, 3), (LOAD, 4),
       LIST, (LIST, 1), (LIST, 2), GENERATE, RESTART, OPEN, PROVIDER_LIST]


def session(traits, steps, answers=b"", missing=0):
    todo = bytes(step if isinstance(step, int) else step[0] | step[1] << 4
                 for step in steps)
    return bytes([traits, missing, len(todo)]) + todo + answers


def lie(call, *said):
    """A good token, but for one call; it does not lie again soon."""
    return bytes(call) + bytes(said) + bytes(64)


TOKENS = {
    "good-rsa": session(KEY_RSA, ALL),
    "good-ec": session(KEY_EC | LOGIN, ALL),
    "good-ed25519": session(KEY_ED25519 | LOGIN, ALL),
    # libcrypto before 3.5 has no such keys: nothing through the provider.
    "good-ml-dsa": session(KEY_ML_DSA | LOGIN | INITIALISED, ALL[:-1]),
    "good-twice": session(KEY_EC | LOGIN | ALWAYS | TWICE, ALL),
    "good-ec-verified": session(KEY_EC | LOGIN,
                                [(PROVIDER_SIGN, i) for i in range(4)]),
    "good-rsa-unverified": session(KEY_RSA | LOGIN,
                                   [(PROVIDER_SIGN, 0), (PROVIDER_SIGN, 2)]),
    "bad-garbage-rsa": session(KEY_RSA, [(PROVIDER_SIGN, 1)]),
    "bad-garbage-ed25519": session(KEY_ED25519, [(PROVIDER_SIGN, 1)]),
    "bad-garbage-ml-dsa": session(KEY_ML_DSA, [(PROVIDER_SIGN, 1)]),
    "bad-no-such-key": session(KEY_RSA, [(LOAD, 5)]),
    # Every answer is the same.
    "bad-always-an-error": session(KEY_RSA | TWICE, ALL,
                                   bytes([ONLY_RV, 5] * 8)),
    "bad-always-nothing": session(KEY_RSA | LOGIN, ALL, bytes([NOTHING])),
    "lies-all-the-time": session(KEY_EC | LOGIN | TWICE, ALL,
                                 bytes([LIE]) + bytes(range(256))),
    # C_FindObjects is the seventh call.
    "bad-endless-search": session(KEY_RSA, [LIST],
                                  bytes(6) + bytes([LIE, 0xff, 1]) * 100),
}

for number, (name, optional) in enumerate(FUNCTIONS, 1):
    TOKENS[("good" if optional else "bad") + "-without-" + name] = session(
        KEY_RSA | LOGIN, [(LOAD, 2), (LOAD, 3), SIGN, GENERATE],
        missing=number)
for call in range(24):
    TOKENS["lie-%02d" % call] = session(
        KEY_EC | LOGIN, [LOAD, SIGN, PUBLIC, (PROVIDER_SIGN, 1), LIST],
        lie(call, LIE, 0xff, 0xe6, 0xff, 0x08, 0x01, 0xe7))
    TOKENS["error-%02d" % call] = session(
        KEY_RSA | LOGIN, [LOAD, SIGN, PUBLIC, (PROVIDER_SIGN, 0), LIST],
        lie(call, ONLY_RV, 5))

for name, data in TOKENS.items():
    write("token", name, data)

# --- Bodies of POST /sign, behind two bytes as fuzz_request.c describes them.

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
SHA1, STRICT = 1, 2


def body(text, options=0, piece=0):
    if isinstance(text, str):
        text = text.encode()
    return bytes([options, piece]) + text


REQUESTS = {
    "good-get-certificates": body('{"action":"get_certificates"}'),
    "good-sign": body('{"action":"sign","data_to_be_signed":"YWJj",'
        '"hash_algorithm":"sha256","signature_type":"cms"}'),
    "good-pkcs7": body('{"action":"sign_pkcs7","encoded_contents":"YWJj",'
        '"digest":"%s","signature_type":"cades"}' % ABC, STRICT),
    "good-digest-only": body(
        '{"action":"sign_pkcs7","digest":"%s"}' % ABC.upper(), 0, 1),
    "good-digest-and-empty-contents": body(
        '{"encoded_contents":"","document_digest":"%s"}' % ABC),
    "good-older": body(
        '{"encoded_contents":"YWJj","digest":"","signing_token":"t"}'),
    "good-web": body('{"encodedContents":"YWJj","hash":"%s"}' % ABC),
    "good-hash-behind": body(
        '{"encoded_contents":"YWJj","hash_algorithm":"SHA512"}', 0, 3),
    "good-sha1-allowed": body(
        '{"encoded_contents":"YWJj","hash_algorithm":"sha1"}', SHA1),
    "good-bom-and-spaces": body(
        b'\xef\xbb\xbf\r\n { "encoded_contents" : "Y W\\nJj" , "x" : [ ] } '),
    "good-escapes": body('{"encoded\\u005fcontents":"\\u0059\\/\\u002f-_\\tA"}'),
    "good-decoys": body('{"x":{"encoded_contents":"!"},'
        '"y":["encoded_contents","action",{"action":1}],'
        '"z":"\\ud800\\u0000 \\"","encoded_contents":"YWI="}', 0, 2),
    "bad-empty": body(""),
    "bad-bom-cut": body(b"\xef\xbb{}"),
    "bad-array": body('["encoded_contents","YWJj"]'),
    "bad-trailing": body('{"encoded_contents":"YWJj"}{}'),
    "bad-duplicate": body('{"action":"sign","\\u0061ction":"sign"}'),
    "bad-contents-twice": body(
        '{"encoded_contents":"YWJj","encodedContents":"YWJj"}'),
    "bad-nul": body('{"encoded_contents":"YWJj\\u0000"}'),
    "bad-escape": body('{"encoded_contents":"YWJj\\x"}'),
    "bad-base64": body('{"encoded_contents":"YWJjY"}'),
    "bad-padding": body('{"encoded_contents":"YWJj="}'),
    "bad-md5": body('{"encoded_contents":"YWJj","hash_algorithm":"md5"}'),
    "bad-sha1": body('{"encoded_contents":"YWJj","hash_algorithm":"sha160"}'),
    "bad-digest-of-others": body(
        '{"encoded_contents":"YWJk","digest":"%s"}' % ABC, STRICT),
    "bad-type": body('{"encoded_contents":"YWJj","signature_type":"x"}'),
    "bad-action": body('{"action":"signs"}'),
    "bad-deep": body("[" * 3000),
    "bad-long": body('{"x":["%s"]}' % ("a" * 66000)),
    "good-long-unknown": body(
        '{"x":"%s","encoded_contents":"YWJj"}' % ("a" * 66000), 0, 255),
}

for name, data in REQUESTS.items():
    write("request", name, data)
