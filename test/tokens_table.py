#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the README's table of tokens from what test_tokens.sh wrote.

  tokens_table.py RESULTS...                  prints the table
  tokens_table.py --into README.md RESULTS... writes it between the markers
  tokens_table.py --in README.md RESULTS...   whether it has the rows of these
                                              results, word for word

RESULTS is what HSMSIGN_TOKENS named while the tests ran; each line is token, its
version, OpenSSL's version, kind of key, what was done, and the result, separated
by tabs: "works", "padded here", "fails", or "no: " and the reason.  The worst
of several for the same cell counts.  A file that has a failure in it makes no
table.
"""
import argparse
import sys

from programs_table import replace

BEGIN = "<!-- tokens: made by test/tokens_table.py -->"
END = "<!-- tokens: end -->"
TOKENS = {
    "softhsm": "SoftHSM",
    "nss": "NSS softokn",
    "opencryptoki": "opencryptoki, soft token",
    "tpm2": "tpm2-pkcs11, swtpm",
    "p11-kit": "p11-kit client, SoftHSM behind",
}
KINDS = {"rsa2048": "RSA", "p256": "P-256", "p384": "P-384", "ed25519": "Ed25519"}
ECDSA = ["p256", "p384"]
OTHER_PSS = {"pss-mgf1": "MGF1 with SHA-1", "pss-sha3": "SHA-3"}
COLUMNS = ["token", "version", "OpenSSL", "RSA", "PSS", "other PSS", "ECDSA", "Ed25519",
           "keygen", "certificates", "threads", "fork"]
GOOD = ["works", "padded here"]


def read(names):
    """Returns {(token, version, openssl): {(kind, what): result}}."""
    rows = {}
    for name in names:
        with open(name, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                fields = line.rstrip("\n").split("\t")
                if len(fields) != 6:
                    raise ValueError(f"{name}:{number}: {len(fields)} fields, not 6")
                token, version, openssl, kind, what, result = fields
                known = token in TOKENS and kind in KINDS
                if not known or not (result in GOOD + ["fails"] or result.startswith("no: ")):
                    raise ValueError(f"{name}:{number}: not known: {token}, {kind}, {result}")
                if result == "fails":
                    raise ValueError(f"failed: {token} {version}: {kind}, {what}")
                cells = rows.setdefault((token, version, openssl), {})
                if cells.get((kind, what), "works") in GOOD:
                    cells[kind, what] = result
    if not rows:
        raise ValueError("no results")
    return rows


def kinds(cells, what, among=tuple(KINDS)):
    """The kinds with which something works: yes (with all that were tried), or which."""
    tried = [kind for kind in among if (kind, what) in cells]
    good = [KINDS[kind] for kind in tried if cells[kind, what] in GOOD]
    return ", ".join(good) or "no"


def yes(cells, kind, what):
    """Whether one thing works."""
    return "yes" if cells.get((kind, what)) in GOOD else "no"


def always(cells, what):
    """Whether one thing works with each kind with which it was tried."""
    tried = [result for (_, other), result in cells.items() if other == what]
    return "yes" if tried and all(result in GOOD for result in tried) else "no"


def pss(cells, what):
    """Whether the token does it, or hsmsign pads."""
    result = cells.get(("rsa2048", what), "no")
    return result if result == "padded here" else yes(cells, "rsa2048", what)


def other_pss(cells):
    """With digests that tokens may not do."""
    done = {name: pss(cells, what) for what, name in OTHER_PSS.items()}
    if len(set(done.values())) == 1:
        return next(iter(done.values()))
    return ", ".join(f"{name}: {text}" for name, text in done.items())


def fork(cells):
    """Whether parent and child sign at once, or the child alone."""
    both = always(cells, "fork")
    return "child alone" if both == "no" and always(cells, "child") == "yes" else both


def row(key, cells):
    """One line of the table."""
    token, version, openssl = key
    columns = [TOKENS[token], version, openssl, yes(cells, "rsa2048", "pkcs1"),
               pss(cells, "pss"), other_pss(cells), kinds(cells, "ecdsa", ECDSA),
               yes(cells, "ed25519", "eddsa"), kinds(cells, "keygen"),
               kinds(cells, "import-cert"), always(cells, "threads"), fork(cells)]
    return "| " + " | ".join(columns) + " |"


LEGEND = """\
Made from test results by `test/tokens_table.py`. RSA: RSASSA-PKCS1-v1_5. PSS:
with SHA-256; other PSS: with another digest for MGF1, and with SHA-3; yes: by the
token, padded here: by hsmsign, signed with CKM_RSA_X_509. keygen: `hsmsign
keygen` makes such keys. certificates: `hsmsign import-cert` stores them for such
keys. threads: eight sign with one key. fork: parent and child sign, or the child
alone. With each key that the token's own tool made, `openssl` dgst, pkeyutl, req and
cms (but Ed25519: pkeyutl, req) and `hsmsign` keys, selfsign and sign work, and a
signature takes two calls.
"""


def lines(rows):
    """The rows in the table's order."""
    order = list(TOKENS)
    keys = sorted(rows, key=lambda key: (order.index(key[0]), key[1:]))
    return [row(key, rows[key]) for key in keys]


def table(rows):
    """The table in Markdown, and what its words mean."""
    head = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return "\n".join(head + lines(rows)) + "\n\n" + LEGEND


def compare(text, rows):
    """That text has these rows; one of another version is not compared."""
    for line in lines(rows):
        start = " | ".join(line.split(" | ")[:3]) + " | "
        there = [other for other in text.splitlines() if other.startswith(start)]
        if not there:
            print(f"another version: {start.strip('| ')}")
        elif there != [line]:
            raise ValueError(f"the table has\n  {there[0]}\nand the results are\n  {line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", metavar="README.md")
    parser.add_argument("--in", dest="within", metavar="README.md")
    parser.add_argument("results", nargs="+", metavar="RESULTS")
    options = parser.parse_args()
    try:
        rows = read(options.results)
        name = options.into or options.within
        if not name:
            sys.stdout.write(table(rows))
            return 0
        with open(name, encoding="utf-8") as file:
            text = file.read()
        if options.within:
            compare(text, rows)
            return 0
        text = replace(text, table(rows), BEGIN, END)
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        print(f"tokens_table.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
