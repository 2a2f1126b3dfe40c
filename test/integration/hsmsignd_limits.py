#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What keeps hsmsignd alive: each MODE is a test and prints nothing if it is well.

    hsmsignd_limits.py idle PORT       1,000 connections that say nothing, a good one
    hsmsignd_limits.py drip PORT       1,000 that send a byte now and then, a good one
    hsmsignd_limits.py head PORT S     a head in bytes is cut off after S seconds
    hsmsignd_limits.py body PORT S     so is a body
    hsmsignd_limits.py crowd PORT N    more than the N that may be open; good ones
    hsmsignd_limits.py rate PORT N     more than N signatures a second are answered 503
    hsmsignd_limits.py user PORT N     those of a user with a rate 429, of others not
    hsmsignd_limits.py activate PROGRAM...       a socket of ours, as systemd hands it over
    hsmsignd_limits.py notify PROGRAM...         what a service manager is told
    hsmsignd_limits.py metrics PORT    /metrics is what it should be, and counts
"""
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

BODY = json.dumps({"action": "sign", "data_to_be_signed": base64.b64encode(b"data").decode()}).encode()


def fail(*what):
    print(*what, file=sys.stderr)
    sys.exit(1)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def exchange(sock, body=BODY, path="/sign", method="POST", more=""):
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    sock.sendall(head.encode() + body)
    answer = b""
    while part := sock.recv(65536):
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def sign(port, **how):
    with connect(port) as sock:
        return exchange(sock, **how)


def good(port):
    begin = time.monotonic()
    status, _, body = sign(port)
    if status != 200:
        fail("a good one is answered", status, body)
    return time.monotonic() - begin


def raise_files(n):
    import resource  # pylint: disable=import-outside-toplevel
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < n:
        fail("this machine allows", hard, "files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))


def idle(port, text=b""):
    raise_files(2000)
    sockets = [connect(int(port)) for _ in range(1000)]
    for sock in sockets:
        sock.sendall(text)
    for _ in range(20):
        good(int(port))
        for sock in sockets:
            try:
                sock.sendall(text[-1:])
            except OSError:
                fail("one was cut off early")
    for sock in sockets:
        sock.close()


def drip(port):
    idle(port, b"POST /sign HTTP/1.1\r\nHost: x\r\nX-Long: aaa")


def cut(port, begin, seconds):
    seconds = int(seconds)
    with connect(int(port)) as sock:
        start = time.monotonic()
        sock.sendall(begin)
        sock.settimeout(0.2)
        while time.monotonic() - start < seconds + 20:
            try:
                sock.sendall(b"a")
                if sock.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        took = time.monotonic() - start
        if not seconds <= took < seconds + 15:
            fail("it was cut off after", took)
    good(int(port))


def head(port, seconds):
    cut(port, b"POST /sign HTTP/1.1\r\nHost: x\r\nX-Long: a", seconds)


def body(port, seconds):
    cut(port, b"POST /sign HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{\"x\":\"", seconds)


def crowd(port, n):
    raise_files(2000)
    sockets = []
    for _ in range(int(n) * 3):
        sockets.append(connect(int(port)))
        if len(sockets) % 16 == 0:
            good(int(port))
    for sock in sockets:
        sock.close()


def rate(port, n):
    statuses = [sign(int(port)) for _ in range(int(n) * 4)]
    refused = [a for a in statuses if a[0] == 503]
    if not refused or any(b"Retry-After" not in a[1] for a in refused):
        fail("none was answered 503 with Retry-After", [a[0] for a in statuses])
    if sum(a[0] == 200 for a in statuses) < int(n):
        fail("too few were signed")
    time.sleep(1.1)
    good(int(port))


def user(port, n):
    def body_of(name):
        return json.dumps({**json.loads(BODY), "signing_token": f"{name}:SECRET-OF-{name.upper()}"}).encode()
    answers = [sign(int(port), body=body_of("slow")) for _ in range(int(n) * 4)]
    if not any(a[0] == 429 and b"Retry-After" in a[1] for a in answers) or answers[0][0] != 200:
        fail("no 429 for a user with a rate", [a[0] for a in answers])
    for _ in range(int(n) * 4):
        if sign(int(port), body=body_of("fast"))[0] != 200:
            fail("a user without one was refused")


def wait_signed(port, process, log):
    for _ in range(300):
        try:
            if sign(port)[0] == 200:
                return
        except OSError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.1)
    process.kill()
    with open(log, encoding="utf-8") as file:
        fail("it did not sign:", file.read())


def activate(*command):
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]

    def hand_over():
        os.dup2(sock.fileno(), 3)
        os.set_inheritable(3, True)  # it may have been that one
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.environ["LISTEN_FDS"] = "1"
        os.execv(command[0], command)
    with open("activate.log", "w", encoding="utf-8") as log:
        pid = os.fork()
        if pid == 0:
            os.dup2(log.fileno(), 2)
            hand_over()
    for _ in range(300):  # it waits in the backlog
        if sign(port)[0] == 200:
            break
        time.sleep(0.1)
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        fail("it ended with", status)
    with sock:
        sock.settimeout(0.1)  # ours is still there, and nobody else's


def notify(*command):
    with tempfile.TemporaryDirectory() as work:
        path = work + "/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, \
                open("notify.log", "w", encoding="utf-8") as log:
            sock.bind(path)
            sock.settimeout(30)
            process = subprocess.Popen(command, stderr=log, env={**os.environ, "NOTIFY_SOCKET": path})
            said = [sock.recv(1000).decode()]
            process.send_signal(signal.SIGHUP)
            said += [sock.recv(1000).decode() for _ in range(2)]
            process.send_signal(signal.SIGTERM)
            said.append(sock.recv(1000).decode())
            status = process.wait(30)
    if [s.split("\n")[0] for s in said] != ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"] or status != 0:
        fail(said, status)
    if not re.search(r"^MONOTONIC_USEC=\d+$", said[1], re.M):
        fail("a reload without its time")


def read_metrics(port):
    status, head_, text = sign(int(port), method="GET", path="/metrics", body=b"")
    if status != 200 or b"text/plain; version=0.0.4" not in head_:
        fail("/metrics is answered", status, head_)
    values, types = {}, {}
    for line in text.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name in types:
                fail("two types of", name)
            types[name] = kind
        elif not line.startswith("# HELP "):
            match = re.fullmatch(r'([a-z_]+)(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (-?\d+(\.\d+)?)', line)
            if match is None or line.split(" ")[0] in values:
                fail("no sample, or twice:", line)
            base = re.sub("_(bucket|sum|count)$", "", match[1])
            if types.get(match[1], types.get(base)) is None:
                fail("a sample without its type:", line)
            values[line.split(" ")[0]] = float(match[4])
    return values


def metrics(port):
    before = read_metrics(port)
    for _ in range(5):
        good(int(port))
    sign(int(port), body=b"{")
    sign(int(port), more="Content-Encoding: gzip\r\n")
    after = read_metrics(port)

    def grew(name, by):
        if after.get(name, 0) - before.get(name, 0) != by:
            fail(name, before.get(name), after.get(name))
    grew('hsmsignd_requests_total{action="sign",status="200"}', 5)
    grew('hsmsignd_requests_total{action="none",status="400"}', 1)
    grew('hsmsignd_requests_total{action="none",status="415"}', 1)
    grew("hsmsignd_signature_seconds_count", 5)
    grew('hsmsignd_signature_seconds_bucket{le="+Inf"}', 5)
    expires = after["hsmsignd_certificate_expires_seconds"]
    if after["hsmsignd_hsm_up"] != 1 or after["hsmsignd_generation"] < 1 or expires < 86400:
        fail(after)
    for name in ("sessions", "sessions_in_use", "retries_total", 'hsm_errors_total{class="busy"}'):
        if "hsmsignd_" + name not in after:
            fail("there is no", name)
    if after["hsmsignd_sessions"] < 1:
        fail("no session is open")


globals()[sys.argv[1]](*sys.argv[2:])
