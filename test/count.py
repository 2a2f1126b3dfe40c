#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Count what tests printed: count.py LOG.json... -> 'N passed, N failed'.

A log is Meson's testlog.json.  Each TAP line counts; a program that failed
without saying so in TAP (a crash, a time-out, a sanitizer's report) counts as
one failure.  Exits 1 if anything failed or nothing ran.
"""
import json
import re
import sys

passed = failed = skipped = 0
for log in sys.argv[1:]:
    with open(log, encoding="utf-8") as lines:
        for line in lines:
            test = json.loads(line)
            oks = bad = 0
            for tap in test.get("stdout", "").splitlines():
                if re.match(r"ok\b.*# *skip", tap, re.I):
                    skipped += 1
                    print(f"skipped: {test['name']}: {tap}")
                elif re.match(r"ok\b", tap):
                    oks += 1
                elif re.match(r"not ok\b", tap):
                    bad += 1
                    print(f"failed: {test['name']}: {tap}")
            if test["result"] == "OK" and oks + bad == 0:
                oks = 1
            if test["result"] in ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT") and bad == 0:
                bad = 1
                print(f"failed: {test['name']}: {test['result']}, see {log}")
            passed += oks
            failed += bad

tail = f", {skipped} skipped" if skipped else ""
print(f"{passed} passed, {failed} failed{tail}")
sys.exit(1 if failed or not passed else 0)
