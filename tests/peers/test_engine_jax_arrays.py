"""Products, shapes, joining, indexing and linear systems: value, jvp, vjp and second order equal JAX's."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(1)


def normal(*shape):
    return RNG.standard_normal(shape)


MATMUL = [
    ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)),
    ((1, 2, 3), (5, 3, 2)),
]  # fmt: skip

PRODUCTS = {
    "dot, vectors": (lambda xp, x, y: xp.dot(x, y), (3,), (3,)),
    "dot, matrices": (lambda xp, x, y: xp.dot(x, y), (2, 3), (3, 4)),
    "dot, matrix and vector": (lambda xp, x, y: xp.dot(x, y), (2, 3), (3,)),
    "dot, cube and vector": (lambda xp, x, y: xp.dot(x, y), (2, 3, 4), (4,)),
    "dot, cubes": (lambda xp, x, y: xp.dot(x, y), (2, 3, 4), (5, 4, 2)),
    "dot, scalar": (lambda xp, x, y: xp.dot(x, y), (), (2, 3)),
    "dot method": (lambda xp, x, y: x.dot(y), (2, 3), (3, 4)),
    "inner, vectors": (lambda xp, x, y: xp.inner(x, y), (3,), (3,)),
    "inner, matrices": (lambda xp, x, y: xp.inner(x, y), (2, 3), (4, 3)),
    "outer": (lambda xp, x, y: xp.outer(x, y), (2,), (3,)),
    "outer of matrices": (lambda xp, x, y: xp.outer(x, y), (2, 2), (3, 1)),
    "vdot": (lambda xp, x, y: xp.vdot(x, y), (2, 3), (2, 3)),
    "tensordot": (lambda xp, x, y: xp.tensordot(x, y), (2, 3, 4), (3, 4, 5)),
    "tensordot, one axis": (lambda xp, x, y: xp.tensordot(x, y, axes=1), (2, 3), (3, 4)),
    "tensordot, no axis": (lambda xp, x, y: xp.tensordot(x, y, axes=0), (2,), (3, 4)),
    "tensordot, named axes": (
        lambda xp, x, y: xp.tensordot(x, y, axes=([0, 2], [1, 0])), (2, 3, 4), (4, 2, 5)
    ),
    "constant on the left": (lambda xp, x: np.arange(6.0).reshape(2, 3) @ x, (3, 4)),
    "constant on the right": (lambda xp, x: x @ np.arange(6.0).reshape(3, 2), (4, 3)),
    "x transposed x": (lambda xp, x: x.T @ x, (4, 3)),
    "three factors": (lambda xp, x, y, z: x @ y @ z, (2, 3), (3, 4), (4, 2)),
}  # fmt: skip

SHAPES = {
    "reshape": (lambda xp, x: xp.reshape(x, (4, 6)), (2, 3, 4)),
    "reshape, -1": (lambda xp, x: x.reshape(3, -1), (2, 3, 4)),
    "reshape method of a tuple": (lambda xp, x: x.reshape((-1,)), (2, 3)),
    "ravel": (lambda xp, x: xp.ravel(x) * np.arange(6.0), (2, 3)),
    "ravel method": (lambda xp, x: x.T.ravel() * np.arange(6.0), (2, 3)),
    "flatten method": (lambda xp, x: x.flatten(), (2, 3)),
    "transpose": (lambda xp, x: xp.transpose(x), (2, 3, 4)),
    "transpose by axes": (lambda xp, x: xp.transpose(x, (1, 2, 0)), (2, 3, 4)),
    "transpose method": (lambda xp, x: x.transpose(2, 0, 1), (2, 3, 4)),
    "T of a vector": (lambda xp, x: x.T, (3,)),
    "swapaxes": (lambda xp, x: xp.swapaxes(x, 0, -1), (2, 3, 4)),
    "moveaxis": (lambda xp, x: xp.moveaxis(x, 0, -1), (2, 3, 4)),
    "moveaxis, two": (lambda xp, x: xp.moveaxis(x, (0, 1), (-1, 0)), (2, 3, 4)),
    "expand_dims": (lambda xp, x: xp.expand_dims(x, 1), (2, 3)),
    "expand_dims, two": (lambda xp, x: xp.expand_dims(x, (0, -1)), (2, 3)),
    "squeeze": (lambda xp, x: xp.squeeze(x), (1, 3, 1)),
    "squeeze an axis": (lambda xp, x: xp.squeeze(x, axis=-1), (1, 3, 1)),
    "broadcast_to": (lambda xp, x: xp.broadcast_to(x, (2, 4, 3)) * np.arange(24.0).reshape(2, 4, 3), (3,)),
    "broadcast_to, inner axis": (lambda xp, x: xp.broadcast_to(x, (2, 3, 4)), (3, 1)),
    "broadcast_to, 0-d": (lambda xp, x: xp.broadcast_to(x, (2, 3)), ()),
    "flip": (lambda xp, x: xp.flip(x) * np.arange(6.0).reshape(2, 3), (2, 3)),
    "flip an axis": (lambda xp, x: xp.flip(x, axis=1), (2, 3)),
    "flip two axes": (lambda xp, x: xp.flip(x, axis=(0, 2)), (2, 3, 4)),
    "roll": (lambda xp, x: xp.roll(x, 2), (2, 3)),
    "roll an axis": (lambda xp, x: xp.roll(x, -1, axis=1), (2, 3)),
    "roll two axes": (lambda xp, x: xp.roll(x, (1, 2), axis=(0, 1)), (3, 4)),
    "repeat": (lambda xp, x: xp.repeat(x, 2), (2, 3)),
    "repeat along an axis": (lambda xp, x: xp.repeat(x, 3, axis=1), (2, 3)),
    "repeat unevenly": (lambda xp, x: xp.repeat(x, np.array([1, 0, 2]), axis=1), (2, 3)),
    "tile": (lambda xp, x: xp.tile(x, 3), (2, 3)),
    "tile to more axes": (lambda xp, x: xp.tile(x, (2, 1, 2)), (2, 3)),
    "atleast_1d": (lambda xp, x: xp.atleast_1d(x), ()),
    "atleast_2d": (lambda xp, x: xp.atleast_2d(x), (3,)),
    "atleast_3d": (lambda xp, x: xp.atleast_3d(x), (2, 3)),
    "concatenate": (lambda xp, x, y: xp.concatenate([x, y, x]), (2, 3), (1, 3)),
    "concatenate along an axis": (lambda xp, x, y: xp.concatenate((x, y), axis=-1), (2, 3), (2, 1)),
    "concatenate, flattened": (lambda xp, x, y: xp.concatenate([x, y], axis=None), (2, 3), (2,)),
    "concatenate with a constant": (lambda xp, x: xp.concatenate([np.ones((1, 3)), x]), (2, 3)),
    "stack": (lambda xp, x, y: xp.stack([x, y]), (2, 3), (2, 3)),
    "stack, last axis": (lambda xp, x, y: xp.stack([x, y, x], axis=-1), (2, 3), (2, 3)),
    "stack of scalars": (lambda xp, x, y: xp.stack([x, y, xp.sin(x)]), (), ()),
    "stack with a constant": (lambda xp, x: xp.stack([np.arange(3.0), x]), (3,)),
    "vstack": (lambda xp, x, y: xp.vstack([x, y]), (3,), (2, 3)),
    "hstack": (lambda xp, x, y: xp.hstack([x, y]), (2, 3), (2, 1)),
    "hstack of vectors": (lambda xp, x, y: xp.hstack([x, y]), (2,), (3,)),
    "column_stack": (lambda xp, x, y: xp.column_stack([x, y]), (2,), (2, 3)),
    "tril": (lambda xp, x: xp.tril(x, -1) + xp.triu(x, 1).T, (3, 3)),
    "take": (lambda xp, x: xp.take(x, np.array([1, 1, 0]), axis=1), (2, 3)),
    "take_along_axis": (
        lambda xp, x: xp.take_along_axis(x, np.array([[0, 2], [1, 1]]), axis=1),
        (2, 3),
    ),
    "array_split": (lambda xp, x: xp.concatenate(xp.array_split(x, 3)[::-1]), (5, 2)),
    "split": (lambda xp, x: (lambda a, b, c: a * b + c)(*xp.split(x, 3, axis=1)), (2, 6)),
    "split at places": (lambda xp, x: (lambda a, b, c: a.sum() * b + c.sum())(*xp.split(x, [1, 3])), (5, 2)),
    "unpacking": (lambda xp, x: (lambda a, b: a * b)(*x), (2, 3)),
}

INDICES = {
    "integer": 1, "negative integer": -1, "slice": np.s_[1:3], "stride": np.s_[::2], "reversed": np.s_[::-1],
    "negative stride": np.s_[3:0:-2], "open negative stride": np.s_[-2::-1], "empty slice": np.s_[3:1],
    "Ellipsis": np.s_[..., 0], "two": np.s_[1, -1], "None": None, "None inside": np.s_[:, None, 1],
    "Ellipsis, None": np.s_[..., None],
    "slices and integer": np.s_[1:, 2, ::-1], "list": np.s_[[0, 2, 0]], "array": np.array([3, 1, 1, -1]),
    "list on the second axis": np.s_[:, [1, 1, 0]], "pairs": np.s_[[0, 1, 1], [2, 0, 0]],
    "two-dimensional": np.array([[0, 1], [1, 3]]),
    "slice and list": np.s_[1:, [0, 0, 1]], "list and slice": np.s_[[0, 0, 1], ::-1],
    "list, integer": np.s_[[0, 3], 1],
    "lists apart": np.s_[[0, 1], :, [2, 1]], "open mesh": np.ix_([0, 2, 2], [1, 0]),
    "mask": np.array([True, False, True, True]),
    "mask of an axis": np.s_[:, np.array([True, False, True])],
    "mask of two axes": np.arange(12).reshape(4, 3) % 2 == 0, "list and None": np.s_[[0, 1, 0], None],
}  # fmt: skip

SYSTEMS = {
    "vector": ((3, 3), (3,)), "matrix": ((3, 3), (3, 2)), "stacked": ((4, 3, 3), (4, 3, 2)),
    "one matrix, stacked sides": ((3, 3), (4, 3, 2)), "stacked matrices, one side": ((4, 3, 3), (3, 2)),
}  # fmt: skip


@pytest.mark.parametrize("shapes", MATMUL, ids=str)
def test_matmul(shapes, against_jax, single_precision):
    args = [normal(*shape) for shape in shapes]
    against_jax(lambda xp, x, y: x @ y, *args)
    single_precision(lambda xp, x, y: x @ y, *args)


@pytest.mark.parametrize("name", PRODUCTS)
def test_product(name, against_jax, single_precision):
    f, *shapes = PRODUCTS[name]
    args = [normal(*shape) for shape in shapes]
    against_jax(f, *args)
    if "constant" not in name:
        single_precision(f, *args)


@pytest.mark.parametrize("name", SHAPES)
def test_shape(name, against_jax, single_precision):
    f, *shapes = SHAPES[name]
    args = [normal(*shape) for shape in shapes]
    against_jax(lambda xp, *a: xp.sin(f(xp, *[xp.exp(x) for x in a])), *args)
    single_precision(f, *args)


@pytest.mark.parametrize("name", INDICES)
def test_indexing(name, against_jax, single_precision):
    index = INDICES[name]
    index = np.asarray(index) if isinstance(index, list) else index
    x = normal(4, 3, 5)
    lists = isinstance(index, list | tuple) and any(isinstance(part, list) for part in index)
    theirs = tuple(np.asarray(part) if isinstance(part, list) else part for part in index) if lists else index
    against_jax((lambda x: x[index] ** 2, lambda x: x[theirs] ** 2), x)
    single_precision((lambda x: x[index], None), x)


def test_indexing_twice(against_jax):
    against_jax(lambda xp, x: x[1:][np.array([0, 0, 2])][:, ::-1] * x[0], normal(4, 3))


@pytest.mark.parametrize("name", SYSTEMS)
def test_solve(name, against_jax, single_precision):
    shape, side = SYSTEMS[name]
    matrix = normal(*shape) + 3.0 * np.eye(3)
    b = normal(*side)
    against_jax(lambda xp, a, b: xp.linalg.solve(a, b), matrix, b, tolerance=1e-10)
    single_precision(lambda xp, a, b: xp.linalg.solve(a, b), matrix, b)


def test_solve_with_a_constant_matrix(against_jax):
    matrix = normal(3, 3) + 3.0 * np.eye(3)
    against_jax(lambda xp, b: xp.linalg.solve(matrix, xp.sin(b)), normal(3, 2), tolerance=1e-10)


def test_solve_with_a_constant_side(against_jax):
    b = normal(3)
    against_jax(lambda xp, a: xp.linalg.solve(a, b), normal(3, 3) + 3.0 * np.eye(3), tolerance=1e-10)
