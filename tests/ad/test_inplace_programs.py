"""Random programs of views, aliases, writes and in-place operators: the same bits traced as in plain NumPy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad.forward import evaluate
from hypergrad.ad.trace import trace, type_of

SHAPES = [(3, 4), (2, 3, 2), (4,), (3, 3), (1, 4), (2, 1, 3), (5,), (0, 3)]


class Writer:
    """Writes a program line by line, running each line in NumPy to know what is possible next."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.names: list[str] = []
        shape = self.pick(SHAPES)
        self.args = tuple(self.rng.standard_normal(shape) for _ in range(2))
        self.space = {"np": np}
        for name, value in zip("xy", self.args, strict=True):
            self.space[name] = value.copy()
            self.space[name].flags.writeable = False  # an argument
            self.names.append(name)

    def pick(self, items):
        return items[self.rng.integers(len(items))]

    def run(self, line: str) -> bool:
        saved = {name: self.space[name].copy() for name in self.names}
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("error")
                exec(line, self.space)
        except (ValueError, TypeError, IndexError, Warning):
            for name, value in saved.items():  # NumPy may have written a part
                if self.space[name].flags.writeable:
                    self.space[name][...] = value
            return False
        self.lines.append(line)
        return True

    def new(self, text: str) -> None:
        name = f"v{len(self.names)}"
        if self.run(f"{name} = {text}"):
            if isinstance(self.space[name], np.ndarray):
                self.names.append(name)
            else:
                self.lines.pop()

    def slice(self) -> str:
        bound = lambda: self.pick(["", "1", "2", "-1", "0", "-2"])
        return self.pick([f"{bound()}:{bound()}", ":", f"{bound()}:{bound()}:{self.pick(['2', '-1', '-2'])}"])

    def index(self, a: np.ndarray, writing: bool) -> str:
        items = []
        for n in a.shape[: self.rng.integers(a.ndim + 1)]:
            kind = self.rng.integers(8)
            if kind < 3:
                items.append(self.slice())
            elif kind < 5 and n:
                items.append(str(self.rng.integers(-n, n)))
            elif kind == 5:
                items.append(f"None, {self.slice()}")
            elif n and writing:
                items.append(str(self.rng.integers(-n, n, self.rng.integers(1, 4)).tolist()))
        if self.rng.random() < 0.2:
            items.insert(self.rng.integers(len(items) + 1), "...")
        return ", ".join(items) or "..."

    def value(self, shape: tuple[int, ...]) -> str:
        """Something that may broadcast to `shape`."""
        fitting = [
            name for name in self.names
            if self.space[name].ndim <= len(shape) and _broadcasts(self.space[name].shape, shape)
        ]  # fmt: skip
        if fitting and self.rng.random() < 0.7:
            return self.pick(fitting)
        return self.pick(["2.0", "-1", "0.5", "np.float32(3)"])

    def step(self) -> None:
        name = self.pick(self.names)
        a = self.space[name]
        kind = self.rng.integers(14)
        if kind == 0:
            self.new(self.pick([
                f"{name} * 2.0", f"{name} + x", f"np.zeros_like({name})", f"{name}.copy()",
                f"np.ones_like({name}, shape=(2, 3))",
                f"np.copy({name})", f"{name}.T + 1", f"np.where({name} > 0, {name}, 1.0)", f"{name}.astype(float)",
                f"np.full_like({name}, x.sum())", f"np.concatenate([{name}, {name}])",
                f"np.array([1, 2, 3], int) * np.ones_like({name}, int)[..., :1]",
                f"{name}.sum(axis=0)", f"np.stack([{name}, {name}])", f"np.tile({name}, 2)", f"np.repeat({name}, 2)",
            ]))  # fmt: skip
        elif kind < 4:
            self.new(self.pick([
                f"{name}[{self.index(a, False)}]", f"{name}.T", f"{name}.reshape(-1)", f"{name}.ravel()", f"{name}",
                f"{name}.ravel('F')", f"{name}.reshape({a.shape[::-1]}, order='F')", f"{name}.flatten('F')",
                f"{name}.reshape({a.shape[::-1]})", f"np.swapaxes({name}, 0, -1)", f"np.expand_dims({name}, 0)",
                f"np.squeeze({name})", f"np.split({name}, 2)[1]", f"np.array_split({name}, 2, axis=-1)[0]",
                f"np.flip({name})",
                f"np.moveaxis({name}, 0, -1)", f"np.atleast_2d({name})", f"{name}.flatten()", f"{name}.real",
                f"np.broadcast_to({name}, {(2, *a.shape)})", f"np.diagonal({name})", f"[*{name}][0]",
                f"{name}.reshape(2, -1)", f"np.transpose({name})", f"{name}.view()",
            ]))  # fmt: skip
        elif not a.flags.writeable:
            if self.rng.random() < 0.5:
                self.new(f"{name}.copy()")
        elif kind < 7:
            index = self.index(a, True)
            try:
                shape = eval(f"{name}[{index}]", dict(self.space)).shape
            except (IndexError, AttributeError):
                shape = ()
            operator = self.pick(["=", "=", "+=", "-=", "*="])
            self.run(f"{name}[{index}] {operator} {self.value(shape)}")
        elif kind < 10:
            self.run(f"{name} {self.pick(['+=', '-=', '*='])} {self.value(a.shape)}")
        elif kind == 10:
            self.run(self.pick([
                f"{name}[{name} > 0] = {self.pick(['0.0', 'x.sum()', '1'])}", f"{name}[{name} > 0] += 0.5",
                f"{name}[{name} < 0] *= -1.0", f"{name}[({name} > 0)] = {name}[{name} > 0] * 0.25",
            ]))  # fmt: skip
        elif kind == 11:
            self.run(self.pick([
                f"np.add({name}, {self.value(a.shape)}, out={name})",
                f"np.multiply({name}, 0.5, out={name}, where={name} > 0)",
                f"np.copyto({name}, {self.value(a.shape)})", f"{name}.fill({self.value(())})",
                f"np.copyto({name}, 1.5, where={name} < 0)", f"np.negative({name}, out={name})",
            ]))  # fmt: skip
        elif kind == 12:
            self.run(self.pick([
                f"for row in {name}: row *= 1.5", f"{name}.flat[1::2] = {self.pick(['x', '2.0', 'y'])}",
                f"np.fill_diagonal({name}, {self.pick(['x', '3.0'])})", f"np.put({name}, [0, 2], y)",
                f"np.putmask({name}, {name} > 0, x)", f"np.place({name}, {name} < 0, 7.0)",
            ]))  # fmt: skip
        else:
            n = a.shape[0] if a.ndim else 0
            if n:
                repeated = self.rng.integers(-n, n, 4).tolist()
                self.run(self.pick([
                    f"np.add.at({name}, {repeated}, 0.5)", f"np.subtract.at({name}, {repeated}, x.sum())",
                    f"np.maximum.at({name}, {repeated}, 0.1)", f"np.multiply.at({name}, {repeated}, 1.5)",
                ]))  # fmt: skip

    def text(self) -> str:
        body = "".join(f"    {line}\n" for line in self.lines)
        return f"def f(x, y):\n{body}    return [{', '.join(self.names)}]\n"


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def program(seed: int, length: int = 14):
    writer = Writer(seed)
    for _ in range(length):
        writer.step()
    text = writer.text()
    space = {"np": np}
    exec(text, space)
    return space["f"], writer.args, text


def plain(f, args):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*(a.copy() for a in args))


@pytest.mark.parametrize("block", range(8))
def test_values(block):
    """Traced = NumPy bit for bit; compiled = NumPy to rounding."""
    for seed in range(25 * block, 25 * block + 25):
        f, args, text = program(seed)
        expected = plain(f, args)
        with np.errstate(all="ignore"):
            traced = trace(f, [type_of(a) for a in args])
            found = evaluate(traced, args)
            compiled = hg.compile(f)(*args) if seed % 5 == 0 else []
        for want, got in zip(expected, found, strict=True):
            assert (want.shape, want.dtype) == (np.shape(got), got.dtype), text
            np.testing.assert_array_equal(got, want, err_msg=f"seed {seed}\n{text}")
        for want, got in zip(expected, compiled, strict=False):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12, err_msg=f"seed {seed}\n{text}")


@pytest.mark.parametrize("seed", range(40))
def test_derivatives(seed):
    """Forward = reverse = differences, to second order, through in-place code."""
    f, args, _ = program(1000 + seed, length=10)
    if any(a.size == 0 for a in args):
        return

    def total(x, y):
        return sum(np.sum(np.sin(v)) for v in f(x, y) if v.dtype.kind == "f" and v.size)

    if np.isfinite(total(*args)):
        hg.check_grads(lambda x, y: total(x * 1.0, y * 1.0), args, order=2, rtol=1e-4)
