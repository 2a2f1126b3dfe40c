#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Count what tests printed: 'N passed, N failed, N skipped'.

  count.py [--must] LOG... [--may LOG...]

A log is Meson's testlog.json.  Each TAP line counts; a program that failed
without saying so in TAP (a crash, a time-out, a sanitizer's report) counts as
one failure.  In a log behind --may a failure is a warning, and counts as
skipped.  Exits 1 if anything else failed or nothing passed.
"""
import json
import re
import sys

count = {"passed": 0, "failed": 0, "skipped": 0}
FAILED = ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT")


def say(kind, test, text):
    """One that did not pass, as it is counted."""
    word = kind
    if kind == "failed" and may:
        word, kind = "warning", "skipped"
    count[kind] += 1
    print(f"{word}: {test['name']}: {text}")


def count_test(test, log):
    """One line of a log."""
    passed = bad = skipped = 0
    for tap in test.get("stdout", "").splitlines():
        if re.match(r"ok\b.*# *skip", tap, re.I):
            skipped += 1
            say("skipped", test, tap)
        elif re.match(r"ok\b", tap):
            passed += 1
        elif re.match(r"not ok\b", tap):
            bad += 1
            say("failed", test, tap)
    if test["result"] in FAILED and bad == 0:
        say("failed", test, f"{test['result']}, see {log}")
    elif test["result"] == "OK" and passed + bad + skipped == 0:
        passed = 1
    count["passed"] += passed


may = False
for argument in sys.argv[1:]:
    if argument in ("--must", "--may"):
        may = argument == "--may"
        continue
    with open(argument, encoding="utf-8") as lines:
        for line in lines:
            count_test(json.loads(line), argument)
print(", ".join(f"{number} {kind}" for kind, number in count.items()))
sys.exit(1 if count["failed"] or not count["passed"] else 0)
