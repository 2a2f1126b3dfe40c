#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many clients at once for hsmsignd, each answer of which is looked at.

    hsmsignd_load.py load MODULUS HSMSIGND [ARGUMENT]...
    hsmsignd_load.py stop ROUNDS MODULUS HSMSIGND [ARGUMENT]...
    hsmsignd_load.py soak SECONDS MODULUS HSMSIGND [ARGUMENT]...

MODULUS is that of the RSA key, in hex; HSMSIGND is run with --port 0 and ends
by SIGTERM.  "load" does it once, after a number of requests; "stop" ROUNDS
times, in the midst of them.  "soak" does it after SECONDS, and its memory in
the last tenth of them may be 2 % more than in the second.  Good, bad and aborted
requests are mixed.

What has to be true of each request, which bears an id of its own:

  - the answer is complete and right (a signature is verified here, by pow()),
    or there is not one byte of it;
  - it has its answer if it was sent before SIGTERM, or if the service's log
    has its id, which is so as soon as its head was read.

So what may go without an answer is what was sent to a service that was told to
end, and that has not looked at it: these are counted.
"""
import base64
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

CONNECTIONS = 24
REQUESTS = 60  # of each connection, for "load"
EXPONENT = 65537
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


class Wrong(Exception):
    """An answer that is not what it has to be."""


# ---- answers ----

def verify_rsa(modulus, signature, data):
    size = (modulus.bit_length() + 7) // 8
    digest = SHA256_INFO + hashlib.sha256(data).digest()
    want = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    got = pow(int.from_bytes(signature, "big"), EXPONENT, modulus)
    if len(signature) != size or got.to_bytes(size, "big") != want:
        raise Wrong("the signature does not verify")


def der_items(data):
    """[(tag, contents, all of it)] of DER that is not checked any further."""
    items = []
    while data:
        length, start = data[1], 2
        if length & 0x80:
            start += length & 0x7f
            length = int.from_bytes(data[2:start], "big")
        items.append((data[0], data[start:start + length], data[:start + length]))
        data = data[start + length:]
    return items


def verify_cms(modulus, cms, contents):
    content_info = der_items(der_items(cms)[0][1])
    signed_data = der_items(der_items(content_info[1][1])[0][1])
    signer = der_items(der_items(signed_data[-1][1])[0][1])
    attributes, signature = signer[3], signer[5][1]
    if attributes[0] != 0xa0:
        raise Wrong("there are no signed attributes")
    if b"\x04\x20" + hashlib.sha256(contents).digest() not in attributes[1]:
        raise Wrong("the CMS is of something else")
    verify_rsa(modulus, signature, b"\x31" + attributes[2][1:])


# ---- requests: (method, path, body, status, what checks the answer) ----

def sign_raw(run, rng):
    data = rng.randbytes(rng.choice([30, 1000, 40000]))
    body = {"action": "sign", "data_to_be_signed": base64.b64encode(data).decode()}
    return "POST", "/sign", body, 200, lambda a: verify_rsa(run.modulus, a, data)


def sign_pkcs7(run, rng):
    data = rng.randbytes(rng.choice([1, 1000, 300000]))
    body = {"action": "sign_pkcs7", "signature_type": rng.choice(["cms", "cades"]),
            "encoded_contents": base64.b64encode(data).decode()}
    return "POST", "/sign", body, 200, lambda a: verify_cms(run.modulus, a, data)


def sign_digest(run, rng):
    data = rng.randbytes(100)
    body = {"action": "sign_pkcs7", "signature_type": "cades",
            "digest": hashlib.sha256(data).hexdigest()}
    return "POST", "/sign", body, 200, lambda a: verify_cms(run.modulus, a, data)


def get_certificates(_run, _rng):
    def check(answer):
        if len(json.loads(answer)["certificates"]) != 1:
            raise Wrong("there is not one certificate")
    return "POST", "/sign", {"action": "get_certificates"}, 200, check


def get(path, status):
    return lambda run, rng: ("GET", path, None, status, None)


def bad(body, status=400):
    return lambda run, rng: ("POST", "/sign", body, status, None)


GOOD = [sign_raw, sign_raw, sign_pkcs7, sign_digest, get_certificates,
        get("/", 200), get("/healthz", 200), get("/readyz", 200)]
BAD = [get("/nowhere", 404), get("/sign", 405), bad(b"{"), bad(b""),
       bad({"action": "steal"}),
       bad({"action": "sign", "data_to_be_signed": "****"}),
       bad({"action": "sign", "data_to_be_signed": "AAAA",
            "hash_algorithm": "md5"}),
       bad({"action": "sign_pkcs7", "digest": "00"})]


def encode(request, name, host):
    method, path, body = request[:3]
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {name}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + (body or b"")


# ---- clients ----

class Run:
    """One life of the service, and what its clients have seen of it."""

    def __init__(self, modulus, command):
        self.modulus = modulus
        self.log_file = tempfile.TemporaryFile()
        self.stopping = threading.Event()  # set before SIGTERM is sent
        self.lock = threading.Lock()
        self.answered, self.aborted, self.lost = set(), set(), set()
        self.hung_up, self.wrong = set(), []
        self.service = subprocess.Popen([*command, "--port", "0"],
                                        stdin=subprocess.DEVNULL, stderr=self.log_file)
        self.address = "127.0.0.1", self.find_port()

    def log(self, event):
        end = self.log_file.seek(0, os.SEEK_END)
        lines = os.pread(self.log_file.fileno(), end, 0).splitlines()
        return [e for e in map(json.loads, lines) if e["event"] == event]

    def find_port(self):
        while self.service.poll() is None:
            for event in self.log("listening"):
                return event["port"]
            time.sleep(0.01)
        raise SystemExit("hsmsignd does not start")

    def note(self, where, name):
        with self.lock:
            where.add(name)

    def soak(self, seconds):
        """Its resident memory in pages, by tenths of that time."""
        tenths = []
        for _ in range(10):
            pages = []
            for _ in range(max(1, seconds // 10)):
                time.sleep(1)
                with open(f"/proc/{self.service.pid}/statm", encoding="ascii") as file:
                    pages.append(int(file.read().split()[1]))
            tenths.append(sum(pages) / len(pages))
        print("resident memory, MB:", " ".join(f"{p / 256:.1f}" for p in tenths))
        if tenths[9] > tenths[1] * 1.02:
            self.wrong.append("the memory grows")

    def stop(self):
        """Its exit status; negative: it did not end by itself."""
        self.stopping.set()
        self.service.send_signal(signal.SIGTERM)
        try:
            return self.service.wait(20)
        except subprocess.TimeoutExpired:
            self.service.kill()
            return self.service.wait()

    def faults(self):
        """What is wrong with what was seen."""
        seen = {event["id"]: event for event in self.log("request")}
        yield from self.wrong
        for name in self.lost & set(seen):
            yield f"{name}: was read, and has no answer"
        for name in self.answered - set(seen):
            yield f"{name}: has an answer, and is not in the log"
        for name in set(seen) - self.answered - self.aborted - self.lost:
            yield f"{name}: is in the log, and nobody sent it"
        # Of who hangs up behind the answer libmicrohttpd may not know it.
        away = self.aborted | self.hung_up
        for name, event in seen.items():
            if not event["answered"] and name not in away:
                yield f"{name}: was not answered, says the log: {event}"


class Client(threading.Thread):
    def __init__(self, life, number, count):
        super().__init__()
        self.life, self.number, self.count = life, number, count
        self.rng = random.Random(number)
        self.socket = None
        self.last = None  # the name of what was asked before

    def close(self, reset=False):
        if self.socket is not None:
            self.life.note(self.life.hung_up, self.last)
            if reset:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
            self.socket.close()
        self.socket = None

    def abort(self, data, name):
        """A part of the request, or all of it, and away."""
        self.life.note(self.life.aborted, name)
        self.socket.sendall(data[:self.rng.randrange(1, len(data) + 1)])
        self.close(self.rng.random() < 0.5)

    def receive(self):
        """(status, body, whether to keep the connection); None: not a byte."""
        response = http.client.HTTPResponse(self.socket)
        try:
            response.begin()
        except (http.client.RemoteDisconnected, ConnectionError):
            return None
        body = response.read()
        return response.status, body, not response.will_close

    def ask(self, request, data, name):
        in_time = False
        try:
            self.socket.sendall(data)
            in_time = not self.life.stopping.is_set()
        except ConnectionError:
            pass  # the answer may be there nevertheless
        try:
            answer = self.receive()
        except (http.client.HTTPException, ConnectionError) as error:
            raise Wrong(f"a part of the answer: {error!r}") from error
        if answer is None:
            self.life.note(self.life.lost, name)
            self.close()
            if in_time:
                raise Wrong("no answer, though it was sent before SIGTERM")
            return
        self.life.note(self.life.answered, name)
        self.last = name
        status, body, keep = answer
        if status != request[3]:
            raise Wrong(f"{status} {body[:80]!r} to {data[:200]!r}")
        if not keep or self.rng.random() < 0.1:
            self.close()
        if request[4] is not None:
            request[4](body)

    def once(self, i):
        name = f"{self.number}-{i}"
        request = self.rng.choice(self.rng.choice([GOOD, GOOD, BAD]))(self.life, self.rng)
        data = encode(request, name, "localhost")
        if self.socket is None:
            self.socket = socket.create_connection(self.life.address, 30)
        if self.rng.random() < 0.15:
            self.abort(data, name)
        else:
            self.ask(request, data, name)

    def run(self):
        for i in range(self.count):
            try:
                self.once(i)
            except ConnectionError:
                self.close()
                if self.life.stopping.is_set():
                    return
            except (Wrong, OSError, ValueError, IndexError) as error:
                self.life.wrong.append(f"{self.number}-{i}: {error!r}")
                self.close()
        self.close()


def run_once(modulus, command, seed, seconds, soak=False):
    """SIGTERM after so many seconds, or, if that is None, when all is asked."""
    run = Run(modulus, command)
    count = REQUESTS if seconds is None else sys.maxsize
    clients = [Client(run, seed * CONNECTIONS + i, count) for i in range(CONNECTIONS)]
    for client in clients:
        client.start()
    if soak:
        run.soak(seconds)
    elif seconds is not None:
        time.sleep(seconds)
    else:
        for client in clients:
            client.join()
    status = run.stop()
    for client in clients:
        client.join()
    faults = list(run.faults())
    if status != 0:
        faults.append(f"its exit status is {status}")
        faults += map(json.dumps, run.log("stop"))
    for fault in faults:
        print(f"round {seed}: {fault}", file=sys.stderr)
    return run, not faults


def main(mode, *args):
    rounds = int(args[0]) if mode == "stop" else 1
    modulus, *command = args[mode != "load":]
    counts = dict.fromkeys(["answered", "aborted", "lost"], 0)
    good = True
    for seed in range(rounds):
        # Any moment is as good, so it does not matter how fast the machine is.
        seconds = 0.05 + 0.4 * random.Random(seed).random() if mode == "stop" else None
        if mode == "soak":
            seconds = int(args[0])
        run, fine = run_once(int(modulus, 16), command, seed, seconds, mode == "soak")
        good = good and fine
        for name in counts:
            counts[name] += len(getattr(run, name))
    print(rounds, "rounds:", ", ".join(f"{n} {name}" for name, n in counts.items()))
    return 0 if good and counts["answered"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
