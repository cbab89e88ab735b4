"""Rows of hypergrad.ad.primitives.control."""

from __future__ import annotations

import numpy as np
from examples import Example, M, P, V, ex

import hypergrad as hg

ROWS: dict[str, list[Example]] = {
    "cond": [
        ex(lambda x: hg.cond(x[0] > 0, np.sin, np.cos, x), V, exact=False),
        ex(lambda x, y: hg.cond(np.sum(x) > 9, lambda: x * y, lambda: x - y**2), V, P, exact=False),
    ],
    "scan": [
        ex(lambda x: hg.scan(lambda c, r: (np.sin(c) * r, c), x[0], x)[1], V, exact=False),
        ex(
            lambda x, y: hg.scan(lambda c, r: (c * y[:3] + r, None), y[1:], x, reverse=True)[0],
            M,
            P,
            exact=False,
        ),
    ],
}
ROWS["custom"] = [
    ex(hg.custom_rule(np.sin, jvp=lambda args, ts: (np.sin(args[0]), np.cos(args[0]) * ts[0])), V),
    ex(hg.custom_rule(np.dot, vjp=lambda a, b: (np.dot(a, b), lambda c: (c * b, c * a))), V, P),
]
