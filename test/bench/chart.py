# SPDX-License-Identifier: Apache-2.0
"""An SVG of lines over logarithmic axes, for bench.py."""
import math

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 160, 40, 50
# Okabe and Ito's, which people who are blind to some colours tell apart.
COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7")


def svg(title, x_name, y_name, lines):
    """lines: {name: [(x, y), ...]}, all values above zero; returns the text."""
    xs = sorted({x for points in lines.values() for x, _ in points})
    ys = [y for points in lines.values() for _, y in points]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def across(x):
        share = math.log(x / xs[0]) / math.log(xs[-1] / xs[0])
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def up(y):
        share = (math.log10(y) - low) / (high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="14">{title}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 12}">{x_name}</text>',
        f'<text x="14" y="{HEIGHT / 2}" transform="rotate(-90 14 {HEIGHT / 2})"'
        f' text-anchor="middle">{y_name}</text>',
    ]
    for power in range(low, high + 1):
        y = up(10**power)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#cccccc"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**power:,}</text>')
    for x in xs:
        out.append(
            f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 18}"'
            f' text-anchor="middle">{x}</text>'
        )
    # The names at the right end, moved apart where lines end together.
    ends = sorted(lines, key=lambda name: up(lines[name][-1][1]))
    at = -math.inf
    for number, name in enumerate(lines):
        points = [(across(x), up(y)) for x, y in lines[name]]
        colour = COLOURS[number % len(COLOURS)]
        dashes = ' stroke-dasharray="6 5"' if number == 0 else ""
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        for x, y in points:
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
    for name in ends:
        at = max(at + 15, up(lines[name][-1][1]) + 4)
        colour = COLOURS[list(lines).index(name) % len(COLOURS)]
        out.append(f'<text x="{WIDTH - RIGHT + 8}" y="{at:.1f}" fill="{colour}">{name}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
