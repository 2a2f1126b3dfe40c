#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the README's table of programs from what their tests wrote.

  programs_table.py RESULTS...                  prints the table
  programs_table.py --into README.md RESULTS... writes it between the markers

RESULTS are the files that HSMSIGN_RESULTS named while the tests ran, with one
or several versions of OpenSSL; each line is program, its version, OpenSSL's
version, key, way and result, separated by tabs.  A later line replaces an earlier one for the same cell.  The lines of
test_matrix.sh, on the commands of openssl, have seven fields: command, version,
key, way, where the public half is, result, verifiers; the worst result counts
for the cell.  A file that has a failure in it makes no table.
"""
import argparse
import sys

BEGIN = "<!-- programs: made by test/programs_table.py -->"
END = "<!-- programs: end -->"
WAYS = ["PEM", "URI"]
KEYS = {  # in the table's order
    "rsa2048": "RSA",
    "p256": "EC",
    "p256-bare": "EC alone",
    "ed25519": "Ed25519",
    "RSA": "RSA",
    "PSS, salt 0": "PSS with salt 0",
    "PSS, salt as the digest": "PSS with a digest's salt",
    "PSS, longest salt": "PSS with the longest salt",
    "EC": "EC",
    "Ed25519": "Ed25519",
    "ML-DSA": "ML-DSA",
}
ALL_PSS = [name for name in KEYS.values() if name.startswith("PSS")]
# In the order in which one counts before the next.
RESULTS = ["fails", "cannot", "wants the private key", "wants the public half", "works"]
MATRIX_RESULTS = {
    "FAILS": "fails",
    "limit": "wants the public half",
    "OpenSSL cannot": "cannot",
    "works": "works",
}


def matrix_line(rows, fields):
    """One line of test_matrix.sh."""
    program, version, key, way, _, result, _ = fields
    cells = rows.setdefault((program, "", version), {})
    if result == "skipped":
        return
    result = MATRIX_RESULTS[result]
    before = cells.get((key, way), "works")
    cells[key, way] = min(before, result, key=RESULTS.index)


def read(names):
    """Returns {(program, version, openssl): {(key, way): result}}."""
    rows = {}
    for name in names:
        with open(name, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                fields = line.rstrip("\n").split("\t")
                if len(fields) == 7:
                    matrix_line(rows, fields)
                    continue
                if len(fields) != 6:
                    raise ValueError(f"{name}:{number}: {len(fields)} fields, not 6")
                program, version, openssl, key, way, result = fields
                if key not in KEYS or way not in WAYS or result not in RESULTS:
                    raise ValueError(f"{name}:{number}: not known: {key}, {way}, {result}")
                rows.setdefault((program, version, openssl), {})[key, way] = result
    if not rows:
        raise ValueError("no results")
    failures = [
        f"{' '.join(row)}: {key}, {way}"
        for row, cells in rows.items()
        for (key, way), result in cells.items()
        if result == "fails"
    ]
    if failures:
        raise ValueError("failed: " + "; ".join(failures))
    return rows


def keys(cells, way):
    """What one way does: the keys that sign, and those that do not."""
    tried = [key for key in KEYS if (key, way) in cells]
    good = [KEYS[key] for key in tried if cells[key, way] == "works"]
    wants = [KEYS[key] for key in tried if cells[key, way] == "wants the private key"]
    public = [KEYS[key] for key in tried if cells[key, way] == "wants the public half"]
    if all(name in good for name in ALL_PSS):
        good = ["PSS" if name == ALL_PSS[0] else name for name in good if name not in ALL_PSS[1:]]
    good += [f"{name} (with its public half)" for name in public]
    text = ", ".join(good)
    if text and wants:
        text += f" (not {', '.join(wants)}: it wants the private key itself)"
    return text


def cell(version, cells):
    """What a version of a program does, by each way; the same ones together."""
    ways = {}
    for way in WAYS:
        text = keys(cells, way)
        if text:
            ways.setdefault(text, []).append(way)
    said = "; ".join(f"{', '.join(names)}: {text}" for text, names in ways.items())
    return f"{version} {said or 'no'}".strip()


LEGEND = """\
Made from test results by `test/programs_table.py`: the version of the program
where it has one of its own, and which keys sign by which way. PEM: the key is
named by a file that wraps its URI; URI: by the URI itself. EC alone: an EC key
whose token tells no public half. no: not with a software key in a `file:` URI
either. -: it was not tried. A way or a kind of key that is not there does not
work with a software key either, or was not tried; or it is told above.
"""


def minor(version):
    """OpenSSL's version as the table has it, to be compared: (3, 5)."""
    return tuple(int(part) for part in version.split(".")[:2])


def table(rows):
    """The table in Markdown, and what its words mean."""
    libraries = sorted({minor(openssl) for _, _, openssl in rows})
    programs = {}
    for (program, version, openssl), cells in rows.items():
        programs.setdefault(program, {})[minor(openssl)] = cell(version, cells)
    out = [
        "| program |" + "".join(f" OpenSSL {major}.{number} |" for major, number in libraries),
        "|---" * (len(libraries) + 1) + "|",
    ]
    for program in sorted(programs, key=str.lower):
        done = programs[program]
        out.append(f"| {program} |" + "".join(f" {done.get(library, '-')} |" for library in libraries))
    return "\n".join(out) + "\n\n" + LEGEND


def replace(text, made, begin=BEGIN, end=END):
    """text with what is between the markers replaced."""
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"it needs one line {begin} and one {end}")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}\n\n{made}\n{end}{after}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", metavar="README.md")
    parser.add_argument("results", nargs="+", metavar="RESULTS")
    options = parser.parse_args()
    try:
        made = table(read(options.results))
        if not options.into:
            sys.stdout.write(made)
            return 0
        with open(options.into, encoding="utf-8") as file:
            text = replace(file.read(), made)
        with open(options.into, "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        print(f"programs_table.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
