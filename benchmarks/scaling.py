#!/usr/bin/env python3
"""How many 95 % intervals of the scaling law hold the truth, on made data?

python benchmarks/scaling.py [--data_sets 200]    (some 6 minutes of one core; prints a markdown table)
"""

import argparse
from typing import Sequence

import numpy as np

from espnet_llmasr.experiments.scaling import fit_scaling

SETTINGS = {  # budgets, seeds, spread of log errors over seeds at the smallest and the largest budget, c
    "5 budgets, 5 seeds, spread 5 %": (5, 5, (0.05, 0.05), 1.0),
    "5 budgets, 5 seeds, spread 10 %": (5, 5, (0.1, 0.1), 1.0),
    "5 budgets, 5 seeds, spread 10 % to 2.5 %": (5, 5, (0.1, 0.025), 1.0),
    "4 budgets, 3 seeds, spread 5 %": (4, 3, (0.05, 0.05), 1.0),
    "5 budgets, 2 seeds, spread 5 %": (5, 2, (0.05, 0.05), 1.0),
    "5 budgets, 5 seeds, spread 5 %, c = 0": (5, 5, (0.05, 0.05), 0.0),
}
RESAMPLES = 200


def coverage(budgets: int, seeds: int, spread: Sequence[float], c: float, data_sets: int) -> np.ndarray:
    """Shares of the data sets whose intervals hold a, b, c and the errors at the smallest and the largest budget.

    The law is 3 (C / 1e14)^-0.5 + c; budgets double from 1e14 FLOPs on; log errors of seeds spread normally.
    """
    rng, compute = np.random.default_rng(0), np.repeat(1e14 * 2.0 ** np.arange(budgets), seeds)
    truth, scale = 3 * (compute / 1e14) ** -0.5 + c, float(np.exp(np.log(compute).mean()))
    ends = np.array([compute[0], compute[-1]])
    spreads = np.repeat(np.geomspace(*spread, budgets), seeds)
    held = []
    for number in range(data_sets):
        errors = truth * np.exp(spreads * rng.standard_normal(len(compute)))
        fit = fit_scaling(compute, errors, RESAMPLES, seed=number)
        rows = [fit.interval(name) for name in "abc"] + list(fit.band(ends).T)
        values = [3 * (scale / 1e14) ** -0.5, 0.5, c, *(3 * (ends / 1e14) ** -0.5 + c)]
        held.append([low <= value <= high for value, (low, high) in zip(values, rows)])
    return np.mean(held, axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_sets", type=int, default=200)
    args = parser.parse_args()
    print("| data | a | b | c | error at the smallest budget | at the largest |\n|---|---|---|---|---|---|")
    for name, setting in SETTINGS.items():
        shares = coverage(*setting, args.data_sets)
        print(f"| {name} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |", flush=True)


if __name__ == "__main__":
    main()
