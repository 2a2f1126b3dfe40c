# SPDX-License-Identifier: Apache-2.0
"""An HTTP client that does as it is told, and what verifies signatures.

Neither http.client nor curl sends what is wrong, or says in which piece.  The
verifiers are openssl without our provider, GnuTLS (which takes nothing but DER)
and a look at the CMS's structure.
"""

import os
import re
import socket
import subprocess
import tempfile

HASHES = ("sha256", "sha384", "sha512", "sha224")
ATTRIBUTES = {
    "2a864886f70d010903": "content-type",
    "2a864886f70d010904": "message-digest",
    "2a864886f70d010905": "signing-time",
    "2a864886f70d010910022f": "signing-certificate-v2",
    "2a864886f70d010910020c": "signing-certificate",
}
# What no client is to learn: paths, CK_RVs, code.
LEAK = re.compile(rb"/(tmp|usr|etc|home|lib|var|opt|work)|CK[RA_]|0x|\.(so|c|h|js)\b|openssl|pkcs11|<", re.I)


class Wrong(Exception):
    """An answer is not as it should be."""


def expect(good, *what):
    if not good:
        raise Wrong(" ".join(str(w) for w in what))


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __str__(self):
        return f"{self.status} {self.headers} {self.body[:200]!r}"


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # there may be an answer all the same

    def head(self):
        line = self.file.readline()
        expect(line, "hung up")
        headers = {}
        while (field := self.file.readline().strip()) != b"":
            name, _, value = field.decode().partition(":")
            headers[name.lower()] = value.strip()
        return int(line.split()[1]), headers

    def answer(self, method="POST"):
        status, headers = self.head()
        while status == 100:
            status, headers = self.head()
        body = b""
        if method != "HEAD" and status != 204:
            body = self.file.read(int(headers["content-length"]))
        return Answer(status, headers, body)


def chunks(body, size):
    for i in range(0, len(body), size):
        piece = body[i : i + size]
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def head(method, path, version, headers):
    lines = [f"{method} {path} HTTP/{version}"] + [f"{n}: {v}" for n, v in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def request(body=b"", method="POST", path="/sign", version="1.1", headers=None, chunk=0):
    """The bytes of a request; a header that is None is left out."""
    fields = {"Host": "localhost", "Content-Type": "application/json"}
    fields["Transfer-Encoding" if chunk else "Content-Length"] = "chunked" if chunk else len(body)
    fields.update(headers or {})
    fields = {n: v for n, v in fields.items() if v is not None}
    data = b"".join(chunks(body, chunk)) if chunk else body
    return head(method, path, version, fields) + data


def ask(port, body=b"", method="POST", **how):
    with Connection(port) as connection:
        connection.send(request(body, method, **how))
        return connection.answer(method)


def run(*command):
    done = subprocess.run(command, capture_output=True, check=False, timeout=60,
                          env=dict(os.environ, OPENSSL_CONF="/dev/null"))
    expect(done.returncode == 0, *command, done.stdout, done.stderr)
    return done.stdout


def der(data):
    """[(tag, content)] of DER that has definite lengths and short tags."""
    items = []
    while data:
        tag, n, begin = data[0], data[1], 2
        if n & 0x80:
            begin += n & 0x7F
            n = int.from_bytes(data[2:begin], "big")
        expect(begin + n <= len(data), "not DER")
        items.append((tag, data[begin : begin + n]))
        data = data[begin + n :]
    return items


class Verifier:
    """Of signatures by the key of cert, below ca."""

    def __init__(self, cert, ca, pss=False):
        self.cert, self.ca, self.pss = cert, ca, pss
        self.directory = tempfile.mkdtemp(dir=".")
        self.public = self.file("public", run("openssl", "x509", "-in", cert, "-noout", "-pubkey"))

    def file(self, name, data):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def raw(self, signature, data, md="sha256"):
        pss = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest") if self.pss else ()
        run("openssl", "dgst", "-" + md, "-verify", self.public, *pss, "-signature",
            self.file("signature", signature), self.file("data", data))

    def cms(self, cms, data, md="sha256", time=False):
        path, data = self.file("cms", cms), self.file("data", data)
        run("openssl", "cms", "-verify", "-binary", "-cades", "-inform", "DER", "-in", path,
            "-content", data, "-CAfile", self.ca, "-purpose", "any", "-out", "/dev/null")
        # GnuTLS 3.7 takes every RSA-PSS for one with SHA-256.
        if not self.pss or md == "sha256":
            run("certtool", "--p7-verify", "--inder", "--infile", path, "--load-data", data,
                "--load-ca-certificate", self.ca)
        (_, info), = der(cms)
        (_, signed), = der(der(info)[1][1])
        version, mds, content, certs, infos = der(signed)
        (_, signer), = der(infos[1])
        expect(version[1] == der(signer)[0][1] == b"\x01", "not version 1")
        expect(len(der(content[1])) == 1, "not detached")
        expect(len(der(certs[1])) == 2, "the chain is not inside")
        expect(len(der(mds[1])) == 1, "several digests")
        oid = {"sha1": b"\x2b\x0e\x03\x02\x1a"}.get(md)
        number = {"sha256": 1, "sha384": 2, "sha512": 3, "sha224": 4}.get(md)
        oid = oid or bytes.fromhex("6086480165030402") + bytes([number])
        expect(der(der(signer)[2][1])[0][1] == oid, "not", md)
        found = [ATTRIBUTES.get(der(a)[0][1].hex(), "?") for _, a in der(der(signer)[3][1])]
        # RFC 5035: the older attribute has a SHA-1 hash, the newer another one.
        wanted = ["content-type", "message-digest", "signing-certificate" + ("-v2" if md != "sha1" else "")]
        expect(sorted(found) == sorted(wanted + ["signing-time"] * time), "attributes:", found)
