#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One line of a log as Meson writes them, for count.py.

  log_result.py NAME STATUS FILE    FILE has what was printed
"""
import json
import sys

name, status, path = sys.argv[1:]
with open(path, encoding="utf-8", errors="replace") as file:
    text = file.read()
result = "OK" if status == "0" else "ERROR"
print(json.dumps({"name": name, "result": result, "stdout": text}))
