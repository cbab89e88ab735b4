# ruff: noqa: E501 - a table
"""What to write instead of NumPy's functions that are refused when traced: function -> alternative."""

from __future__ import annotations

__all__ = ["REFUSED", "alternative"]

REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ("unique", "unique_all", "unique_counts", "unique_inverse", "unique_values", "union1d", "intersect1d",
         "setdiff1d", "setxor1d", "trim_zeros", "nonzero", "argwhere", "flatnonzero"),
        "its result has no fixed shape: call it on plain data outside, or use np.where with a mask"),
    **dict.fromkeys(("histogram", "histogram2d", "histogramdd", "histogram_bin_edges"),
        "compute it outside, or write np.sum(mask * weights) for soft bins"),
    **dict.fromkeys(("roots", "polydiv"), "compute it outside, or use np.polyval, np.polymul and np.polyfit"),
    **dict.fromkeys(("packbits", "unpackbits", "bitwise_count", "gcd", "lcm", "ravel_multi_index", "unravel_index"),
        "integers have no derivative: compute them outside and pass them as data"),
    **dict.fromkeys(("array2string", "array_repr", "array_str", "save", "savetxt", "savez", "savez_compressed"),
        "a traced value has no numbers yet: return it and print or save the result"),
    **dict.fromkeys(("frexp", "nextafter", "spacing", "isnat"), "use multiplication, np.floor and np.trunc"),
    "sort_complex": "use np.sort of the absolute values", "kaiser": "use scipy.special.i0",
    "asarray_chkfinite": "check outside",
    "shares_memory": "traced values have no memory", "may_share_memory": "traced values have no memory",
    "bmat": "use np.block", "asmatrix": "use arrays", "einsum_path": "give plain arrays of the same shapes",
    "require": "use hg.asarray", "array": "use hg.array", "asarray": "use hg.asarray", "asanyarray": "use hg.asarray",
    "ascontiguousarray": "use hg.asarray", "asfortranarray": "use hg.asarray", "frompyfunc": "write the function with NumPy",
    "linalg.eig": "use np.linalg.eigh for symmetric matrices", "linalg.eigvals": "use np.linalg.eigvalsh for symmetric matrices",
}  # fmt: skip


def alternative(name: str) -> str:
    """What to write instead of a function that is not supported."""
    return REFUSED.get(
        name.removeprefix("numpy."),
        "write it with supported functions, or compute it outside the differentiated function and pass the result as data",
    )
