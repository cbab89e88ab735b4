# ruff: noqa: E501 - tables
"""What of NumPy and scipy.special is differentiated: the table docs/numpy.md, made from `hypergrad.ad.dispatch`.

    python -m hypergrad.ad.coverage > docs/numpy.md

Every function of NumPy's main namespace, numpy.linalg and numpy.fft is accounted for: differentiated, of derivative zero,
usable as it is (it takes no traced values), or refused with an alternative.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from hypergrad.ad.refused import REFUSED

__all__ = ["NOTES", "PLAIN", "table", "unaccounted"]

# domain or convention, where it does not go without saying
NOTES: dict[str, str] = {
    "abs": "slope 0 at 0", "absolute": "slope 0 at 0; complex: Re(conj(z) t)/|z|", "sqrt": "slope 0 at 0", "cbrt": "slope 0 at 0",
    "power": "slope 0 at base 0 where it would be infinite; x**0 is constant", "float_power": "as power", "hypot": "slope 0 at (0, 0)",
    "arctan2": "slope 0 at (0, 0)", "maximum": "ties share the slope", "minimum": "ties share the slope", "fmax": "ties share the slope",
    "fmin": "ties share the slope", "max": "ties share the slope", "min": "ties share the slope", "amax": "ties share the slope",
    "amin": "ties share the slope", "clip": "half the slope on a bound", "std": "slope 0 for equal values", "prod": "right at zeros",
    "cumprod": "right at zeros", "sort": "follows the entries; ties in stable order", "partition": "follows the entries",
    "median": "follows the entries", "quantile": "every method; no weights",
    "percentile": "as quantile", "nanquantile": "as quantile", "nanpercentile": "as quantile", "interp": "x, xp and fp; on a knot the right-hand slope",
    "unwrap": "jumps have derivative zero", "where": "branches that are not taken give no NaN", "log": "inf at 0, as the limit",
    "pad": "every mode but empty; reflect_type even", "sinc": "series near 0", "convolve": "both operands", "correlate": "both operands",
    "mod": "slope 1 and -floor(x/y); jumps ignored", "remainder": "slope 1 and -floor(x/y); jumps ignored", "fmod": "as remainder, towards 0",
    "logaddexp": "no overflow", "nan_to_num": "slope 0 where replaced", "piecewise": "each piece sees its own entries only",
    "apply_along_axis": "one trace a slice", "einsum": "contracted in pairs as matrix products", "real_if_close": "real numbers only",
    "bincount": "weights; the integers are plain", "histogram": "weights; the values and bins are plain", "poly": "of roots", "polyfit": "full rank", "geomspace": "real ends of one sign", "modf": "slope 1 and 0; jumps ignored", "ldexp": "the integers have no slope", "tri": "plain data",
    "linalg.cholesky": "of one triangle, as NumPy reads it", "linalg.eigh": "values; vectors, and second derivatives, where values differ",
    "linalg.eigvalsh": "second derivatives where values differ", "linalg.svd": "values; vectors, and second derivatives, where values differ", "linalg.qr": "of full rank",
    "linalg.pinv": "constant rank", "linalg.lstsq": "constant rank; residuals of full rank", "linalg.det": "singular matrices too, to second order", "linalg.norm": "slope 0 at 0; every order",
    "linalg.matrix_rank": "derivative zero", "fft.irfft": "imaginary parts at 0 and n/2 count for nothing",
}  # fmt: skip

# takes no traced arrays: makes plain data, reads files, speaks of dtypes
PLAIN = frozenset(
    ["arange", "empty", "eye", "full", "identity", "ones", "zeros", "tri", "indices", "fromfunction", "fromiter", "frombuffer", "fromfile", "fromregex", "fromstring", "from_dlpack", "genfromtxt", "load", "loadtxt", "linspace", "diag_indices", "diag_indices_from", "tril_indices", "tril_indices_from", "triu_indices", "triu_indices_from", "mask_indices", "ix_", "bartlett", "blackman", "hamming", "hanning", "broadcast_shapes", "can_cast", "common_type", "min_scalar_type", "mintypecode", "promote_types", "result_type", "isdtype", "issubdtype", "isscalar", "iterable", "isfortran", "typename", "base_repr", "binary_repr", "format_float_positional", "format_float_scientific", "busday_count", "busday_offset", "is_busday", "datetime_as_string", "datetime_data", "get_include", "get_printoptions", "set_printoptions", "printoptions", "getbufsize", "setbufsize", "geterr", "seterr", "geterrcall", "seterrcall", "info", "show_config", "show_runtime", "test", "nested_iters", "astype", "row_stack", "linalg.test", "fft.test", "fft.fftfreq", "fft.rfftfreq"]
)  # fmt: skip


def _public(module: Any, prefix: str) -> dict[str, Any]:
    found = {}
    for name in sorted(dir(module)):
        value = None if name.startswith("_") else getattr(module, name, None)
        if callable(value) and not isinstance(value, type):
            found[prefix + name] = value
    return found


def _namespace() -> dict[str, Any]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {**_public(np, ""), **_public(np.linalg, "linalg."), **_public(np.fft, "fft.")}


def _state(name: str, function: Any) -> tuple[str, str] | None:
    """(what hypergrad does, note) of one function; None: nothing is known of it."""
    from hypergrad.ad.dispatch import FUNCTIONS, UFUNCS
    from hypergrad.ad.primitives.elementwise import _BY_UFUNC

    note = NOTES.get(name, "")
    try:
        known = function in FUNCTIONS or function in UFUNCS
    except TypeError:
        known = False
    if name in REFUSED and not known:
        return "refused", REFUSED[name]
    if known:
        primitive = _BY_UFUNC.get(function) if isinstance(function, np.ufunc) else None
        zero = primitive is not None and primitive.jvp is None
        return ("derivative zero" if zero else "differentiated"), note
    return ("as it is", note) if name in PLAIN else None


def unaccounted() -> list[str]:
    """Functions of the installed NumPy that the table does not account for."""
    return [name for name, function in _namespace().items() if _state(name, function) is None]


def table() -> str:
    """The Markdown of docs/numpy.md."""
    from hypergrad.ad.dispatch import UFUNCS

    lines = [
        "# NumPy and SciPy under hypergrad",
        "",
        "Generated by `python -m hypergrad.ad.coverage > docs/numpy.md`. *Differentiated*: both modes, any order. *As it is*: takes no",
        "traced values, so that it works inside a traced function on plain data. *Refused*: raises when traced, with the source line.",
        "",
        "| function | | domain, convention or alternative |",
        "|---|---|---|",
    ]
    for name, function in _namespace().items():
        found = _state(name, function)
        if found is not None:
            lines.append(f"| `np.{name}` | {found[0]} | {found[1]} |")
    special = sorted(key for key in UFUNCS if isinstance(key, str))
    lines += [
        f"| `scipy.special.{name}` | differentiated | {NOTES.get('special.' + name, '')} |"
        for name in special
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
