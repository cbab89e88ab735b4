"""Rows of hypergrad.ad.primitives.softmax."""

from __future__ import annotations

import numpy as np
from examples import CUBE, EMPTY, Example, M, V, ex

import hypergrad as hg
from hypergrad.ad.primitives.softmax import log_sum_exp_p
from hypergrad.ad.trace import bind

ROWS: dict[str, list[Example]] = {
    "softmax": [
        ex(hg.nn.softmax, V), ex(hg.nn.softmax, M), ex(lambda x: hg.nn.softmax(x, axis=0), M),
        ex(lambda x: hg.nn.softmax(x, axis=1), CUBE), ex(lambda x: hg.nn.softmax(x[:, :2]), EMPTY),
    ],
    "log_sum_exp": [
        ex(hg.nn.log_softmax, V), ex(lambda x: hg.nn.log_softmax(x, axis=0), M),
        ex(lambda x: bind(log_sum_exp_p, x, axes=(0, 2)), CUBE),
        ex(lambda x: hg.nn.softmax_cross_entropy(x, np.array([2, 0])), M),
    ],
}  # fmt: skip
