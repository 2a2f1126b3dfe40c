#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A token behind a socket, and what can happen to a socket, by chance.

    chaos.py SERVER_SOCKET PROXY_SOCKET SECONDS SEED DEADLINE_MS \\
        SERVER... -- PROGRAM...

Starts SERVER, which listens on SERVER_SOCKET, and a proxy in front of it, then
PROGRAM (chaos_sign), and for SECONDS does one of these after the other:

    kill    SIGKILL for the server and its children; a new one after a while
    refuse  the proxy cuts what is connected and accepts nobody for a while
    cut     the connection ends in the midst of the next message
    slow    what is sent comes in small pieces, each late

all of which the seed decides.  Then PROGRAM's standard input ends.  Its output
is judged by this rule, and the result is TAP:

    A call may fail only if the token was away, without a break, for at least
    DEADLINE_MS between the begin and the end of that call.  Away is: from
    before the kill (or the first refusal) until a connection is accepted
    again.  After the end none may fail.

p11-kit's client, up to 0.24.1 at least, can lose threads for ever: of those that
wait for an answer one reads the end of the connection, and the others wait on
a condition that nobody signals any more (a debugger shows them in there, below
C_SignInit or C_Sign).  hsmsign cannot finalise a module that it is inside of,
and says so.  What comes from then on is skipped, and counted as that.
"""
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

LONG = 1.5  # an outage that is meant to be too long, in deadlines
SHORT = (0.05, 0.5)  # seconds of one that is not
CALM = (1.0, 2.0)  # between two, in which every call gets through
PAUSES = 0.64  # seconds; hsmsign's longest pause, twice: the token may be back in it
END = 120  # seconds that PROGRAM has to end in, or it hangs
STUCK = "calls to it do not end"  # hsmsign on a module that cannot be restarted


def schedule(seconds, seed, deadline):
    """(calm, kind, seconds, number): the same for the same seed."""
    rng = random.Random(seed)
    events, total = [], 0.0
    while total < seconds:
        calm, kind = rng.uniform(*CALM), rng.choice(["kill", "refuse", "cut", "slow"])
        length = 0.0 if kind == "cut" else rng.uniform(*SHORT)
        # One of six, and the second of all, is too long.
        if len(events) % 6 == 1:
            kind = rng.choice(["kill", "refuse"])
            length = deadline * LONG
        events.append((calm, kind, length, rng.randrange(1, 200)))
        total += calm + length
    return events


class Proxy:
    def __init__(self, path, server):
        self.server, self.lock = server, threading.Lock()
        self.pairs = set()
        self.refusing = self.slow = False
        self.budget = None  # bytes until the cut
        self.cuts = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            behind = socket.socket(socket.AF_UNIX)
            with self.lock:
                try:
                    if self.refusing:
                        raise OSError
                    behind.connect(self.server)
                except OSError:
                    client.close()
                    behind.close()
                    continue
                pair = (client, behind)
                self.pairs.add(pair)
            for a, b in (pair, pair[::-1]):
                threading.Thread(target=self.pump, args=(a, b, pair), daemon=True).start()

    def pump(self, source, sink, pair):
        try:
            while data := source.recv(65536):
                with self.lock:
                    budget = self.budget
                    if budget is not None:
                        self.budget = budget - len(data) if budget >= len(data) else None
                if budget is not None and budget < len(data):
                    sink.sendall(data[:budget])
                    self.cuts += 1
                    break
                while self.slow and data:
                    time.sleep(0.002)
                    sink.sendall(data[:50])
                    data = data[50:]
                sink.sendall(data)
        except OSError:
            pass
        self.end(pair)

    def end(self, pair):
        with self.lock:
            self.pairs.discard(pair)
        for s in pair:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut_all(self):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self.end(pair)


class Server:
    def __init__(self, path, command):
        self.path, self.command = path, command
        self.process = None

    def start(self):
        with open("server.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        for _ in range(600):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(self.path)
                    return
                except OSError:
                    time.sleep(0.02)
        raise SystemExit("the server does not listen")

    def kill(self):
        if self.process is None:
            return
        # It has a process for each client, all in its session.
        subprocess.run(["pkill", "-KILL", "-s", str(self.process.pid)], check=False)
        self.process.wait()
        self.process = None
        if os.path.exists(self.path):
            os.unlink(self.path)


def make_chaos(events, proxy, server):
    """When the token was away, as (begin, end)."""
    away = []
    for calm, kind, length, number in events:
        time.sleep(calm)
        begin = time.monotonic()
        if kind == "kill":
            server.kill()
            time.sleep(length)
            server.start()
        elif kind == "refuse":
            proxy.refusing = True
            proxy.cut_all()
            time.sleep(length)
            proxy.refusing = False
        elif kind == "cut":
            proxy.budget = number
        else:
            proxy.slow = True
            time.sleep(length)
            proxy.slow = False
        end = time.monotonic()
        print(f"# {begin:.3f} {kind} for {end - begin:.3f} s")
        if kind in ("kill", "refuse"):
            away.append((begin, end))
    time.sleep(CALM[0])
    return away


def is_allowed(begin, end, away, deadline):
    return any(min(end, b) - max(begin, a) >= deadline - PAUSES for a, b in away)


class Tap:
    def __init__(self):
        self.count, self.bad = 0, 0

    def skip(self, sentence, why):
        self.count += 1
        print(f"ok {self.count} - {sentence} # SKIP {why}")

    def report(self, good, sentence, details=()):
        self.count += 1
        self.bad += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {sentence}")
        for line in list(details)[:20] if not good else ():
            print(f"# {line}")

    def finish(self):
        print(f"1..{self.count}")
        return self.bad != 0


def judge(tap, lines, away, deadline, status):
    """status: 0, or what became of the program."""
    calls, stuck = [], None
    for line in lines:
        if line.count(" ") < 4:
            continue  # it was aborted in the midst of it
        phase, _, begin, end, outcome = line.split(" ", 4)
        if STUCK in outcome:
            stuck = min(stuck or float("inf"), int(begin) / 1e6)
        calls.append((phase, int(begin) / 1e6, int(end) / 1e6, outcome, line))
    why = "p11-kit's client does not return from calls whose connection was cut"
    if stuck is not None:
        print(f"# at {stuck:.3f} {why}")
        calls = [c for c in calls if c[1] < stuck]
        tap.skip("sixteen threads sign, and end", why)
    else:
        tap.report(status == 0, "sixteen threads sign, and end", [f"status: {status}"])
    failed = [c for c in calls if c[3].startswith("failed")]
    wrong = [c[4] for c in calls if c[3] == "wrong"]
    during = [c for c in failed if c[0] == "during"]
    lost = [c[4] for c in during if not is_allowed(c[1], c[2], away, deadline)]
    after = [c for c in calls if c[0] == "after"]
    print(f"# {len(calls) - len(failed)} signatures, {len(during)} failures"
          f" ({len(lost)} not allowed), the longest call took"
          f" {max((c[2] - c[1] for c in calls), default=0):.3f} s")
    tap.report(len(calls) > len(failed) and not wrong,
               "every signature that is returned verifies", wrong)
    tap.report(not lost, "a call fails only if the token is away longer than the deadline",
               [f"away: {away}"] + lost)
    if stuck is not None:
        tap.skip("afterwards all is well in the same process", why)
    else:
        tap.report(after and all(c[3] == "ok" for c in after),
                   "afterwards all is well in the same process",
                   [c[4] for c in after if c[3] != "ok"])


def is_stuck():
    with open("signatures", encoding="utf-8", errors="replace") as lines:
        return any(STUCK in line for line in lines)


def main():
    server_path, proxy_path, seconds, seed, deadline = sys.argv[1:6]
    split = sys.argv.index("--")
    command, program = sys.argv[6:split], sys.argv[split + 1:]
    deadline = int(deadline) / 1e3
    tap, server = Tap(), Server(server_path, command)
    print(f"# HSMSIGN_CHAOS_SECONDS={seconds} HSMSIGN_CHAOS_SEED={seed}")
    events = schedule(float(seconds), int(seed), deadline)
    signer = None
    try:
        server.start()
        proxy = Proxy(proxy_path, server_path)
        with open("signatures", "wb") as out:
            signer = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=out)
        away = make_chaos(events, proxy, server)
        signer.stdin.close()
        try:
            status = signer.wait(timeout=10 if is_stuck() else END)
        except subprocess.TimeoutExpired:
            signer.send_signal(signal.SIGABRT)
            status = "it hangs"
        print(f"# {len(events)} events, {proxy.cuts} messages were cut")
        with open("signatures", encoding="utf-8", errors="replace") as lines:
            judge(tap, [line.rstrip("\n") for line in lines], away, deadline, status)
    finally:
        if signer is not None and signer.poll() is None:
            signer.kill()
        server.kill()
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
