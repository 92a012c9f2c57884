#!/usr/bin/env python3
"""Draws docs/results.svg from the results.json of the CIFAR experiment.

usage: docs/plot_results.py RUN/results.json [...] > docs/results.svg

The files may be parts of one experiment: reports of all are taken. Standard library only.
"""

import json
import sys

DEMO = {"source": 0.787, "imprinted": 0.208, "dominant": 0.574}
OURS, PEER = "#2a6f97", "#e0a458"


def bars(x, title, groups, colors, legend):
    """One chart: groups of (label, values), at most two bars a group."""
    out = [f'<text x="{x}" y="28" class="t">{title}</text>']
    base, height = 250, 190
    for tick in (0, 25, 50, 75, 100):
        y = base - height * tick / 100
        out.append(f'<line x1="{x}" x2="{x + 420}" y1="{y}" y2="{y}" class="g"/>')
        out.append(f'<text x="{x - 8}" y="{y + 4}" class="a" text-anchor="end">{tick}</text>')
    step = 420 / len(groups)
    for i, (label, values) in enumerate(groups):
        left = x + i * step + (step - 72) / 2
        for j, value in enumerate(values):
            if value is None:
                continue
            tall = height * value
            bx = left + 37 * j
            out.append(f'<rect x="{bx:.1f}" y="{base - tall:.1f}" width="34" height="{tall:.1f}" '
                       f'fill="{colors[j]}"/>')
            out.append(f'<text x="{bx + 17:.1f}" y="{base - tall - 5:.1f}" class="a" '
                       f'text-anchor="middle">{100 * value:.1f}</text>')
        out.append(f'<text x="{left + 35:.1f}" y="{base + 18}" class="a" '
                   f'text-anchor="middle">{label}</text>')
    for j, name in enumerate(legend):
        lx = x + 150 * j
        out.append(f'<rect x="{lx}" y="282" width="12" height="12" fill="{colors[j]}"/>')
        out.append(f'<text x="{lx + 18}" y="293" class="a">{name}</text>')
    return out


def main(paths):
    if not paths:
        sys.exit(__doc__)
    cifar = {r["name"]: r for p in paths for r in json.load(open(p))["evaluations"]}
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 310" role="img" '
           'aria-label="Closed-set accuracy on CIFAR in comparison with the demo">',
           "<style>text{font-family:sans-serif;fill:#334}.t{font-size:16px;font-weight:600}"
           ".a{font-size:12px}.g{stroke:#dde}</style>",
           '<rect width="520" height="310" fill="#fff"/>']
    out += bars(50, "CIFAR, 30 of 100 classes a step: closed set (%)",
                [(n, (cifar[n]["closed_set"]["top1"] if n in cifar else None, DEMO[n]))
                 for n in ("source", "imprinted", "dominant")],
                (OURS, PEER), ("protopage", "the Keras demo"))
    out.append("</svg>")
    print("\n".join(out))


if __name__ == "__main__":
    main(sys.argv[1:])
