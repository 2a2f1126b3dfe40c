#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hsmsignd beside the bare PKCS #11 loop.

    service.py [--seconds S] [--rounds N] [--workers N]

With wrk, SoftHSM, RSA-2048: the rate and the latencies of signatures over 32
connections, and the rate of C_SignInit and C_Sign in two threads (the contender
"raw" of bench.c).  They run in turn, each alone, and the medians count.  Then
GET / while 8 clients send 70 MiB each, the resident memory, and the time from
the start to the first signature.  Prints a table with the targets.
"""
import argparse
import base64
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOKEN = os.environ["HSMSIGN_TOKEN"]
MODULE = os.environ["SOFTHSM2_MODULE"]
KEY = "rsa2048"
CONNECTIONS = 32
CLIENTS = 8


def cpu(pid):
    """Seconds that the process has computed."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def body(path, size, action):
    data = base64.b64encode(os.urandom(size)).decode()
    fields = {"action": action, "hash_algorithm": "sha256", "signature_type": "cms"}
    fields["data_to_be_signed" if action == "sign" else "encoded_contents"] = data
    with open(path, "w", encoding="ascii") as file:
        json.dump(fields, file)
    return path


class Service:
    def __init__(self, work):
        self.began = time.monotonic()
        environment = {
            **os.environ, "HSM_MODULE": MODULE, "HSM_PIN": "1234",
            "HSM_KEY": f"pkcs11:token=demo;object={KEY};type=private",
            "HSM_CERT": f"{TOKEN}/{KEY}.pem", "HSM_CHAIN": f"{TOKEN}/ca.pem",
        }
        self.log = os.path.join(work, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([os.environ["HSMSIGND"], "--port", "0"],
                                            stderr=log, env=environment)
        self.port = self.find_port()

    def find_port(self):
        while self.process.poll() is None:
            with open(self.log, encoding="utf-8") as log:
                for line in log:
                    if '"listening"' in line and line.endswith("\n"):
                        return json.loads(line)["port"]
            time.sleep(0.002)
        sys.exit("hsmsignd does not start")

    def post(self, data):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("POST", "/sign", data, {"Content-Type": "application/json"})
        status = connection.getresponse().status
        connection.close()
        if status != 200:
            sys.exit(f"hsmsignd answers {status}")

    def wrk(self, connections, seconds, path, name=None):
        environment = {**os.environ, **({"BODY": name} if name else {})}
        before = cpu(self.process.pid)
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s",
             os.path.join(HERE, "service.lua"), f"http://127.0.0.1:{self.port}{path}"],
            capture_output=True, text=True, check=True, env=environment)
        rate, mean, p99, bad = map(float, done.stdout.splitlines()[-1].split())
        if bad:
            sys.exit(f"{bad:.0f} answers are not 200:\n{done.stdout}")
        took = (cpu(self.process.pid) - before) / (rate * seconds)
        return rate, mean, p99, took

    def memory(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1000
        return 0

    def send_all(self, name, meanwhile):
        """What meanwhile() gives, again and again while CLIENTS send the file."""
        with open(name, "rb") as file:
            data = file.read()
        clients = [threading.Thread(target=self.post, args=(data,))
                   for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        got = []
        while any(client.is_alive() for client in clients):
            got.append(meanwhile())
        for client in clients:
            client.join()
        return got

    def get_root(self):
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()
        took = (time.monotonic() - began) * 1000
        time.sleep(0.002)
        return took

    def look_at_memory(self):
        time.sleep(0.01)
        return self.memory()

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Bare:
    def __init__(self):
        self.process = subprocess.Popen(
            [os.environ["HSMSIGN_BENCH"], "raw", "rsa", f"{MODULE} {KEY}",
             f"{TOKEN}/{KEY}.pub"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def sign(self, seconds):
        """The rate, and the time that a signature computes."""
        before = cpu(self.process.pid)
        self.process.stdin.write(f"run 2 {seconds} 100000000\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        return said["rate"], (cpu(self.process.pid) - before) / said["signatures"]


def row(case, value, target, good):
    print(f"{case:<44} {value:>14} {target:>10} {'' if good else '  missed'}")


def rates(service, bare, work, options):
    cases = {
        "raw 1 kB": (body(f"{work}/raw", 1000, "sign"), 0.80),
        "pkcs7 1 kB": (body(f"{work}/pkcs7", 1000, "sign_pkcs7"), 0.70),
        "pkcs7 1 MB": (body(f"{work}/big", 1000000, "sign_pkcs7"), None),
    }
    found = {case: [] for case in cases}
    alone = []
    for _ in range(options.rounds):
        for case, (name, _) in cases.items():
            alone.append(bare.sign(options.seconds))
            found[case].append(service.wrk(CONNECTIONS, options.seconds, "/sign", name))
    loop, spent = (statistics.median(column) for column in zip(*alone))
    row("bare loop, 2 threads, /s", f"{loop:,.0f}", "", True)
    row("bare loop, CPU time, ms", f"{spent * 1000:.2f}", "", True)
    for case, (_, share) in cases.items():
        rate, mean, p99, took = (statistics.median(column) for column in zip(*found[case]))
        row(f"{case}, {CONNECTIONS} connections, /s", f"{rate:,.0f}",
            "" if share else "300", bool(share) or rate >= 300)
        row(f"{case}, CPU time, ms", f"{took * 1000:.2f}", "", True)
        if share:
            row(f"{case}, of the bare loop", f"{rate / loop:.2f}", f"{share:.2f}",
                rate / loop >= share)
            row(f"{case}, p99 of the mean", f"{p99 / mean:.2f}", "3.00", p99 <= 3 * mean)


def start(work):
    data = json.dumps({"action": "sign", "data_to_be_signed": "MQA="}).encode()
    took = []
    for _ in range(5):
        service = Service(work)
        service.post(data)
        took.append(time.monotonic() - service.began)
        service.stop()
    row("start to first signature, s", f"{statistics.median(took):.3f}", "0.300",
        statistics.median(took) <= 0.3)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", help="hsmsignd's option")
    options = parser.parse_args()
    if options.workers:
        os.environ["SIGNING_SERVICE_WORKERS"] = options.workers
    if "HSMSIGND" not in os.environ or shutil.which("wrk") is None:
        sys.exit("service.py needs hsmsignd and wrk: nothing is measured")
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory() as work:
        shutil.copytree(f"{TOKEN}/tokens", f"{work}/tokens")
        os.environ["SOFTHSM2_CONF"] = f"{work}/softhsm2.conf"
        with open(f"{work}/softhsm2.conf", "w", encoding="utf-8") as conf:
            conf.write(f"directories.tokendir = {work}/tokens\n"
                       "objectstore.backend = file\nlog.level = ERROR\n")
        start(work)
        service = Service(work)
        idle = service.memory()
        row("resident memory, idle, MB", f"{idle:.1f}", "16", idle <= 16)
        rates(service, Bare(), work, options)
        waits = sorted(service.send_all(body(f"{work}/70", 70 << 20, "sign_pkcs7"),
                                        service.get_root))
        p99 = waits[int(len(waits) * 0.99)]
        row(f"GET / beside {CLIENTS} x 70 MiB, p99, ms", f"{p99:.1f}", "20", p99 <= 20)
        # 100 MiB of body, which base64 makes of three quarters.
        most = max(service.send_all(body(f"{work}/100", (75 << 20) - 1000, "sign_pkcs7"),
                                    service.look_at_memory))
        row(f"resident memory, {CLIENTS} x 100 MiB, MB", f"{most:.1f}", "32", most <= 32)
        service.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
