"""Least squares of log errors under the law a * C^-b + c, from several starts: the search behind metrics.scaling.

Shapes: N runs, R sets of errors of the same runs' compute, S starts.
"""

import math
from typing import Tuple

import numpy as np
from scipy.ndimage import minimum_filter
from scipy.optimize import least_squares
from scipy.special import expit

B_RANGE = (0.01, 10.0)
TOLERANCE = 1e-12
_RATIO_RANGE = (1e-6, 1e6)  # of c to a; below it c is 0
_GRID = 49  # points on each axis of the search for starts


def fit_laws(x: np.ndarray, targets: np.ndarray, starts: int) -> np.ndarray:
    """x (N,) log compute, targets (R, N) log errors -> (R, 3) a, b, c.

    With r = c / a the law is log a + log(x^-b + r): log a is a mean, so the search is over log b and log r. It starts
    at the best local minima of a grid; the power law without c, a straight line, is taken where it fits as well.
    """
    axes = [np.linspace(*np.log(ends), _GRID) for ends in (B_RANGE, _RATIO_RANGE)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    shapes = centred(_shape(points[:, :1], points[:, 1:], x))
    fits = []
    for y in targets:
        costs = ((shapes - centred(y)) ** 2).sum(axis=1)
        surface = costs.reshape(_GRID, _GRID)
        minima = np.flatnonzero((surface == minimum_filter(surface, 3, mode="nearest")).ravel())
        best = minima[np.argsort(costs[minima])[:starts]]
        fits.append(_best_fit(x, y, points[best]))
    return np.array(fits)


def _best_fit(x: np.ndarray, y: np.ndarray, starts: np.ndarray) -> Tuple[float, float, float]:
    """x (N,), y (N,), starts (S, 2) of log b and log r -> a, b, c of the least squares."""
    bounds = np.log([B_RANGE, _RATIO_RANGE]).T

    def residuals(point: np.ndarray) -> np.ndarray:
        return centred(_shape(*point, x) - y)

    def jacobian(point: np.ndarray) -> np.ndarray:
        slope = math.exp(point[0]) * x
        of_c = expit(point[1] + slope)  # share of c in the error
        return np.stack([centred((of_c - 1) * slope), centred(of_c)], axis=1)

    found = [
        least_squares(residuals, start, jacobian, bounds, ftol=TOLERANCE, xtol=TOLERANCE, gtol=TOLERANCE, x_scale="jac")
        for start in np.clip(starts, *(bounds + [[1e-3], [-1e-3]]))
    ]
    best = min(found, key=lambda result: result.cost)
    line = np.clip(-(x @ centred(y)) / (x @ x), *B_RANGE)
    if np.sum(centred(y + line * x) ** 2) <= 2 * best.cost * (1 + 1e-9):
        return math.exp(y.mean()), float(line), 0.0
    a = math.exp(np.mean(y - _shape(*best.x, x)))
    return a, math.exp(best.x[0]), a * math.exp(best.x[1])


def _shape(log_b: np.ndarray, log_ratio: np.ndarray, x: np.ndarray) -> np.ndarray:
    """log(C^-b + r) at x = log C."""
    return np.logaddexp(-np.exp(log_b) * x, log_ratio)


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=-1, keepdims=True)
