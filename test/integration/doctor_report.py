#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether a report of hsmsign doctor agrees with the simulator it is of.

doctor_report.py RULES SWITCHES REPORT: what cloudhsm_rules prints, what
HSMSIGN_CLOUDHSM_SIM was, what hsmsign doctor --report wrote.  Every rule that
is not documented has its row, under the simulator's name and with its value;
each row that was probed says what the simulator was told to do.
"""
import json
import re
import sys

# What no probe is safe for, or what it would take a cluster to see.
NEVER = {
    'session-count', 'pin-without-user', 'wrong-pin', 'locked', 'random-handles',
    'availability-check', 'sync', 'replace', 'lose-login', 'lose-handles',
    'certificate-off', 'certificate-full', 'certificate-size',
}
MILLISECONDS = {'us': 1e-3, 'ms': 1, 's': 1e3}


def milliseconds(time):
    number, unit = re.fullmatch(r'([0-9.]+) ?(us|ms|s)', time).groups()
    return float(number) * MILLISECONDS[unit]


def read_rules(path, switches):
    """Name -> (normal value, value now) of what is not documented."""
    words = switches.split(',') if switches else []
    strict = words[:1] == ['strict']
    given = dict(word.split('=') for word in words[strict:])
    rules = {}
    with open(path, encoding='ascii') as file:
        next(file)
        for line in file:
            switch, normal, hard, known, _, test = line.rstrip('\n').split('\t')
            if not re.search(r'\b[AOI]\b|contested|unknown', known):
                continue
            if switch == '-':
                rules[test.removeprefix('test_')] = (None, None)
            else:
                rules[switch] = (normal, given.get(switch, hard if strict else normal))
    return rules, given


def hidden(name, rules, given):
    """What cannot be seen as the simulator is now."""
    if name == 'certificate-visible':
        return given.get('certificates') != 'on'
    return name == 'fork' and rules['fork-hang'][1] == 'on'


def check_row(row, normal, now):
    name, verdict = row['name'], row['verdict']
    seen = row['observed']
    if normal is None: # no switch bends it
        assert verdict == 'confirmed', row
        return
    if name in ('login', 'latency'):
        assert verdict == 'measured' and milliseconds(seen) >= milliseconds(now), row
    elif name in ('eddsa', 'ml-dsa'):
        assert verdict == 'measured', row
        assert (now in seen.split()) if now != '0' else True, row
    else:
        same = int(seen, 0) == int(now, 0) if seen.startswith('0x') else seen == now
        assert same, (row, now)
        assert verdict == ('confirmed' if now == normal else 'refuted'), (row, now)


def main():
    rules, given = read_rules(sys.argv[1], sys.argv[2])
    with open(sys.argv[3], encoding='ascii') as file:
        report = json.load(file)
    rows = {row['name']: row for row in report['rows']}
    assert len(rows) == len(report['rows'])
    assert rows.keys() == rules.keys(), rows.keys() ^ rules.keys()
    for name, (normal, now) in rules.items():
        row = rows[name]
        assert normal is None or row['assumed'] == normal, row
        if name in NEVER or hidden(name, rules, given):
            assert row['verdict'] == 'not probed' and row['reason'], row
        else:
            check_row(row, normal, now)
    probed = sum(row['verdict'] != 'not probed' for row in rows.values())
    print(f'{probed} of {len(rows)} rows probed')


main()
