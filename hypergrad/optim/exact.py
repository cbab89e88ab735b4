"""Momentum in exact, invertible arithmetic (Maclaurin, Duvenaud & Adams 2015, sec. 2.2 and algorithm 3).

Notation: f fraction bits; w = W 2^-f parameters and m = V u 2^-f momentum, with W and V of int64, (n,), and one
unit u in (1/2, 1] a layer and step; γ = decay; ⌊⌉ rounding to integers.

    γ m:        u <- γ u; while u <= 1/2: the lowest bit of each V goes to the store, V <- ⌊V / 2⌋, u <- 2 u
    m' = γm+g:  V' = V + ⌊g 2^f / u⌉
    w':         W' = W - ⌊slope u V'⌉ - ⌊direct g 2^f⌉

Each line is undone exactly: sums of integers by subtraction, a halving by its bit. The paper multiplies V itself by
a rational number n/d at each step and keeps the remainders in one long integer a parameter, which grows by d/n. Here
the unit carries γ, as it is in floating point, and the only multiplication that is ever executed is the one by 1/2.
So the store holds whole planes of n bits and needs no division, γ is no rational number, the rounding of γ m is below
one unit (in the paper: n units), and T steps keep ⌊Σ log2 1/γ⌋ bits a parameter: no more than Σ log2 1/γ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["DECAYS", "BitStore", "Exact", "MomentumForm", "OutOfRange", "planned_bytes", "units"]

DECAYS = (2.0**-32, 1.0)  # the decays that can be reversed
_LIMIT = 2.0**62  # of |W| and |V|, so that the sum of two is an int64
_W, _V = 0, 1
_SPARSE = 128  # more than the bits of a number


@dataclass(frozen=True)
class MomentumForm:
    """m' = decay m + g; w' = w - slope m' - direct g: what an optimiser tells of itself to be reversed.

    Attributes:
        decay, slope, direct: of each step and layer, float64 (T, J); direct None: 0 throughout.
    """

    decay: np.ndarray
    slope: np.ndarray
    direct: np.ndarray | None = None


class OutOfRange(Exception):
    """A number that the integers cannot hold.

    Attributes:
        index: of the parameter, 0..n-1.
        size: its magnitude, in natural units.
        momentum: whether it is a momentum, else a parameter.
    """

    def __init__(self, index: int, size: float, momentum: bool) -> None:
        super().__init__(f"{'momentum' if momentum else 'parameter'} {index} is {size:.3g}")
        self.index = index
        self.size = size
        self.momentum = momentum


class BitStore:
    """A stack of planes of bits, 8 to a byte, in one array that grows.

    Args:
        capacity: bytes that are set aside.
    """

    def __init__(self, capacity: int = 0) -> None:
        self._room = np.empty(max(capacity, 0), np.uint8)
        self._used = 0

    @property
    def nbytes(self) -> int:
        """Bytes set aside."""
        return self._room.nbytes

    @property
    def used(self) -> int:
        """Bytes in use."""
        return self._used

    def shift_out(self, x: np.ndarray, count: int) -> None:
        """x <- ⌊x / 2^count⌋ in place, keeping the bits that leave; x: int64 (n,), count >= 0."""
        while count > 0:
            width = min(count, 8)
            low = x.astype(np.uint8)  # the lowest 8 bits
            if width == 8:
                self._push(low)
            else:
                for bit in range(width):
                    self._push(np.packbits(low & np.uint8(1 << bit)))
            np.right_shift(x, width, x)
            count -= width

    def shift_in(self, x: np.ndarray, count: int) -> None:
        """Undo `shift_out(x, count)`, the latest that has not been undone."""
        while count > 0:
            width = (count - 1) % 8 + 1  # what was shifted out last
            if width == 8:
                np.left_shift(x, 8, x)
                np.bitwise_or(x, self.pop(x.size), x)
            else:
                for _ in range(width):
                    plane = np.unpackbits(self.pop(-(-x.size // 8)), count=x.size)
                    np.left_shift(x, 1, x)
                    np.bitwise_or(x, plane, x)
            count -= width

    def push(self, values: np.ndarray) -> None:
        """Keep the bytes of an array."""
        self._push(np.ascontiguousarray(values).view(np.uint8).ravel())

    def pop(self, count: int) -> np.ndarray:
        """The `count` bytes that were pushed last, valid until the next push."""
        if count > self._used:
            raise IndexError(f"the store holds {self._used} bytes, not {count}")
        self._used -= count
        return self._room[self._used : self._used + count]

    def _push(self, data: np.ndarray) -> None:
        end = self._used + data.size
        if end > self._room.size:
            room = np.empty(max(end, self._room.size + (self._room.size >> 3)), np.uint8)
            room[: self._used] = self._room[: self._used]
            self._room = room
        self._room[self._used : end] = data
        self._used = end


def units(decay: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Units after each step, (T, J) in (1/2, 1], and halvings at each step, (T, J): u_t = γ_t u_{t-1} 2^halvings.

    Args:
        decay: γ of each step and layer, (T, J) in `DECAYS`.
    """
    unit, halvings = np.empty(decay.shape), np.empty(decay.shape, np.int64)
    now = np.ones(decay.shape[1:])
    for t, factor in enumerate(decay):
        mantissa, exponent = np.frexp(now * factor)  # mantissa in [1/2, 1)
        whole = mantissa == 0.5
        now = np.where(whole, 1.0, mantissa)
        unit[t], halvings[t] = now, np.where(whole, 1 - exponent, -exponent)
    return unit, halvings


def planned_bytes(halvings: np.ndarray, sizes: Sequence[int]) -> int:
    """Bytes that `Exact` stores for the halvings (T, J) of layers with the given J numbers of parameters."""
    bytes_, bits = np.divmod(halvings.reshape(-1, len(sizes)), 8)
    planes = np.array([-(-size // 8) for size in sizes], np.int64)
    return int(np.sum(bytes_ * np.array(sizes, np.int64) + bits * planes))


class Exact:
    """Parameters and momentum as integers, moved by steps that are undone bit for bit.

    A rule with `direct` is not undone by arithmetic alone: W = Z + ⌊direct g(W) 2^f⌉ is an equation for W, and the step
    loses log2 1/|1 - direct h| bits more in a direction of curvature h, all of them at direct h = 1. It is solved by
    fixed-point iteration, and what the iteration misses of W is stored, so that the result is exact in any case.

    Args:
        form: the update rule, arrays (T, J) for J layers; decay in `DECAYS`, all finite.
        sizes: parameters of each layer, J numbers of sum n.
        first: the first parameters, (n,), finite; rounded to multiples of 2^-f.
        fraction: f, the fraction bits; |w| and |m| stay below 2^(62 - f).
        gradient: from W, (n,) int64, to g, (n,): a function that returns the same bits each time.
        iterations: at most so many gradients to solve for W where the rule has `direct`.

    Attributes:
        w, v: W and V, int64 (n,).
        store: the bits that left.

    Raises:
        OutOfRange: `first` is out of range.
    """

    def __init__(
        self,
        form: MomentumForm,
        sizes: Sequence[int],
        first: np.ndarray,
        fraction: int,
        gradient: Callable[[np.ndarray], np.ndarray],
        iterations: int = 0,
    ) -> None:
        self._grid = 2.0**fraction
        self._unit, self._halvings = units(form.decay)
        self._slope = form.slope * self._unit
        self._direct = form.direct
        self._gradient = gradient
        self._iterations = iterations
        ends = np.cumsum(sizes).tolist()
        self._parts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        self.store = BitStore(planned_bytes(self._halvings, sizes))
        self._room = np.empty(first.size)
        self._int = np.empty(first.size, np.int64)
        self._ones = np.ones(len(sizes))
        self._place = np.dtype(np.uint16 if first.size <= 1 << 16 else np.uint32)
        self.v = np.zeros(first.size, np.int64)
        self.w = np.zeros(first.size, np.int64)
        self._bounds = [0.0, 0.0]  # upper bounds of |W| and |V|
        self._round(first, self._ones, _W)
        self._add(_W, 1, self._ones)

    def params(self, w: np.ndarray, out: np.ndarray) -> None:
        """w of some W, into an array (n,) of any float dtype."""
        np.multiply(w, 1.0 / self._grid, out, casting="same_kind")

    def momentum(self, t: int, out: np.ndarray) -> None:
        """m before step t, into an array (n,) of any float dtype."""
        unit = self._unit[t - 1] if t else self._ones
        for part, factor in zip(self._parts, (unit / self._grid).tolist(), strict=True):
            np.multiply(self.v[part], factor, out[part], casting="same_kind")

    def integers(self, x: np.ndarray) -> np.ndarray:
        """⌊x 2^f⌉, int64 (n,), of an array (n,) in range."""
        return np.rint(np.multiply(x, self._grid, dtype=float)).astype(np.int64)

    def step(self, t: int) -> bool:
        """Step t; False, and nothing has changed, where the gradient is not finite.

        Raises:
            OutOfRange: a parameter or a momentum leaves the range.
        """
        g = self._gradient(self.w)
        if not self._round(g, 1.0 / self._unit[t], _V):
            return False
        for part, count in zip(self._parts, self._halvings[t].tolist(), strict=True):
            self.store.shift_out(self.v[part], count)
        self._add(_V, 1, self._unit[t])
        if self._direct is not None:
            before = self.w.copy()
            self._round(g, self._direct[t], _W)
            self._add(_W, -1, self._ones)
            self._keep(before - self._solve(t))
        self._round(self.v, self._slope[t] / self._grid, _W)
        self._add(_W, -1, self._ones)
        return True

    def undo(self, t: int) -> None:
        """Undo step t."""
        self._round(self.v, self._slope[t] / self._grid, _W)
        self.w += self._int
        if self._direct is not None:
            self.w = self._solve(t) + self._kept()
        self._round(self._gradient(self.w), 1.0 / self._unit[t], _V)
        self.v -= self._int
        for part, count in zip(self._parts[::-1], self._halvings[t, ::-1].tolist(), strict=True):
            self.store.shift_in(self.v[part], count)

    # Integers from floats -------------------------------------------------------------------------
    def _round(self, x: np.ndarray, factor: np.ndarray, which: int) -> bool:
        """⌊factor x 2^f⌉ into `_int`, with one factor a layer; False where x is not finite.

        Raises:
            OutOfRange: a number of 2^62 or more.
        """
        for part, number in zip(self._parts, (factor * self._grid).tolist(), strict=True):
            np.multiply(x[part], number, self._room[part], dtype=float)  # also of a float32 gradient
        self._peak = float(max(self._room.max(initial=0.0), -self._room.min(initial=0.0)))
        if not self._peak < _LIMIT:
            if not np.isfinite(x).all():
                return False
            index = int(np.argmax(np.abs(self._room)))
            size = abs(float(x[index])) if which == _V else abs(float(self._room[index])) / self._grid
            raise OutOfRange(index, size, which == _V)
        np.rint(self._room, self._room)
        np.copyto(self._int, self._room, casting="unsafe")
        return True

    def _add(self, which: int, sign: int, unit: np.ndarray) -> None:
        """W or V plus or minus `_int`.

        Raises:
            OutOfRange: the sum is 2^62 or more.
        """
        target = self.w if which == _W else self.v
        (np.add if sign > 0 else np.subtract)(target, self._int, target)
        self._bounds[which] += self._peak + 1.0
        if self._bounds[which] >= _LIMIT:
            self._bounds[which] = float(max(int(target.max()), -int(target.min())))
            if self._bounds[which] >= _LIMIT:
                index = int(np.argmax(np.abs(target)))
                layer = next(j for j, part in enumerate(self._parts) if index < part.stop)
                size = abs(int(target[index])) * float(unit[layer]) / self._grid
                raise OutOfRange(index, size, which == _V)

    # Rules with `direct` --------------------------------------------------------------------------
    def _solve(self, t: int) -> np.ndarray:
        """Nearly the W of W = Z + ⌊direct g(W) 2^f⌉, where `w` is Z: the same number each time it is asked."""
        assert self._direct is not None
        here = self.w.copy()
        for _ in range(self._iterations):
            g = self._gradient(here)
            try:
                if not self._round(g, self._direct[t], _W):
                    break
            except OutOfRange:
                break
            there = self.w + self._int
            if np.array_equal(here, there):
                break
            here = there
        return here

    def _keep(self, missed: np.ndarray) -> None:
        """Store what the iteration missed, (n,): places and values of the few that are not 0, or planes of bits of all.

        Last comes a byte: how many planes, or `_SPARSE` plus the bytes of a value.
        """
        folded = (missed << 1) ^ (missed >> 63)  # 0, -1, 1, -2, ... as 0, 1, 2, 3, ...
        width = int(folded.max(initial=0)).bit_length()
        value = np.dtype(np.uint8 if width <= 8 else np.uint64)
        index = np.flatnonzero(folded)
        if width and index.size * (value.itemsize + self._place.itemsize) + 4 < width * (folded.size // 8):
            self.store.push(folded[index].astype(value))
            self.store.push(index.astype(self._place))
            self.store.push(np.array([index.size], np.uint32))
            code = _SPARSE + value.itemsize
        else:
            self.store.shift_out(folded, width)
            code = width
        self.store.push(np.array([code], np.uint8))

    def _kept(self) -> np.ndarray:
        """What was stored last, (n,)."""

        def pop(dtype: np.dtype, count: int) -> np.ndarray:
            return self.store.pop(dtype.itemsize * count).copy().view(dtype)

        folded = np.zeros(self.w.size, np.int64)
        code = int(self.store.pop(1)[0])
        if code >= _SPARSE:
            count = int(pop(np.dtype(np.uint32), 1)[0])
            index = pop(self._place, count)
            folded[index] = pop(np.dtype(np.uint8 if code == _SPARSE + 1 else np.uint64), count)
        else:
            self.store.shift_in(folded, code)
        return (folded >> 1) ^ -(folded & 1)
