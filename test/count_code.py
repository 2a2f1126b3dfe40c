#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Count lines of C that are neither blank nor comment: count_code.py FILE..."""
import re
import sys

total = 0
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        code = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    total += sum(1 for line in code.splitlines() if line.strip())
print(total)
