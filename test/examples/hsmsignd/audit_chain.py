#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second opinion on an audit log of hsmsignd: audit_chain.py FILE...

Knows nothing but what hsmsignd(8) says of the chain.  Prints the last line's
seq and hash; exits 1 with a reason if the files are not one chain.  Without
FILE it is asked on standard input, a line of files at a time, and answers with
"good SEQ HASH" or "broken REASON".
"""
import hashlib
import json
import re
import sys

NONE = "0" * 64
LINE = re.compile(rb'(\{"seq":.*),"this":"([0-9a-f]{64})"\}', re.DOTALL)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def parse(text):
    """The line's members, or None if its hash is not its own or it is no JSON."""
    match = LINE.fullmatch(text)
    if match is None or sha256(match[1]) != match[2].decode():
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


class Broken(Exception):
    pass


def check(paths):
    """The last line's seq and hash."""
    seq, this = None, None
    for path in paths:
        rest = []
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        for number, text in enumerate(lines, 1):
            line = parse(text)
            if line is None:
                rest.append(text)
                if text.endswith(b'"}') or not b'{"seq":'.startswith(text[:7]) or not text:
                    raise Broken(f"{path}:{number}: it is no line, and none that is cut off")
                continue
            torn = sha256(b"\n".join(rest)) if rest else None
            if line.get("torn") != torn:
                raise Broken(f"{path}:{number}: torn is {line.get('torn')}, not {torn}")
            if seq is None and (line["seq"] == 1) != (line["prev"] == NONE):
                raise Broken(f"{path}:{number}: half a beginning")
            if seq is not None and (line["seq"], line["prev"]) != (seq + 1, this):
                raise Broken(f"{path}:{number}: does not follow seq {seq}")
            seq, this, rest = line["seq"], line["this"], []
        if not lines or (rest and path == paths[-1]):
            raise Broken(f"{path}: it does not end with a line")
    return f"{seq} {this}"


def answer():
    for line in sys.stdin:
        try:
            print("good", check(line.rstrip("\n").split("\t")), flush=True)
        except Broken as reason:
            print("broken", reason, flush=True)


if len(sys.argv) == 1:
    answer()
else:
    try:
        print(check(sys.argv[1:]))
    except Broken as reason:
        sys.exit(str(reason))
