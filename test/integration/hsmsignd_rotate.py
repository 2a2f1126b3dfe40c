#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Keys, certificates and PINs replaced under clients of hsmsignd.

    hsmsignd_rotate.py SECONDS PORT PROFILES PIN-FILE SET-PIN LOG NAME=URI=CERT...

Each second, but not before LOG says that the service uses the PIN of before,
another of the keys becomes that of the profile "default", by a new file
PROFILES, and the token's PIN is changed, by the command SET-PIN OLD NEW, and
PIN-FILE with it.  Meanwhile CLIENTS do what Document Engine does for cades: ask
for the certificate, have attributes signed that name it, and verify the
signature by that certificate's key.
"""
import base64
import hashlib
import http.client
import json
import os
import random
import re
import subprocess
import sys
import threading
import time

from hsmsignd_load import verify_rsa

CLIENTS = 16


def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    size = bytes([n]) if n < 128 else (n.to_bytes((n.bit_length() + 7) // 8, "big"))
    return bytes([tag]) + (size if n < 128 else bytes([128 + len(size)]) + size) + body


def oid(text):
    return tlv(6, bytes.fromhex(text))


def attribute(name, value):
    return tlv(0x30, oid(name), tlv(0x31, value))


def attributes(cert, digest):
    """Signed attributes of a CAdES signature, a DER SET OF."""
    ess = tlv(0x30, tlv(0x30, tlv(0x30, tlv(4, hashlib.sha256(cert).digest()))))
    parts = [attribute("2a864886f70d010903", oid("2a864886f70d010701")),
             attribute("2a864886f70d010904", tlv(4, digest)),
             attribute("2a864886f70d010910022f", ess)]
    return tlv(0x31, *sorted(parts))


def modulus_of(path):
    text = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-modulus"], check=True,
                          capture_output=True, text=True).stdout
    return int(text.split("=")[1], 16)


def der_of(path):
    return subprocess.run(["openssl", "x509", "-in", path, "-outform", "DER"], check=True,
                          capture_output=True).stdout


class Clients:
    def __init__(self, port, certs):
        self.port, self.certs = port, certs
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.failures, self.by_key, self.held = [], {}, 0

    def ask(self, connection, body):
        connection.request("POST", "/sign", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise ValueError(f"{answer.status} {text!r} for {body['action']}")
        return text

    def once(self, connection, rng):
        answer = json.loads(self.ask(connection, {"action": "get_certificates"}))
        pem = base64.b64decode(answer["certificates"][0]).decode()
        cert = base64.b64decode("".join(re.findall(r"^[^-].*$", pem, re.M)))
        data = attributes(cert, hashlib.sha256(rng.randbytes(100)).digest())
        # So that a rotation comes in between, for some.
        held = rng.random() < 0.05
        if held:
            time.sleep(1.5)
        signature = self.ask(connection, {
            "action": "sign", "signature_type": "cades", "hash_algorithm": "sha256",
            "data_to_be_signed": base64.b64encode(data).decode()})
        name, modulus = self.certs[cert]
        verify_rsa(modulus, signature, data)
        with self.lock:
            self.by_key[name] = self.by_key.get(name, 0) + 1
            self.held += held

    def run(self, number):
        rng = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.ending.is_set():
            try:
                self.once(connection, rng)
            except Exception as e:  # pylint: disable=broad-except # each is a failure
                with self.lock:
                    self.failures.append(repr(e))
                connection.close()


def replace(path, text):
    with open(path + ".new", "w", opener=lambda p, f: os.open(p, f, 0o600), encoding="ascii") as file:
        file.write(text)
    os.rename(path + ".new", path)


class Token:
    """
    Whose PIN is changed.  At a login SoftHSM writes the token as that process
    knows it: the PIN of before is back if another process changed it meanwhile,
    and who starts just then does not see the token.
    """

    def __init__(self, command, pin):
        self.command, self.pins, self.reverted = command.split(), [pin], 0

    def try_change(self, old, new):
        for _ in range(20):
            done = subprocess.run([*self.command, old, new], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, check=False)
            if "No slot with" not in done.stderr:
                break
            time.sleep(0.1)
        if done.returncode != 0 and "CKR_PIN_INCORRECT" not in done.stderr:
            raise ValueError(f"the PIN is not changed: {done.stderr}")
        return done.returncode == 0

    def change(self):
        """Whether the token had the PIN that was set the last time."""
        new = f"{random.SystemRandom().randrange(10 ** 8):08}"
        for old in self.pins[:-4:-1]:
            if self.try_change(old, new):
                same = old == self.pins[-1]
                self.reverted += not same
                self.pins.append(new)
                return same
        raise ValueError("the token takes none of the last PINs")


def wait_for_login(log, count):
    """Until so many PINs were tried: whether the last one was taken."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with open(log, encoding="ascii") as file:
            said = [line for line in file if '"event":"pin"' in line]
        taken = ["logging in anew" in line for line in said
                 if "logging in anew" in line or "does not work" in line]
        if len(taken) >= count:
            return taken[-1]
        time.sleep(0.05)
    raise ValueError("the service does not take the new PIN")


def rotate(seconds, profiles, pin_file, token, log, keys):
    """How often it was done."""
    rotations = 0
    taken = True
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        _, uri, cert = keys[rotations % len(keys)]
        replace(profiles, json.dumps({"profiles": {"default": {"key": uri, "cert": cert}}}))
        rotations += 1
        if token.change() and not taken:
            raise ValueError("the service refused the PIN that the token has")
        replace(pin_file, token.pins[-1] + "\n")
        time.sleep(1)
        taken = wait_for_login(log, rotations)
    return rotations


def main(seconds, port, profiles, pin_file, set_pin, log, *keys):
    keys = [key.split("=", 1) for key in keys]
    keys = [(name, *rest.rsplit("=", 1)) for name, rest in keys]
    certs = {der_of(cert): (name, modulus_of(cert)) for name, _, cert in keys}
    clients = Clients(int(port), certs)
    threads = [threading.Thread(target=clients.run, args=(i,)) for i in range(CLIENTS)]
    with open(pin_file, encoding="ascii") as file:
        token = Token(set_pin, file.read().strip())
    for thread in threads:
        thread.start()
    try:
        rotations = rotate(int(seconds), profiles, pin_file, token, log, keys)
    finally:
        clients.ending.set()
        for thread in threads:
            thread.join()
    print(f"{sum(clients.by_key.values())} signatures, {clients.held} of which waited over a rotation; "
          f"{rotations} rotations, {token.reverted} of which SoftHSM took back; by {clients.by_key}; "
          f"{len(clients.failures)} failures")
    for failure in clients.failures[:10]:
        print(failure)
    ok = not clients.failures and len(clients.by_key) == len(keys) and clients.held > 0
    sys.exit(0 if ok else 1)


main(*sys.argv[1:])
