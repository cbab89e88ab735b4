# ruff: noqa: E501 - a table
"""Rows of hypergrad.ad.primitives.special."""

from __future__ import annotations

import numpy as np
import scipy.special as sp
from examples import Example, P, U, V, ex


def row(f, *points):
    return [ex(f, *(p if isinstance(p, tuple) else (p,)), exact=False) for p in points]


H = np.array([0.15, 0.4, 0.62, 0.9])

ROWS: dict[str, list[Example]] = {
    **{name: row(getattr(sp, name), V, V[0]) for name in ("erf", "erfc", "erfcx", "ndtr", "log_ndtr", "log_expit", "i0", "i1", "j0", "j1", "dawsn")},
    **{name: row(getattr(sp, name), P) for name in ("gammaln", "gamma", "psi", "y0", "y1", "k0", "k1", "k0e", "k1e", "expi", "exp1", "entr")},
    **{name: row(getattr(sp, name), V) for name in ("i0e", "i1e")},
    "rgamma": row(sp.rgamma, P, V, np.array([0.0, -1.0, -2.0, 0.5])),
    "erfinv": row(sp.erfinv, U), "erfcinv": row(sp.erfcinv, U + 1.0), "ndtri": row(sp.ndtri, H), "logit": row(sp.logit, H),
    "beta": row(sp.beta, (P, P[::-1])), "betaln": row(sp.betaln, (P, 2.0 * P), (P, P[0])),
    "gammainc": row(lambda x: sp.gammainc(np.array(1.7), x), P), "gammaincc": row(lambda x: sp.gammaincc(np.array([1.7, 0.4, 2.0, 1.0]), x), P),
    "xlogy": row(sp.xlogy, (V, P), (P[0], P)), "xlog1py": row(sp.xlog1py, (V, P)),
    "rel_entr": row(sp.rel_entr, (P, P[::-1] + 0.1)), "kl_div": row(sp.kl_div, (P, P[::-1] + 0.1)),
    **{name: row(lambda x, f=f: f(np.array(1.5), x), P) for name, f in {"jv": sp.jv, "yv": sp.yv, "iv": sp.iv, "kv": sp.kv, "ive": sp.ive, "kve": sp.kve}.items()},
    "betainc": row(lambda x: sp.betainc(np.array(1.7), np.array(2.4), x), H), "boxcox": row(sp.boxcox, (P, np.array([0.5, 2.0, -1.0, 0.0]))), "boxcox1p": row(sp.boxcox1p, (P, np.array([0.5, 2.0, -1.0, 0.0]))),
    "inv_boxcox": row(sp.inv_boxcox, (P, np.array(0.5)), (P, 0.1 * V)), "inv_boxcox1p": row(sp.inv_boxcox1p, (P, np.array(0.5)), (P, 0.1 * V)), "huber": row(sp.huber, (P, 1.3 * V), (P[0], V)),
    "pseudo_huber": row(sp.pseudo_huber, (P, V), (P[0], V)), "exprel": row(sp.exprel, V, np.array([0.0, 1e-9, -1e-20])),
    "hyp1f1": row(lambda x: sp.hyp1f1(np.array(1.5), np.array(2.5), x), V), "cosm1": row(sp.cosm1, V),
    "zeta": row(lambda x: _zeta(x), P),
}  # fmt: skip


def _zeta(x):
    from hypergrad.ad.primitives.special import SPECIAL
    from hypergrad.ad.trace import bind, is_traced

    return bind(SPECIAL["zeta"], np.array(2.0, x.dtype), x) if is_traced(x) else sp.zeta(x.dtype.type(2.0), x)
