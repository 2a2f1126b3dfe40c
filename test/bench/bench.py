#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure hsmsign beside the bare PKCS #11 loop and others.

    bench.py [--quick] [--rounds N] [--out DIR]

Every contender is a process that waits for commands (bench.h).  In each round
all of them do the same, one after the other, for a fraction of a second; a
ratio is taken within a round, and the median of all rounds counts.  So what
else the machine does meets all of them alike.

Prints one table; with --out writes bench.json and bench.svg to DIR.  Fails if
a signature failed, or a figure is far from its target.  --quick: everything
once, as short as can be, nothing judged: a test that the benchmarks work
(TAP).  HSMSIGN_BENCH_PKCS11_PROVIDER: pkcs11-provider's module, if it is not
where OpenSSL looks.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # none beside the source
import chart  # noqa: E402

ENV = os.environ
KEYS = pathlib.Path(ENV["HSMSIGN_TOKEN"])
OBJECTS = {"rsa": "rsa2048", "pss": "rsa2048", "ec": "p256"}
THREADS = (1, 8, 32, 64)
# A figure this far beyond its target fails; machines are noisy.
MARGIN = 0.8


class Setting:
    """What is measured, how long, and where files go."""

    def __init__(self, quick, rounds, work):
        self.quick, self.work = quick, work
        self.rounds = 1 if quick else rounds
        self.rows, self.lines, self.failed = [], {}, []
        self.provider = find_pkcs11_provider()

    def row(self, what, value, least=None, most=None, margin=MARGIN, note=""):
        """A figure, its target, if any, and how far off it fails; 0: never."""
        met = (least is None or value >= least) and (most is None or value <= most)
        far = (least is not None and value < least * margin) or (
            most is not None and margin > 0 and value > most / margin
        )
        target = f">= {least}" if least is not None else f"<= {most}" if most is not None else ""
        self.rows.append(
            {"what": what, "value": value, "target": target, "met": met, "note": note}
        )
        if far and not self.quick:
            self.failed.append(what)


def find_pkcs11_provider():
    path = ENV.get("HSMSIGN_BENCH_PKCS11_PROVIDER")
    if path is None:
        said = subprocess.run(["openssl", "version", "-m"], capture_output=True, text=True, check=True)
        path = re.search('"(.*)"', said.stdout).group(1) + "/pkcs11.so"
    return path if os.path.exists(path) else None


def token_env(work, token, sessions=0):
    """The token's PKCS #11 module, and the environment that it wants.

    "softhsm"; "instant" answers at once; "slow": that, 2 ms for each call;
    "slow-softhsm": SoftHSM, 2 ms for each call.  sessions: at most so many.
    """
    env = {
        **ENV,
        "SOFTHSM2_CONF": str(work / "softhsm2.conf"),
        "HSMSIGN_BENCH_MODULE": ENV["SOFTHSM2_MODULE"],
        "OPENSSL_CONF": "/dev/null",
    }
    if token == "softhsm":
        return ENV["SOFTHSM2_MODULE"], env
    if token == "instant":
        return ENV["HSMSIGN_BENCH_TOKEN"], env
    env["HSMSIGN_SHIM_DELAY_US"] = "2000"
    env["HSMSIGN_SHIM_MODULE"] = (
        ENV["SOFTHSM2_MODULE"] if token == "slow-softhsm" else ENV["HSMSIGN_BENCH_TOKEN"]
    )
    if sessions:
        env["HSMSIGN_SHIM_MAX_SESSIONS"] = str(sessions)
    return ENV["HSMSIGN_SHIM"], env


def provider_conf(work, module, provider):
    """An openssl.cnf with the default provider and that one."""
    conf = work / f"{provider.replace('/', '_')}-{os.path.basename(module)}.cnf"
    lines = [
        "openssl_conf = init", "[init]", "providers = providers",
        "[providers]", "default = default_section", "tested = tested_section",
        "[default_section]", "activate = 1",
        "[tested_section]", f"module = {provider}",
        "identity = " + os.path.basename(provider).removesuffix(".so"),
        f"pkcs11-module-path = {module}", "pkcs11-module-token-pin = 1234",
        "activate = 1",
    ]  # fmt: skip
    if provider != ENV["HSMSIGN_PROVIDER"]:
        # Its default is 5, which slows it down.
        lines.insert(-1, "pkcs11-module-cache-sessions = 256")
    conf.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(conf)


class Contender:
    """One process of the program bench, and what it measured."""

    def __init__(self, setting, name, alg, token, sessions=0, wrapper=()):
        module, env = token_env(setting.work, token, sessions)
        key, uri = OBJECTS[alg], f"pkcs11:token=demo;object={OBJECTS[alg]};type=private"
        if name == "raw":
            kind, where = "raw", f"{module} {key}"
        elif name in ("floor", "software key"):
            kind, where = ("floor" if name == "floor" else "evp"), str(KEYS / f"{key}.key")
        else:
            kind, where = "evp", uri
            path = ENV["HSMSIGN_PROVIDER"] if name == "hsmsign" else setting.provider
            env["OPENSSL_CONF"] = provider_conf(setting.work, module, path)
        self.name, self.results = name, []
        self.process = subprocess.Popen(
            [*wrapper, ENV["HSMSIGN_BENCH"], kind, alg, where, str(KEYS / f"{key}.pub")],
            env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if self.process.stdout.readline() != "ready\n":
            sys.exit(f"bench: {name} with {alg} on {token} makes no valid signature")

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"bench: {self.name} did not answer: {command}")
        return json.loads(answer)

    def values(self, field):
        return [result[field] for result in self.results]

    def median(self, field="rate"):
        return statistics.median(self.values(field))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()  # pkcs11-provider with SoftHSM may crash here


def interleave(asked, rounds):
    """asked: [(contender, command)].  One round more comes first, to warm up."""
    for contender, _ in asked:
        contender.results = []
    for turn in range(rounds + 1):
        first = turn % len(asked)
        for contender, command in asked[first:] + asked[:first]:
            result = contender.ask(command)
            if isinstance(result, dict) and result["failures"]:
                sys.exit(f"bench: {contender.name}: a signature failed: {command}")
            if turn > 0:
                contender.results.append(result)


def ratio(a, b, field="rate"):
    """Of one contender to another, round by round."""
    return statistics.median(x / y for x, y in zip(a.values(field), b.values(field)))


def run_command(setting, threads, seconds=0.4):
    return f"run {threads} 10 2" if setting.quick else f"run {threads} {seconds} 0"


def run_all(setting, everyone, threads):
    """What takes microseconds: short turns, so that all meet the same noise."""
    command = run_command(setting, threads, 0.05)
    rounds = 1 if setting.quick else 8 * setting.rounds
    interleave([(c, command) for c in everyone.values()], rounds)


def known(setting, *names):
    return [n for n in names if n != "pkcs11-provider" or setting.provider]


def measure_latency(setting):
    """2 ms for each call: the more threads, the more calls at once."""
    names = known(setting, "raw", "hsmsign", "software key", "pkcs11-provider")
    tested = known(setting, "hsmsign", "pkcs11-provider")
    least = dict(zip(THREADS, (0.97, 0.99, 0.99, 0.99)))
    everyone = {name: Contender(setting, name, "rsa", "slow") for name in names}
    for threads in THREADS:
        interleave([(c, run_command(setting, threads)) for c in everyone.values()], setting.rounds)
        for name, c in everyone.items():
            setting.lines.setdefault(name, []).append((threads, c.median()))
        for name in tested:
            setting.row(
                f"2 ms per call, {threads} threads: {name}, rate of raw's",
                ratio(everyone[name], everyone["raw"]),
                least=least[threads] if name == "hsmsign" else None,
                note=f"{everyone[name].median():,.0f}/s, raw {everyone['raw'].median():,.0f}/s",
            )
    for name in tested:
        setting.row(
            f"2 ms per call, 64 threads: {name}, 99th percentile of raw's",
            ratio(everyone[name], everyone["raw"], "p99"),
            most=1.2 if name == "hsmsign" else None,
            margin=0,
            note=f"{everyone[name].median('p99'):.1f} ms, raw {everyone['raw'].median('p99'):.1f} ms",
        )
    for c in everyone.values():
        c.close()


def measure_limits(setting):
    """More threads than the token allows sessions; raw has one thread for each."""
    for sessions, threads, least in ((16, 64, 0.98), (1, 8, 0.95), (2, 8, 0.95), (3, 8, 0.95)):
        raw = Contender(setting, "raw", "rsa", "slow")
        ours = Contender(setting, "hsmsign", "rsa", "slow", sessions)
        interleave(
            [(raw, run_command(setting, sessions)), (ours, run_command(setting, threads))],
            setting.rounds,
        )
        limit = f"{sessions} sessions, {threads} threads"
        setting.row(
            f"{limit}: rate of raw's with {sessions} threads",
            ratio(ours, raw),
            least=least,
            note=f"{ours.median():,.0f}/s, no failure",
        )
        # Of all who wait, each has the same share of the rate.
        waits = [r["longest"] * r["rate"] / threads / 1000 for r in ours.results]
        raws = [r["longest"] * r["rate"] / sessions / 1000 for r in raw.results]
        setting.row(
            f"{limit}: longest wait, of the fair share",
            statistics.median(waits),
            most=2 if sessions == 16 else None,
            margin=0,
            note=f"raw's longest signature {statistics.median(raws):.2f} of its share",
        )
        raw.close()
        ours.close()


def measure_provider(setting):
    """A token that answers at once: what is left is the provider's own cost."""
    for alg in ("rsa", "ec"):
        names = known(setting, "floor", "hsmsign", "pkcs11-provider", "raw")
        everyone = {name: Contender(setting, name, alg, "instant") for name in names}
        for threads in (1, 8):
            run_all(setting, everyone, threads)
            for name in names[1:-1]:
                setting.row(
                    f"no latency, {alg.upper()}, {threads} threads: {name}, rate of the floor's",
                    ratio(everyone[name], everyone["floor"]),
                    least=0.8 if name == "hsmsign" else None,
                    note=f"{everyone[name].median():,.0f}/s, {everyone[name].median('cpu_us'):.1f}"
                    f" us of CPU; floor {everyone['floor'].median():,.0f}/s,"
                    f" {everyone['floor'].median('cpu_us'):.1f} us",
                )
        for c in everyone.values():
            c.close()


def measure_softhsm(setting):
    for alg in ("rsa", "ec"):
        names = known(setting, "raw", "hsmsign", "software key", "pkcs11-provider")
        everyone = {name: Contender(setting, name, alg, "softhsm") for name in names}
        for threads in (1, 8):
            run_all(setting, everyone, threads)
            for name in names[1:]:
                setting.row(
                    f"SoftHSM, {alg.upper()}, {threads} threads: {name}, rate of raw's",
                    ratio(everyone[name], everyone["raw"]),
                    note=f"{everyone[name].median():,.0f}/s",
                )
        for c in everyone.values():
            c.close()


def own_cost(path):
    """Instructions that callgrind counted in hsmsign.so itself."""
    names, cost, ours, skip = {}, 0, False, False
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("ob="):
                number, _, name = line[3:].strip().partition(" ")
                names.setdefault(number, name)
                ours = names[number].endswith("/hsmsign.so")
            elif line.startswith("cob="):
                number, _, name = line[4:].strip().partition(" ")
                names.setdefault(number, name)
            elif line.startswith("calls="):
                skip = True  # the next line is the callee's cost
            elif re.match(r"[0-9+*-]", line):
                if ours and not skip:
                    cost += int(line.split()[1])
                skip = False
    return cost


def measure_instructions(setting):
    counts = (1, 2) if setting.quick else (100, 600)
    for alg in ("rsa",) if setting.quick else ("rsa", "ec", "pss"):
        costs = []
        for count in counts:
            out = setting.work / f"callgrind.{alg}.{count}"
            wrapper = ("valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}")
            contender = Contender(setting, "hsmsign", alg, "instant", wrapper=wrapper)
            contender.ask(f"run 1 1000 {count}")
            contender.close()
            costs.append(own_cost(out))
        setting.row(
            f"own instructions for a signature, {alg.upper()}",
            (costs[1] - costs[0]) / (counts[1] - counts[0]),
            most=700,
            margin=0.5,
        )


def measure_documents(setting):
    ours = Contender(setting, "hsmsign", "rsa", "softhsm")
    software = Contender(setting, "software key", "rsa", "softhsm")
    for megabytes in (1,) if setting.quick else (1, 32, 1024):
        rounds = min(setting.rounds, 7) if megabytes > 32 else 4 * setting.rounds
        interleave([(c, f"document {megabytes}") for c in (ours, software)], rounds)
        setting.row(
            f"document of {megabytes} MB by updates: time of a software key's",
            statistics.median(a / b for a, b in zip(ours.results, software.results)),
            most=1.02 if megabytes == 1024 else None,
            note=f"{statistics.median(ours.results):.3f} s",
        )
    ours.close()
    software.close()


def seconds_of(command, env):
    began = time.perf_counter()
    done = subprocess.run(command, env=env, close_fds=False, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench: {command}: {done.stderr.decode(errors='replace')}")
    return time.perf_counter() - began


def verify_cms(setting, path, document):
    subprocess.run(
        ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", path,
         "-content", document, "-CAfile", str(KEYS / "ca.pem"), "-purpose", "any",
         "-out", "/dev/null"],
        env={**ENV, "OPENSSL_CONF": "/dev/null"}, check=True, capture_output=True,
    )  # fmt: skip


def measure_cold(setting):
    """A process that signs once; 2 ms for each call."""
    module, env = token_env(setting.work, "slow-softhsm")
    ours_env = {**env, "OPENSSL_CONF": provider_conf(setting.work, module, ENV["HSMSIGN_PROVIDER"])}
    document = setting.work / "document"
    document.write_bytes(bytes(100000))
    for alg, least in (("rsa", 0.9), ("ec", 0.7)):
        key = OBJECTS[alg]
        cert, bare_out, our_out = KEYS / f"{key}.pem", setting.work / "bare", setting.work / "ours"
        bare = [ENV["HSMSIGN_BENCH_COLD"], module, key, alg, KEYS / f"{key}.key", cert,
                document, bare_out]  # fmt: skip
        ours = ["openssl", "cms", "-sign", "-binary", "-md", "sha256", "-in", document,
                "-signer", cert, "-outform", "DER", "-out", our_out,
                "-inkey", f"pkcs11:token=demo;object={key};type=private"]  # fmt: skip
        times = [
            (seconds_of(bare, env), seconds_of(ours, ours_env))
            for _ in range(setting.rounds * 2 + 1)
        ][1:]
        verify_cms(setting, bare_out, document)
        verify_cms(setting, our_out, document)
        setting.row(
            f"cold cms -sign at 2 ms per call, {alg.upper()}: bare program's time of ours",
            statistics.median(a / b for a, b in times),
            least=least,
            note=f"{1000 * statistics.median(b for _, b in times):.1f} ms, "
            f"bare {1000 * statistics.median(a for a, _ in times):.1f} ms",
        )


def measure_memory(setting):
    """The peak of a process that signs 20 times in each thread."""
    for threads, most in ((1, 0.5), (64, 1.0)):
        peaks = {"raw": [], "hsmsign": [], "software key": []}
        for _ in range(1 if setting.quick else 5):
            for name, of_name in peaks.items():
                contender = Contender(setting, name, "rsa", "slow")
                contender.ask(f"run {threads} 1000 20")
                of_name.append(contender.ask("memory") / 1024)
                contender.close()
        median = {name: statistics.median(of_name) for name, of_name in peaks.items()}
        setting.row(
            f"peak memory, {threads} threads: MB over raw's",
            median["hsmsign"] - median["raw"],
            most=most,
            note=", ".join(f"{name} {mb:.1f} MB" for name, mb in median.items()),
        )


MEASURES = (
    measure_latency,
    measure_limits,
    measure_provider,
    measure_softhsm,
    measure_instructions,
    measure_documents,
    measure_cold,
    measure_memory,
)


def make_work(work):
    """Tokens of our own: SoftHSM writes to them at each login."""
    shutil.copytree(KEYS / "tokens", work / "tokens")
    conf = work / "softhsm2.conf"
    conf.write_text(
        f"directories.tokendir = {work / 'tokens'}\nobjectstore.backend = file\n"
        "log.level = ERROR\n",
        encoding="utf-8",
    )
    subprocess.run(
        ["softhsm2-util", "--delete-token", "--token", "second"],
        env={**ENV, "SOFTHSM2_CONF": str(conf)}, check=True, capture_output=True,
    )  # fmt: skip


def print_table(rows):
    width = max(len(row["what"]) for row in rows)
    for row in rows:
        value = f"{row['value']:.2f}" if abs(row["value"]) < 100 else f"{row['value']:.0f}"
        met = "" if not row["target"] else "met" if row["met"] else "MISSED"
        print(f"{row['what']:{width}}  {value:>7}  {row['target']:>7}  {met:6}  {row['note']}")


def write_files(setting, out):
    out.mkdir(parents=True, exist_ok=True)
    said = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True)
    report = {
        "openssl": said.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "rounds": setting.rounds,
        "rows": setting.rows,
        "rates at 2 ms per call, over threads": setting.lines,
    }
    (out / "bench.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if not setting.lines:
        return
    (out / "bench.svg").write_text(
        chart.svg(
            "RSA-2048 signatures per second; each PKCS #11 call takes 2 ms",
            "threads, one EVP_PKEY", "signatures per second", setting.lines,
        ), encoding="utf-8",
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--only", help="names of measurements, for a look at one: latency,cold")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        setting = Setting(args.quick, args.rounds, pathlib.Path(work))
        make_work(setting.work)
        for measure in MEASURES:
            if not args.only or measure.__name__.removeprefix("measure_") in args.only.split(","):
                measure(setting)
        if args.out:
            write_files(setting, args.out)
    if args.quick:
        results = [row["what"] for row in setting.rows]
        if setting.provider is None:
            results.append("pkcs11-provider # SKIP it is not installed")
        for number, result in enumerate(results, 1):
            print(f"ok {number} - {result}")
        print(f"1..{len(results)}")
        return 0
    print_table(setting.rows)
    if setting.provider is None:
        print("pkcs11-provider is not installed: not compared")
    for what in setting.failed:
        print(f"far from its target: {what}")
    return 1 if setting.failed else 0


if __name__ == "__main__":
    sys.exit(main())
