"""A Gaussian process with derivatives in 80 digits: the kernel as its definition, every derivative a central difference
with a step of 1e-20 (an error near 1e-39), so that it shares no formula with the package."""

from __future__ import annotations

import mpmath as mp
import numpy as np

STEP = mp.mpf(10) ** -20


def profile(name, s):
    if name == "squared_exponential":
        return mp.exp(-s / 2)
    t = mp.sqrt(5 * s)
    return (1 + t + t**2 / 3) * mp.exp(-t)


def kernel(name, x, y, lengths, signal):
    s = sum(((a - b) / length) ** 2 for a, b, length in zip(x, y, lengths, strict=True))
    return signal * profile(name, s)


def moved(x, i, h):
    return [a + h if k == i else a for k, a in enumerate(x)]


def entry(name, left, right, lengths, signal):
    """Covariance of two functionals, each (point, None) or (point, coordinate), in natural units."""
    (x, i), (y, j) = left, right
    if i is not None:
        up, down = ((moved(x, i, h), None) for h in (STEP, -STEP))
        return (entry(name, up, right, lengths, signal) - entry(name, down, right, lengths, signal)) / (
            2 * STEP
        )
    if j is not None:
        up, down = ((moved(y, j, h), None) for h in (STEP, -STEP))
        return (entry(name, left, up, lengths, signal) - entry(name, left, down, lengths, signal)) / (
            2 * STEP
        )
    return kernel(name, x, y, lengths, signal)


def functionals(x, rows):
    points = [[mp.mpf(float(a)) for a in point] for point in np.asarray(x)]
    found = [(points[p], None) for p in rows.values]
    return found + [(points[p], int(i)) for p, i in zip(rows.points, rows.coordinates, strict=True)]


def unpack(vector, d):
    logs = [mp.mpf(v) for v in vector]
    return [mp.exp(v) for v in logs[:d]], *(mp.exp(v) for v in logs[d : d + 3]), logs[d + 3]


class Reference:
    def __init__(self, name, data, vector):
        self.name, d = name, data.points.x.shape[1]
        lengths, signal, noise, gradient_noise, mean = unpack(vector, d)
        self.lengths, self.signal, self.mean = lengths, signal, mean
        self.rows = functionals(data.points.x, data.rows)
        n, size = len(data), len(self.rows)
        matrix = mp.matrix(size, size)
        for a in range(size):
            for b in range(a, size):
                matrix[a, b] = matrix[b, a] = entry(name, self.rows[a], self.rows[b], lengths, signal)
        for p in range(n):
            matrix[p, p] += noise + mp.mpf(float(data.value_noise[p]))
        for a, given in enumerate(data.derivative_noise, start=n):
            matrix[a, a] += gradient_noise + mp.mpf(float(given))
        y = [mp.mpf(float(v)) - mean for v in data.values] + [mp.mpf(float(g)) for g in data.derivatives]
        self.matrix, self.y = matrix, mp.matrix(y)
        self.factor = mp.cholesky(matrix)
        self.alpha = self.solve(self.y)
        # What the package's condition number is of: the rows per length-scale.
        scale = [1 if i is None else lengths[i] for _, i in self.rows]
        table = [[float(matrix[a, b] * scale[a] * scale[b]) for b in range(size)] for a in range(size)]
        self.condition = float(np.linalg.cond(np.array(table)))

    def solve(self, right):
        size = len(right)
        half = mp.matrix(size, 1)
        for a in range(size):
            half[a] = (right[a] - mp.fsum(self.factor[a, b] * half[b] for b in range(a))) / self.factor[a, a]
        whole = mp.matrix(size, 1)
        for a in reversed(range(size)):
            rest = mp.fsum(self.factor[b, a] * whole[b] for b in range(a + 1, size))
            whole[a] = (half[a] - rest) / self.factor[a, a]
        return whole

    def log_density(self):
        size = len(self.y)
        quadratic = mp.fsum(self.y[a] * self.alpha[a] for a in range(size))
        logs = mp.fsum(mp.log(self.factor[a, a]) for a in range(size))
        return -quadratic / 2 - logs - mp.mpf(size) / 2 * mp.log(2 * mp.pi)

    def moments(self, x):
        cross = [entry(self.name, (x, None), row, self.lengths, self.signal) for row in self.rows]
        inner = self.solve(mp.matrix(cross))
        mean = self.mean + mp.fsum(c * a for c, a in zip(cross, self.alpha, strict=True))
        return mean, self.signal - mp.fsum(c * a for c, a in zip(cross, inner, strict=True))

    def predict(self, x):
        """mean, variance, their gradients by x."""
        x = [mp.mpf(float(a)) for a in x]
        mean, variance = self.moments(x)
        slopes = []
        for i in range(len(x)):
            up, down = self.moments(moved(x, i, STEP)), self.moments(moved(x, i, -STEP))
            slopes.append([(a - b) / (2 * STEP) for a, b in zip(up, down, strict=True)])
        return mean, variance, [s[0] for s in slopes], [s[1] for s in slopes]


def log_density_gradient(name, data, vector):
    found = []
    exact = [mp.mpf(float(v)) for v in vector]
    for i in range(len(exact)):
        up, down = (Reference(name, data, moved(exact, i, h)).log_density() for h in (STEP, -STEP))
        found.append(float((up - down) / (2 * STEP)))
    return np.array(found)
