#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a service of a compose file gets, with the caller's variables put in.

    compose.py FILE SERVICE environment     NAME=VALUE lines
    compose.py FILE SERVICE health          the command, an argument a line
"""
import os
import re
import sys

import yaml


def put_in(text):
    """${NAME}, ${NAME:-default} and $$, as compose does."""
    def value(match):
        if match.group(0) == "$$":
            return "$"
        return os.environ.get(match.group(1)) or match.group(2) or ""
    return re.sub(r"\$\$|\$\{(\w+)(?::-([^}]*))?\}", value, text)


def main():
    path, name, what = sys.argv[1:]
    service = yaml.safe_load(open(path))["services"][name]
    if what == "environment":
        for key, value in service["environment"].items():
            print(f"{key}={put_in(str(value))}")
    elif what == "health":
        kind, *command = service["healthcheck"]["test"]
        assert kind == "CMD"
        print("\n".join(put_in(word) for word in command))


main()
