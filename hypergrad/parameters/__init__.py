"""The kinds of hyperparameter, and the map of each to the unit interval.

Notation: x is a value in natural units, u its coordinate in [0, 1], σ(t) = 1 / (1 + exp(-t)) and logit its inverse.

=================  =============================================  =====================================
parameter          u -> x                                         dx/du
=================  =============================================  =====================================
Float              (1 - u) low + u high                           high - low
Float, log         exp((1 - u) ln low + u ln high)                x ln(high / low)
Float, logit       σ((1 - u) logit low + u logit high)            x (1 - x) (logit high - logit low)
Int                low + s floor(u n), n = (high - low) / s + 1   none
Int, log           exp((1 - u) ln(low - s/2) + u ln(high + s/2)), none
                   rounded to low, low + s, ...
Categorical        choices[floor(u n)], n choices                 none
Ordinal            the same, in their order                       none
Fidelity           as Float, log or not; ints are rounded         none
=================  =============================================  =====================================

A value of an Int, a Categorical or an Ordinal owns an interval of u, its bin; its own coordinate is the middle.
The bins have equal widths, those of a logarithmic Int equal widths per ratio.
"""

from hypergrad.parameters.discrete import Categorical, Discrete, Int, Ordinal
from hypergrad.parameters.fidelity import Fidelity
from hypergrad.parameters.real import Float

__all__ = ["Categorical", "Discrete", "Fidelity", "Float", "Int", "Ordinal", "Parameter"]

Parameter = Float | Int | Categorical | Ordinal | Fidelity
