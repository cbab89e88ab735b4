"""hypergrad: hyperparameter optimisation whose trials return a value and its hypergradient."""

from hypergrad import nn, tree
from hypergrad.ad.api import grad, hessian, hvp, jacobian, jvp, stop_gradient, value_and_grad, vjp
from hypergrad.ad.check import check_grads
from hypergrad.ad.compiled import compile

__all__ = [
    "check_grads",
    "compile",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "nn",
    "stop_gradient",
    "tree",
    "value_and_grad",
    "vjp",
]
