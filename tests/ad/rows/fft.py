# ruff: noqa: E501 - a table
"""Rows of hypergrad.ad.primitives.fft and complex: numpy.fft of real signals, and functions of complex numbers."""

from __future__ import annotations

import numpy as np
from examples import CUBE, SQUARE, ZERO_D, Example, M, P, V, ex

import hypergrad as hg

LONG = np.sin(np.arange(7.0) * 1.3)


def both(f):
    """Real and imaginary parts of a complex result."""

    def parts(*args):
        z = f(*args)
        return np.stack([np.real(z), np.imag(z)])

    return parts


def B(f, *args):
    return ex(both(f), *args, exact=False)


def R(f, *args):
    return ex(f, *args, exact=False)


ROWS: dict[str, list[Example]] = {
    "fft": [
        B(np.fft.fft, V), B(np.fft.fft, LONG), B(np.fft.ifft, M), B(lambda x: np.fft.fft(x, 5, axis=0), M), B(lambda x: np.fft.fft(x, 2), CUBE),
        *(B(lambda x, n=norm: np.fft.fft(x, norm=n), LONG) for norm in ("ortho", "forward", "backward")), B(lambda x: np.fft.ifft(x, norm="ortho"), V),
        B(np.fft.fft2, CUBE), B(np.fft.ifft2, M), B(lambda x: np.fft.fftn(x, (3, 5), (0, 2)), CUBE), B(lambda x: np.fft.ifftn(x, axes=(1,)), CUBE), B(np.fft.fftn, CUBE),
        B(lambda x: np.fft.fftshift(np.fft.fft(x)), LONG), B(lambda x: np.fft.ifftshift(np.fft.fftn(x), axes=1), CUBE), R(lambda x: np.abs(np.fft.fft(x)) ** 2, LONG),
        B(lambda x: np.fft.ifft(np.fft.fft(x) * np.exp(1j * P)), V), R(lambda x: np.fft.ifft(np.fft.fft(x) * np.fft.fft(P)).real, V), B(lambda x: np.fft.fft(x[:1]), V),
    ],
    "rfft": [
        B(np.fft.rfft, V), B(np.fft.rfft, LONG), B(lambda x: np.fft.rfft(x, 6, norm="ortho"), V), B(lambda x: np.fft.rfft(x, 3, axis=0, norm="forward"), M),
        B(np.fft.rfft2, CUBE), B(np.fft.rfftn, CUBE), B(lambda x: np.fft.rfftn(x, axes=(1, 1)), CUBE), B(lambda x: np.fft.fftshift(np.fft.rfft(x), axes=(0, 0)), M), B(lambda x: np.fft.rfftn(x, (3, 4), (0, 1)), CUBE), B(np.fft.ihfft, LONG), B(lambda x: np.fft.rfft(x[:1]), V),
        R(lambda x: np.sum(np.abs(np.fft.rfft(x)) ** 2), LONG),
    ],
    "irfft": [
        R(np.fft.irfft, V), R(lambda x: np.fft.irfft(np.fft.rfft(x) * (1 + 2j)), V), R(lambda x: np.fft.irfft(np.fft.rfft(x) * 1j, 7), LONG),
        R(lambda x: np.fft.irfft(x * (1 + 0.5j), 5, norm="ortho"), V), R(lambda x: np.fft.irfft(x * (0.2 + 0.5j), 12, norm="forward"), V),
        R(lambda x: np.fft.irfft2(np.fft.fft2(x)), CUBE), R(lambda x: np.fft.irfftn(x * 1j + 1, (2, 3), (0, 1)), CUBE), R(lambda x: np.fft.hfft(x * (1 + 2j)), V), R(np.fft.irfftn, CUBE),
    ],
    "real": [R(lambda x: np.real(x * (2 + 1j)) ** 2, V), R(lambda x: (x * 1j).real, V), R(lambda x: (np.exp(1j * x)).real, M), R(lambda x: (x * np.array([1j])).astype(complex).real, ZERO_D)],
    "imag": [R(lambda x: np.imag(np.exp((0.5 + 1j) * x)), V), R(lambda x: (x @ (1j * SQUARE)).imag, SQUARE), R(lambda x: np.angle((2 + 1j) * np.exp(1j * x)), P), R(lambda x: np.angle(x + 1j, deg=True), V), R(lambda x: np.imag(np.log(x + 0.5j)), V)],
    "conj": [
        B(lambda x: np.conj(np.exp(1j * x)), V), R(hg.grad(lambda x: np.sum(np.abs(x * (1 + 2j) + 1j))), V), R(hg.grad(lambda x: np.sum(np.absolute(np.exp(1j * x) + 0.5))), V), R(lambda x: np.real(np.vdot(x * 1j, x + 1j)), V),
        R(lambda x: np.var(x * (1 + 2j)), V), B(lambda x: np.conjugate(x + 1j) / (x + 2j), V),
    ],
}  # fmt: skip
