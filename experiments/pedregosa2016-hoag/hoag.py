"""Algorithm 1 of Pedregosa (2016), with the adaptive step of its authors' code.

Notation: h(w, u) = mean log(1 + exp(-y xw)) + exp(u)/2 |w|^2 on training rows; F(u) = the mean logistic loss of
argmin_w h on validation rows; e_k the tolerance of outer step k.
"""

import numpy as np
from kit import logistic
from scipy.optimize import minimize

import hypergrad as hg

NEAR = 1e-3  # F is within 0.1 % of its least


def objective(w, u, data):
    """h."""
    return logistic.loss(w, data) + 0.5 * np.exp(u) * np.sum(w**2)


def problem(train, valid):
    """What is differentiated. Training is elsewhere: one step of length 0 stays at the weights that it is given."""

    def columns(batch):
        return {"x": batch["rows"].T, "y": batch["y"]}

    return hg.BilevelProblem(
        init=lambda hparams, rng: {"w": hparams["w"]},
        inner_loss=lambda params, hparams, batch: objective(params["w"], hparams["u"], columns(batch)),
        outer_loss=lambda params, hparams, batch: logistic.loss(params["w"], columns(batch)),
        train={"rows": train["x"].T, "y": train["y"]},
        valid={"rows": valid["x"].T, "y": valid["y"]},
        optimizer=hg.optim.SGD(lr=0.0),
        steps=1,
    )


class Inner:
    """L-BFGS on h, started from the last fit: counts evaluations, ends where the gradient's norm is small enough."""

    def __init__(self, train):
        self.w, self.count, self.missed = np.zeros(len(train["x"])), 0, 0.0
        self._value = hg.compile(hg.value_and_grad(lambda w, u: objective(w, u, train)))

    def norm(self, u):
        """Of the gradient at the present weights."""
        return float(np.linalg.norm(self._value(self.w, u)[1]))

    def fit(self, u, tolerance):
        """Improve the weights."""
        norm = np.inf

        def value(w):
            nonlocal norm
            found, gradient = self._value(w, u)
            self.count, norm, self.w = self.count + 1, float(np.linalg.norm(gradient)), w.copy()
            if norm <= tolerance:
                raise StopIteration
            return float(found), gradient

        try:
            options = {"ftol": 0.0, "gtol": 0.0, "maxfun": 2000, "maxiter": 2000}
            minimize(value, self.w, jac=True, method="L-BFGS-B", options=options)
        except StopIteration:
            pass
        self.missed = max(self.missed, norm / tolerance)


def tolerance(decrease, k, first, exact):
    """e_k, k = 1, 2, ..., no smaller than the exact search's."""
    decay = {"exact": exact, "quadratic": first / k**2, "cubic": first / k**3}
    return max(decay.get(decrease, first * 0.9 ** (k - 1)), exact)


def descend(train, valid, decrease, domain, start, first, exact, iterations):
    """u, inner gradients and Hessian products so far at each outer step; by how much a fit missed its tolerance."""
    task, inner, warm = problem(train, valid), Inner(train), {}
    scale, u, products = inner.norm(start), start, 0
    curvature, last, moved = None, None, 0.0
    path = []
    for k in range(1, iterations + 1):
        e = tolerance(decrease, k, first, exact)
        inner.fit(u, e * scale)
        method = hg.Implicit(solver="cg", tolerance=e, estimate=False, warm_start=warm)
        found = hg.hypergradient(task, {"u": u, "w": inner.w}, method, wrt="u", curve=0)
        products += found.stats["solver_products"]
        path.append([u, inner.count, products])
        slope = float(found.hypergradient["u"])
        if curvature is None:
            curvature = abs(slope) if abs(slope) > 1e-3 else 1.0  # the first step is of length 1
        elif found.value - e <= last[0] + last[1] * (1.0 + moved) - 0.5 * curvature * moved**2:
            curvature *= 0.95
        elif found.value > last[0]:
            curvature *= 2.0
        before, u = u, float(np.clip(u - slope / curvature, *domain))
        last, moved = (found.value, e), abs(u - before)
    return {"path": path, "missed": inner.missed}


def judged(truth, run):
    """The excess of F at each step, work so far, and work until F is near its least: first, and for good."""
    u, gradients, products = np.array(run["path"]).T
    excess = np.interp(u, truth["u"], truth["F"]) / truth["least"] - 1.0
    work, near = gradients + products, excess <= NEAR
    stays = np.logical_and.accumulate(near[::-1])[::-1]
    return {
        "excess": excess,
        "work": work,
        "whole": work[-1],
        "until": float(work[near.argmax()]) if near.any() else np.inf,
        "for good": float(work[stays.argmax()]) if stays.any() else np.inf,
        "gradients": gradients,
        "distance": abs(u[-1] - truth["best"]),
    }
