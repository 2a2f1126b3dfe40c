#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hsmsignd's protocol, case by case: hsmsignd_cases.py GROUP PORT CERT CA

Prints "ok SENTENCE" or "not ok SENTENCE" for each.  After each request that is
refused another one has to be signed, and what was refused must not say why in
more words than are for a client.  "hsmsignd_cases.py log FILE TEXT..." looks at
the log, in which none of the texts may be.
"""

import base64
import gzip
import hashlib
import json
import sys
import time

from hsmsignd_client import HASHES, LEAK, Connection, Verifier, Wrong, ask, expect, request, run

DOC = bytes(range(256)) * 5 + b"MARKER-OF-THE-DOCUMENT"
B64 = base64.b64encode(DOC).decode()
URL = base64.urlsafe_b64encode(DOC).decode()
LINES = "\n".join(B64[i : i + 76] for i in range(0, len(B64), 76))
SHA256 = hashlib.sha256(DOC).hexdigest()
SHA512 = hashlib.sha512(DOC).hexdigest()
HUGE = "x" * 3000000
GOOD_ORIGIN = {"Origin": "https://good.example"}


def dump(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def sign(data=B64, **more):
    return {"action": "sign", "data_to_be_signed": data, **more}


def pkcs7(contents=B64, **more):
    return {"action": "sign_pkcs7", "encoded_contents": contents, **more}


# What an answer has to be: functions of the verifier and the answer.


def raw(md="sha256"):
    def check(verifier, a):
        expect(a.status == 200 and a.headers["content-type"] == "application/octet-stream", a)
        verifier.raw(a.body, DOC, md)

    return check


def cms(md="sha256", at=False):
    def check(verifier, a):
        expect(a.status == 200 and a.headers["content-type"] == "application/octet-stream", a)
        verifier.cms(a.body, DOC, md, at)

    return check


def web(verifier, a):
    expect(a.status == 200 and a.headers["content-type"] == "application/json", a)
    body = json.loads(a.body)
    expect(list(body) == ["p7"], a)
    verifier.cms(base64.b64decode(body["p7"], validate=True), DOC, time=True)


def certificates(verifier, a):
    def der(pem):
        return run("openssl", "x509", "-in", verifier.file("pem", pem), "-outform", "DER")

    expect(a.status == 200 and a.headers["content-type"] == "application/json", a)
    body = json.loads(a.body)
    expect(sorted(body) == ["ca_certificates", "certificates"], a)
    for name, path in (("certificates", verifier.cert), ("ca_certificates", verifier.ca)):
        with open(path, "rb") as f:
            expect([der(base64.b64decode(c, validate=True)) for c in body[name]] == [der(f.read())], name)


def says(status, text=None, **headers):
    """headers: with _ for -, and "" for one that must not be there"""

    def check(_, a):
        expect(a.status == status, "wanted", status, "got", a)
        expect(text is None or text in a.body.decode(), a)
        for name, value in headers.items():
            expect(a.headers.get(name.replace("_", "-"), "") == value, name, a)

    return check


def replaced(old, new, body=None):
    data = dump(body or pkcs7())
    expect(old in data, old)
    return data.replace(old, new)


# (sentence, body, what is said beside the body, what is expected)
GOOD = [
    ("sign", sign(), {}, raw()),
    ("sign for cms", sign(signature_type="cms"), {}, raw()),
    ("sign for cades", sign(signature_type="cades"), {}, raw()),
    ("sign for CAdES, in any case", sign(signature_type="CAdES"), {}, raw()),
    ("sign_pkcs7", pkcs7(), {}, cms()),
    ("sign_pkcs7 for cms", pkcs7(signature_type="cms"), {}, cms()),
    ("sign_pkcs7 for cades", pkcs7(signature_type="cades"), {}, cms()),
    ("sign_pkcs7 as documented", pkcs7(digest=SHA256, hash_algorithm="sha256", signature_type="cms",
                                       signing_token="user-1-with-rights"), {}, cms()),
    ("null is as good as missing", pkcs7(digest=None, hash_algorithm=None, signature_type=None,
                                         signing_token=None, data_to_be_signed=None), {}, cms()),
    ("a digest in lower-case hex is enough", pkcs7("", digest=SHA256), {}, cms()),
    ("a digest in upper-case hex is enough", pkcs7("", digest=SHA256.upper()), {}, cms()),
    ("the digest without the member contents", {"action": "sign_pkcs7", "digest": SHA256}, {}, cms()),
    ("contents null and a digest", pkcs7(None, digest=SHA256), {}, cms()),
    ("a SHA-512 digest is enough for cades",
     {"action": "sign_pkcs7", "digest": SHA512.upper(), "hash_algorithm": "sha512",
      "signature_type": "cades"}, {}, cms("sha512")),
    ("document_digest", {"action": "sign_pkcs7", "document_digest": SHA256}, {}, cms()),
    ("digest goes before document_digest", {"action": "sign_pkcs7", "document_digest": "00",
                                            "digest": SHA256}, {}, cms()),
    ("another digest is logged, and the contents signed", pkcs7(digest="00" * 32), {}, cms()),
    ("so is a digest that is none", pkcs7(digest="zz"), {}, cms()),
    ("the body without action, of PSPDFKit Server",
     {"encoded_contents": B64, "digest": SHA256, "signing_token": "x"}, {}, cms()),
    ("the same with the digest only", {"digest": SHA256}, {}, cms()),
    ("the web how-to's body", {"encodedContents": B64, "hash": SHA256}, {}, web),
    ("the web how-to's body without a hash", {"encodedContents": B64}, {}, web),
    ("get_certificates", {"action": "get_certificates"}, {}, certificates),
    ("get_certificates with a token", {"action": "get_certificates", "signing_token": "a"}, {}, certificates),
    ("the hash before the contents",
     b'{"action":"sign_pkcs7","hash_algorithm":"sha512","encoded_contents":"%s"}' % B64.encode(), {}, cms("sha512")),
    ("the hash behind the contents",
     b'{"encoded_contents":"%s","hash_algorithm":"sha512","action":"sign_pkcs7"}' % B64.encode(), {}, cms("sha512")),
    ("the hash behind the data",
     b'{"data_to_be_signed":"%s","hash_algorithm":"sha384","action":"sign"}' % B64.encode(), {}, raw("sha384")),
    ("the hash's name escaped",
     b'{"hash_algorithm":"\\u0073ha384","data_to_be_signed":"%s","action":"sign"}' % B64.encode(), {}, raw("sha384")),
    ("the hash in upper case", sign(hash_algorithm="SHA384"), {}, raw("sha384")),
    ("base64url", sign(URL), {}, raw()),
    ("base64 without its padding", sign(B64.rstrip("=")), {}, raw()),
    ("base64url without its padding", pkcs7(URL.rstrip("=")), {}, cms()),
    ("base64 with \\n", sign(LINES), {}, raw()),
    ("base64 with \\r\\n and blanks", sign(LINES.replace("\n", " \r\n\t")), {}, raw()),
    ("base64 with \\/", replaced(b"/", b"\\/"), {}, cms()),
    ("base64 with \\u002F and \\u002b", replaced(b"/", b"\\u002F").replace(b"+", b"\\u002b"), {}, cms()),
    ("base64 of \\u escapes alone",
     b'{"encoded_contents":"%s"}' % "".join(f"\\u{ord(c):04x}" for c in B64).encode(), {}, cms()),
    ("an escaped key", replaced(b'"encoded_contents"', b'"encoded\\u005fcontents"'), {}, cms()),
    ("an escaped action and its key", replaced(b'"action": "sign_pkcs7"', b'"\\u0061ction": "sign\\u005Fpkcs7"'), {}, cms()),
    ("a byte order mark", b"\xef\xbb\xbf" + dump(pkcs7()), {}, cms()),
    ("blanks around everything", json.dumps(pkcs7(), indent=40).encode().join([b" \r\n\t" * 9000] * 2), {}, cms()),
    ("unknown members", pkcs7(a=1, b=None, c=[True, {"d": "e"}], f="\u00e9\U0001f600"), {}, cms()),
    ("an unknown member of 3 MB", {"x": HUGE, **pkcs7(), "y": HUGE}, {}, cms()),
    ("an unknown member with escapes and quotes", {"x": '\\"}{][,:\\', **pkcs7()}, {}, cms()),
    ("decoys in other members",
     {"x": {"encoded_contents": "AAAA", "action": "sign", "hash_algorithm": "md5"},
      "y": [{"encoded_contents": "AAAA"}, "encoded_contents"], **pkcs7(),
      "z": {"digest": "00", "data_to_be_signed": "AAAA"}}, {}, cms()),
    ("a member called as a value", {"x": "encoded_contents", "y": "action", **pkcs7()}, {}, cms()),
    ("contents for sign are not looked at", sign(encoded_contents="!"), {}, raw()),
    ("a token that is an object", sign(signing_token={"userId": "u", "signMethod": "hsm"}), {}, raw()),
    ("a token that is JSON in a string", sign(signing_token='{"userId":"u","signMethod":"hsm"}'), {}, raw()),
    ("a token that is anything", sign(signing_token='{"'), {}, raw()),
    ("a charset", pkcs7(), {"headers": {"Content-Type": "application/json; charset=utf-8"}}, cms()),
    ("no Content-Type", pkcs7(), {"headers": {"Content-Type": None}}, cms()),
    ("another Content-Type", pkcs7(), {"headers": {"Content-Type": "text/plain"}}, cms()),
    ("a chunked body", pkcs7(), {"chunk": 1000}, cms()),
    ("a body in chunks of one byte", pkcs7(), {"chunk": 1}, cms()),
    ("HTTP/1.0", pkcs7(), {"version": "1.0", "headers": {"Host": None}}, cms()),
    ("/SIGN", pkcs7(), {"path": "/SIGN"}, cms()),
    ("/sign/", pkcs7(), {"path": "/sign/"}, cms()),
    ("/sign?x=y", pkcs7(), {"path": "/sign?x=y&z"}, cms()),
    ("a request id is echoed", pkcs7(), {"headers": {"X-Request-Id": "my-id.1_2"}}, says(200, x_request_id="my-id.1_2")),
    ("a page of an allowed origin", pkcs7(), {"headers": GOOD_ORIGIN},
     says(200, access_control_allow_origin="https://good.example", vary="Origin")),
    ("the second allowed origin", pkcs7(), {"headers": {"Origin": "http://localhost:3000"}},
     says(200, access_control_allow_origin="http://localhost:3000")),
    ("without an origin nothing is allowed", pkcs7(), {}, says(200, access_control_allow_origin="")),
    ("a page's preflight", b"", {"method": "OPTIONS", "headers": GOOD_ORIGIN},
     says(204, access_control_allow_origin="https://good.example", access_control_allow_methods="POST",
          access_control_allow_headers="Content-Type, X-Request-Id")),
    ("OPTIONS", b"", {"method": "OPTIONS"}, says(204, allow="POST,OPTIONS", access_control_allow_origin="")),
    ("GET /", b"", {"method": "GET", "path": "/"}, says(200, "OK")),
    ("HEAD /", b"", {"method": "HEAD", "path": "/"}, says(200)),
    ("GET /healthz", b"", {"method": "GET", "path": "/healthz"}, says(200, "OK")),
    ("GET /readyz", b"", {"method": "GET", "path": "/readyz"}, says(200, "OK")),
    ("a probe from another page", b"", {"method": "GET", "path": "/", "headers": {"Origin": "https://evil.example"}}, says(200)),
]

BAD = [
    ("an empty body", b"", {}, says(400, "empty")),
    ("a body of blanks", b"  \n", {}, says(400)),
    ("half a body", dump(pkcs7())[:-1], {}, says(400)),
    ("a body that ends in the contents", dump(pkcs7())[:100], {}, says(400)),
    ("no JSON", b"hello", {}, says(400)),
    ("a form", b"action=sign&data_to_be_signed=AAAA", {}, says(400)),
    ("a list", b"[]", {}, says(400)),
    ("a string", b'"sign"', {}, says(400)),
    ("an empty object", {}, {}, says(400, "missing")),
    ("two objects", dump(pkcs7()) * 2, {}, says(400)),
    ("text behind the object", dump(pkcs7()) + b"x", {}, says(400)),
    ("a NUL behind the object", dump(pkcs7()) + b"\0", {}, says(400)),
    ("a comma too many", replaced(b"}", b",}"), {}, says(400)),
    ("a member twice", b'{"digest":"%s","digest":"%s"}' % (SHA256.encode(), SHA256.encode()), {}, says(400)),
    ("the contents twice", b'{"encoded_contents":"AAAA","encoded_contents":"AAAA"}', {}, says(400)),
    ("the contents twice, once escaped", b'{"encoded_contents":"AAAA","encoded\\u005fcontents":"AAAA"}', {}, says(400)),
    ("contents of both names", {"encoded_contents": B64, "encodedContents": B64}, {}, says(400)),
    ("two strings as contents", b'{"encoded_contents":"AAAA" "AAAA"}', {}, says(400)),
    ("half a byte order mark", b"\xef\xbb" + dump(pkcs7()), {}, says(400)),
    ("two byte order marks", b"\xef\xbb\xbf" * 2 + dump(pkcs7()), {}, says(400)),
    ("UTF-16", dump(pkcs7()).decode().encode("utf-16"), {}, says(400)),
    ("no UTF-8", b'{"action":"\xff\xfe"}', {}, says(400)),
    ("no UTF-8 in the contents", b'{"encoded_contents":"\xff\xfe"}', {}, says(400)),
    ("a line feed in a string", b'{"encoded_contents":"AA\nAA"}', {}, says(400)),
    ("an escape that is none", b'{"encoded_contents":"AA\\x41AA"}', {}, says(400)),
    ("\\u with too few digits", b'{"encoded_contents":"AA\\u41AA"}', {}, says(400)),
    ("\\u0000 in the contents", b'{"encoded_contents":"AAAA\\u0000"}', {}, says(400)),
    ("\\u0000 in the action", b'{"action":"sign\\u0000","data_to_be_signed":"AAAA"}', {}, says(400)),
    ("a key that is no string", b'{action:"sign"}', {}, says(400)),
    ("nesting without end", b'{"x":' + b"[" * 60000, {}, says(400)),
    ("nesting, ended", b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", {}, says(400)),
    ("a huge nested member", {"x": [HUGE], **pkcs7()}, {}, says(400)),
    ("a huge number", b'{"x":' + b"1" * 100000 + b"}", {}, says(400)),
    ("a huge action", {"action": HUGE}, {}, says(400)),
    ("an unknown action", {"action": "x"}, {}, says(400, "Unknown action x")),
    ("an action in upper case", {"action": "SIGN", "data_to_be_signed": B64}, {}, says(400)),
    ("an action that is markup", {"action": "<b>/etc/passwd\r\n\u00e9"}, {"leaks": True}, says(400)),
    ("the action of the log's name", {"action": "encodedContents", "encodedContents": B64}, {}, says(400)),
    ("an empty action", {"action": ""}, {}, says(400)),
    ("an action that is a number", {"action": 1}, {}, says(400)),
    ("contents that are a list", {"encoded_contents": [B64]}, {}, says(400)),
    ("contents that are an object", {"encoded_contents": {"encoded_contents": B64}}, {}, says(400)),
    ("contents that are a number", {"encoded_contents": 1234}, {}, says(400)),
    ("a digest that is a number", {"digest": 1234}, {}, says(400)),
    ("a hash that is a number", pkcs7(hash_algorithm=256), {}, says(400)),
    ("md5", sign(hash_algorithm="md5"), {}, says(400, "refused")),
    ("sha160", sign(hash_algorithm="sha160"), {}, says(400, "refused")),
    ("sha1", pkcs7(hash_algorithm="SHA1"), {}, says(400, "refused")),
    ("md5 behind the contents", pkcs7(hash_algorithm="md5"), {}, says(400, "refused")),
    ("md5 before the contents", {"hash_algorithm": "md5", **pkcs7()}, {}, says(400, "refused")),
    ("md5 with the digest only", {"digest": "00" * 16, "hash_algorithm": "md5"}, {}, says(400, "refused")),
    ("sha160 with the digest only", {"digest": "00" * 20, "hash_algorithm": "sha160"}, {}, says(400, "refused")),
    ("a bogus algorithm", sign(hash_algorithm="sha257"), {}, says(400, "unknown")),
    ("a bogus algorithm before", {"hash_algorithm": "bogus", **sign()}, {}, says(400, "unknown")),
    ("an empty algorithm", sign(hash_algorithm=""), {}, says(400)),
    ("a bogus signature_type", sign(signature_type="pades"), {}, says(400)),
    ("no data", {"action": "sign"}, {}, says(400, "missing")),
    ("data null", sign(None), {}, says(400, "missing")),
    ("empty data", sign(""), {}, says(400, "empty")),
    ("data of blanks", sign("\n \n"), {}, says(400, "empty")),
    ("data that is contents", {"action": "sign", "encoded_contents": B64}, {}, says(400, "missing")),
    ("broken base64", sign("QUJD!"), {}, says(400, "not base64")),
    ("base64 of one character", sign("Q"), {}, says(400, "not base64")),
    ("base64 of five characters", sign("QUJDR"), {}, says(400, "not base64")),
    ("padding in the midst", sign("QUI=QUI="), {}, says(400, "not base64")),
    ("padding alone", sign("===="), {}, says(400)),
    ("base64 that is hex with a colon", pkcs7("AA:BB"), {}, says(400, "not base64")),
    ("base64 with a letter of another script", pkcs7("QUJD\u00e9"), {}, says(400, "not base64")),
    ("base64 with an escaped one", b'{"encoded_contents":"QUJD\\u00e9"}', {}, says(400, "not base64")),
    ("empty contents", pkcs7(""), {}, says(400)),
    ("broken contents with a good digest", pkcs7("!", digest=SHA256), {}, says(400, "not base64")),
    ("a digest too short", {"digest": SHA256[:-2]}, {}, says(400, "digest")),
    ("a digest of another hash", {"digest": SHA512}, {}, says(400, "digest")),
    ("a digest of half bytes", {"digest": SHA256[:-1]}, {}, says(400, "digest")),
    ("a digest that is no hex", {"digest": "zz" * 32}, {}, says(400, "digest")),
    ("a digest with colons", {"digest": "00:" * 21 + "0"}, {}, says(400, "digest")),
    ("an empty digest", {"digest": ""}, {}, says(400)),
    ("an invalid signMethod", sign(signing_token='{"signMethod":"file"}'), {}, says(400, "Invalid sign method")),
    ("an invalid signMethod in an object", sign(signing_token={"signMethod": "file"}), {}, says(400, "Invalid sign method")),
    ("a signMethod that is no string", sign(signing_token='{"signMethod":1}'), {}, says(400, "Invalid sign method")),
    ("an unknown page", pkcs7(), {"path": "/sign/x"}, says(404)),
    ("GET of an unknown page", b"", {"method": "GET", "path": "/../../etc/passwd"}, says(404)),
    ("GET /sign", b"", {"method": "GET"}, says(405, allow="POST,OPTIONS")),
    ("HEAD /sign", b"", {"method": "HEAD"}, says(405)),
    ("PUT /sign", pkcs7(), {"method": "PUT"}, says(405, allow="POST,OPTIONS")),
    ("POS /sign", pkcs7(), {"method": "POS"}, says(405, allow="POST,OPTIONS")),
    ("POST /", pkcs7(), {"path": "/"}, says(405, allow="GET,HEAD")),
    ("POST /healthz", pkcs7(), {"path": "/healthz"}, says(405)),
    ("another origin", pkcs7(), {"headers": {"Origin": "https://evil.example"}}, says(403, access_control_allow_origin="")),
    ("the begin of an allowed origin", pkcs7(), {"headers": {"Origin": "https://good"}}, says(403)),
    ("the origin null", pkcs7(), {"headers": {"Origin": "null"}}, says(403)),
    ("the preflight of another origin", b"", {"method": "OPTIONS", "headers": {"Origin": "https://evil.example"}},
     says(403, access_control_allow_origin="")),
    ("gzip", gzip.compress(dump(pkcs7())), {"headers": {"Content-Encoding": "gzip"}}, says(415)),
    ("a request id that is none is not echoed", b"", {"headers": {"X-Request-Id": 'a"b{}'}}, says(400)),
    ("a request id that is too long", b"", {"headers": {"X-Request-Id": "a" * 65}}, says(400)),
]


def algorithms():
    for md in HASHES:
        digest = hashlib.new(md, DOC).hexdigest()
        for kind in ("cms", "cades"):
            how = {"hash_algorithm": md, "signature_type": kind}
            yield f"sign, {md}, {kind}", sign(**how), {}, raw(md)
            yield f"sign_pkcs7, {md}, {kind}", pkcs7(digest=digest, **how), {}, cms(md)
            yield f"sign_pkcs7, {md}, {kind}, digest only", {"digest": digest, **how}, {}, cms(md)
    yield "get_certificates", {"action": "get_certificates"}, {}, certificates


def attributes(verifier, cades):
    """The signed attributes of a CMS that openssl made, as a SET OF."""
    flags = ("-cades",) if cades else ()
    key = verifier.cert.replace(".pem", ".key")
    made = run("openssl", "cms", "-sign", "-binary", "-nosmimecap", "-in", verifier.file("data", DOC),
               "-signer", verifier.cert, "-inkey", key, "-outform", "DER", *flags)
    lines = run("openssl", "asn1parse", "-inform", "DER", "-in", verifier.file("made", made)).decode()
    # The last [0] that is constructed is the attributes'.
    line = [part for part in lines.splitlines() if "cont [ 0 ]" in part][-1]
    offset, rest = int(line.split(":")[0]), line.split("hl=")[1].split()
    size = int(rest[0]) + int(line.split(" l=")[1].split()[0])
    return b"\x31" + made[offset + 1 : offset + size]


def strict(verifier):
    def plain(kind, data, **more):
        return sign(base64.b64encode(data).decode(), signature_type=kind, **more)

    def signed(data, md="sha256"):
        return lambda v, a: (expect(a.status == 200, a), v.raw(a.body, data, md))

    cms_set, cades_set = attributes(verifier, False), attributes(verifier, True)
    return [
        ("attributes for cms", plain("cms", cms_set), {}, signed(cms_set)),
        ("attributes for cades", plain("cades", cades_set), {}, signed(cades_set)),
        ("attributes for cades are good for cms", plain("cms", cades_set), {}, signed(cades_set)),
        ("attributes for cms are not for cades", plain("cades", cms_set), {}, says(400, "signing-certificate")),
        ("a message-digest of another hash", plain("cms", cms_set, hash_algorithm="sha512"), {}, says(400, "message-digest")),
        ("a document", sign(), {}, says(400, "SET OF")),
        ("a SEQUENCE", plain("cms", b"\x30" + cms_set[1:]), {}, says(400, "SET OF")),
        ("bytes behind the SET", plain("cms", cms_set + b"\0"), {}, says(400, "SET OF")),
        ("an empty SET", plain("cms", b"\x31\0"), {}, says(400, "content-type")),
        ("data of 1 MB", plain("cms", cms_set * 5000), {}, says(400)),
        ("the digest of the contents", pkcs7(digest=SHA256.upper(), signature_type="cades"), {}, cms()),
        ("another digest", pkcs7(digest="00" * 32), {}, says(400, "digest")),
        ("a signing time for cms", pkcs7(), {}, cms(at=True)),
        ("a signing time for cms with the digest only", {"digest": SHA256}, {}, cms(at=True)),
        ("none for cades", pkcs7(signature_type="cades"), {}, cms()),
        ("sha160 if that is allowed", pkcs7(hash_algorithm="sha160"), {}, cms("sha1", at=True)),
        ("sha1 too", {"hash_algorithm": "sha1", **pkcs7(signature_type="cades")}, {}, cms("sha1")),
        ("the digest of sha160", {"hash_algorithm": "sha160", "signature_type": "cades",
                                  "digest": hashlib.sha1(DOC).hexdigest()}, {}, cms("sha1")),
        ("md5 not", sign(hash_algorithm="md5"), {}, says(400)),
    ]


PSS = [(f"PSS, {md}", sign(hash_algorithm=md), {}, raw(md)) for md in HASHES]
PSS += [(f"PSS in a CMS, {md}", pkcs7(hash_algorithm=md), {}, cms(md)) for md in HASHES]


def token(body, value):
    return {**body, "signing_token": value}


CERTIFICATES = {"action": "get_certificates"}
ALICE = '{"userId":"alice","secret":"SECRET-OF-ALICE"}'
USERS = [
    ("all rights", token(sign(), ALICE), {}, raw()),
    ("as an object", token(sign(), json.loads(ALICE)), {}, raw()),
    ("as NAME:SECRET", token(pkcs7(), "alice:SECRET-OF-ALICE"), {}, cms()),
    ("the body without action", token({"digest": SHA256}, ALICE), {}, cms()),
    ("the web how-to's body", token({"encodedContents": B64}, ALICE), {}, web),
    ("signMethod hsm", token(sign(), {**json.loads(ALICE), "signMethod": "hsm"}), {}, raw()),
    ("one right", token(sign(), "bob:SECRET-OF-BOB"), {}, raw()),
    ("certificates without a token", CERTIFICATES, {}, certificates),
    ("certificates with the token null", token(CERTIFICATES, None), {}, certificates),
    ("certificates with a token", token(CERTIFICATES, ALICE), {}, certificates),
    ("another right", token(pkcs7(), "bob:SECRET-OF-BOB"), {}, says(403, "right")),
    ("another right by the old body", token({"digest": SHA256}, "bob:SECRET-OF-BOB"), {}, says(403)),
    ("another right by the web's body", token({"encodedContents": B64}, "bob:SECRET-OF-BOB"), {}, says(403)),
    ("certificates without the right", token(CERTIFICATES, "bob:SECRET-OF-BOB"), {}, says(403)),
    ("no token", sign(), {}, says(401, "Unauthorized")),
    ("the token null", token(sign(), None), {}, says(401, "Unauthorized")),
    ("an empty token", token(sign(), ""), {}, says(401)),
    ("a number as token", token(sign(), 5), {}, says(401)),
    ("a list as token", token(sign(), ["alice", "SECRET-OF-ALICE"]), {}, says(401)),
    ("a name alone", token(sign(), "alice"), {}, says(401)),
    ("a wrong secret", token(sign(), "alice:SECRET-OF-ALICF"), {}, says(401)),
    ("the begin of the secret", token(sign(), "alice:SECRET-OF-ALIC"), {}, says(401)),
    ("an empty secret", token(sign(), "alice:"), {}, says(401)),
    ("the other's secret", token(sign(), "alice:SECRET-OF-BOB"), {}, says(401)),
    ("an unknown user", token(sign(), "carol:SECRET-OF-ALICE"), {}, says(401)),
    ("an unknown user of 1 MB", token(sign(), HUGE[:30000]), {}, says(401)),
    ("a name in upper case", token(sign(), "Alice:SECRET-OF-ALICE"), {}, says(401)),
    ("certificates with a wrong secret", token(CERTIFICATES, "alice:x"), {}, says(401)),
    ("signMethod other", token(sign(), {**json.loads(ALICE), "signMethod": "x"}), {}, says(400, "Invalid sign method")),
]

# With --max-body 1.
BIG = dump({"x": "x" * 1100000, **sign()})
LIMITS = [
    ("less than the limit", {"x": "x" * 1000000, **sign()}, {}, raw()),
    ("a body over the limit", BIG, {}, says(413)),
    ("a chunked body over it", BIG, {"chunk": 50000}, says(413)),
    ("an Expect over it", BIG, {"expect": True}, says(413)),
    ("a length over it and no body", b"", {"headers": {"Content-Length": 1 << 40, "Expect": "100-continue"}}, says(413)),
    ("GET / with a body over it", BIG, {"method": "GET", "path": "/"}, says(413)),
]


class Runner:
    def __init__(self, port, cert, ca, pss=False):
        self.port, self.verifier = port, Verifier(cert, ca, pss)
        self.good = dump(sign(signing_token=ALICE))
        self.data = DOC

    def still_signs(self):
        a = ask(self.port, self.good)
        expect(a.status == 200, "afterwards:", a)
        self.verifier.raw(a.body, self.data)

    def case(self, body, how, check):
        how = dict(how)
        leaks = how.pop("leaks", False)
        if how.pop("expect", False):
            with Connection(self.port) as c:
                c.send(request(body, headers={"Expect": "100-continue"})[: -len(body)])
                a = c.answer()
        else:
            a = ask(self.port, dump(body), **how)
        check(self.verifier, a)
        wanted = how.get("headers", {}).get("X-Request-Id")
        expect(0 < len(a.headers["x-request-id"]) <= 64, "X-Request-Id:", a)
        expect(a.status == 200 or wanted != a.headers["x-request-id"], "echoed:", a)
        if a.status < 400:
            return
        expect(a.status < 500, a)
        expect(a.headers["content-type"].startswith("text/plain"), a)
        expect(len(a.body) < 160 and (leaks or not LEAK.search(a.body)), a)
        self.still_signs()

    def all(self, cases):
        good = True
        for sentence, *case in cases:
            try:
                self.case(*case) if len(case) == 3 else case[0](self)
                print("ok", sentence)
            except Exception as e:  # anything is a failure
                print("not ok", sentence)
                print("#", repr(e)[:2000])
                good = False
        return good


def keep_alive(r):
    with Connection(r.port) as c:
        for body, check in ((sign(), raw()), (b"{", says(400)), (pkcs7(), cms()), (CERTIFICATES, certificates),
                            ({"action": "x"}, says(400)), (sign(), raw())):
            c.send(request(dump(body)))
            check(r.verifier, c.answer())


def pipelined(r):
    with Connection(r.port) as c:
        c.send(request(dump(sign())) + request(b"{") + request(method="GET", path="/") + request(dump(pkcs7())))
        for check in (raw(), says(400), says(200), cms()):
            check(r.verifier, c.answer())


def expects(r):
    body = dump(pkcs7())
    with Connection(r.port) as c:
        c.send(request(body, headers={"Expect": "100-continue"})[: -len(body)])
        expect(c.head()[0] == 100, "no 100")
        c.send(body)
        cms()(r.verifier, c.answer())


def refused_early(r):
    body = dump(pkcs7())
    with Connection(r.port) as c:
        c.send(request(body, path="/nothing", headers={"Expect": "100-continue"})[: -len(body)])
        expect(c.head()[0] == 404, "no 404 before the body")
    r.still_signs()


def aborted(r):
    body = dump(pkcs7())
    for n in (10, 100, len(body) - 1):
        with Connection(r.port) as c:
            c.send(request(body)[: -len(body)] + body[:n])
        r.still_signs()
    with Connection(r.port) as c:
        c.send(request(body))  # and no wait for the answer
    r.still_signs()


def byte_by_byte(r):
    with Connection(r.port) as c:
        for byte in request(dump({"digest": SHA256})):
            c.send(bytes([byte]))
        cms()(r.verifier, c.answer())


def closes(r):
    with Connection(r.port) as c:
        c.send(request(dump(sign()), headers={"Connection": "close"}))
        raw()(r.verifier, c.answer())
        expect(c.file.read() == b"", "it is open")


def two_lengths(r):
    """Who is in front may have taken the one, and we the other."""
    body = dump(sign())
    with Connection(r.port) as c:
        c.send(request(headers={"Transfer-Encoding": "chunked", "Content-Length": len(body)})
               + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        says(400, "more than one Content-Length", connection="close")(r.verifier, c.answer())
        expect(c.file.read() == b"", "it is open")
    for first, second in ((3, len(body)), (len(body), 3), (len(body), len(body))):
        with Connection(r.port) as c:
            c.send(request(headers={"Content-Length": f"{first}\r\nContent-Length: {second}"}) + body)
            says(400, "more than one Content-Length", connection="close")(r.verifier, c.answer())
            expect(c.file.read() == b"", "it is open")
    # libmicrohttpd 1.0 refuses these itself, in words of its own.
    for coding in "identity", "":
        with Connection(r.port) as c:
            c.send(request(headers={"Transfer-Encoding": coding, "Content-Length": len(body)}) + body)
            says(400, connection="close")(r.verifier, c.answer())
            expect(c.file.read() == b"", "it is open")
    r.still_signs()


def broken_http(r):
    """libmicrohttpd answers these, or hangs up."""
    for data in (b"\r\n" * 3 + b"nonsense\r\n\r\n", b"POST\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
                 request(headers={"Content-Length": "many"}), request(headers={"Content-Length": "-1"}),
                 request(headers={"X": "x" * 300000}), request(path="/" + "x" * 300000),
                 request(headers={"Transfer-Encoding": "chunked", "Content-Length": None}) + b"zz\r\n"):
        with Connection(r.port) as c:
            c.send(data)
            try:
                status, _ = c.head()
            except (Wrong, OSError):
                status = 400
            expect(400 <= status < 500, status, data[:60])
        r.still_signs()


CONNECTIONS = [
    ("several requests on a connection", keep_alive),
    ("pipelined requests", pipelined),
    ("Expect: 100-continue", expects),
    ("who expects is refused before the body", refused_early),
    ("aborted requests", aborted),
    ("a request that comes byte by byte", byte_by_byte),
    ("Connection: close", closes),
    ("Content-Length and chunked", two_lengths),
    ("what is not HTTP", broken_http),
]


def away(r):
    """The HSM is not there, as yet; then it is, without a restart."""
    for body in (sign(), pkcs7(), {"digest": SHA256}, CERTIFICATES):
        a = ask(r.port, dump(body))
        says(503, retry_after="1")(r.verifier, a)
        expect(not LEAK.search(a.body), a)
    says(400)(r.verifier, ask(r.port, b"{"))
    says(503, retry_after="1")(r.verifier, ask(r.port, method="GET", path="/readyz"))
    says(200)(r.verifier, ask(r.port, method="GET", path="/healthz"))
    says(200)(r.verifier, ask(r.port, method="GET", path="/"))


def back(r):
    for _ in range(300):
        if ask(r.port, method="GET", path="/readyz").status == 200:
            break
        time.sleep(0.3)
    r.still_signs()
    certificates(r.verifier, ask(r.port, dump(CERTIFICATES)))
    says(200)(r.verifier, ask(r.port, method="GET", path="/readyz"))


def check_log(path, texts):
    with open(path, "rb") as f:
        lines = f.read().splitlines()
    for line in lines:
        event = json.loads(line)
        expect({"time", "level", "event"} <= set(event), line)
        expect(event["event"] != "request" or event["id"], line)
        for text in texts + [B64[:40], "MARKER", SHA256, SHA256.upper()]:
            expect(text.encode() not in line, "it says", text)
    expect(len(lines) > 3, "there is nothing")


GROUPS = {
    "good": lambda _: GOOD,
    "bad": lambda _: BAD,
    "connections": lambda _: CONNECTIONS,
    "algorithms": lambda _: algorithms(),
    "strict": strict,
    "pss": lambda _: PSS,
    "users": lambda _: USERS,
    "limits": lambda _: LIMITS,
    "one": lambda _: [("sign", sign(), {}, raw()), ("sign_pkcs7", pkcs7(), {}, cms()),
                      ("get_certificates", CERTIFICATES, {}, certificates)],
    "away": lambda _: [("without the HSM all that needs it is 503", away)],
    "back": lambda _: [("when it is back it signs, without a restart", back)],
}


def main(group, *args):
    if group == "log":
        check_log(args[0], list(args[1:]))
        return True
    port, cert, ca = args
    runner = Runner(int(port), cert, ca, group == "pss")
    if group == "strict":
        runner.data = attributes(runner.verifier, True)
        runner.good = dump(sign(base64.b64encode(runner.data).decode()))
    return runner.all(GROUPS[group](runner.verifier))


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
