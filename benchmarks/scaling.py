"""How many 95 % intervals of the scaling law hold the truth, on made data?

python benchmarks/scaling.py    (some 6 minutes of one core; prints the table of scaling.md)
"""

import numpy as np
from common import table

from espnet_llmasr.experiments.scaling import fit_scaling

SETTINGS = {  # budgets, seeds, spread of log errors over seeds at the smallest and the largest budget, c
    "5 budgets, 5 seeds, spread 5 %": (5, 5, (0.05, 0.05), 1.0),
    "5 budgets, 5 seeds, spread 10 %": (5, 5, (0.1, 0.1), 1.0),
    "5 budgets, 5 seeds, spread 10 % to 2.5 %": (5, 5, (0.1, 0.025), 1.0),
    "4 budgets, 3 seeds, spread 5 %": (4, 3, (0.05, 0.05), 1.0),
    "5 budgets, 2 seeds, spread 5 %": (5, 2, (0.05, 0.05), 1.0),
    "5 budgets, 5 seeds, spread 5 %, c = 0": (5, 5, (0.05, 0.05), 0.0),
}
DATA_SETS, RESAMPLES = 200, 200


def coverage(budgets, seeds, spread, c):
    """Shares of the data sets whose intervals hold a, b, c and the errors at the smallest and the largest budget.

    The law is 3 (C / 1e14)^-0.5 + c; budgets double from 1e14 FLOPs on; log errors of seeds spread normally.
    """
    rng, compute = np.random.default_rng(0), np.repeat(1e14 * 2.0 ** np.arange(budgets), seeds)
    truth, scale = 3 * (compute / 1e14) ** -0.5 + c, float(np.exp(np.log(compute).mean()))
    spreads = np.repeat(np.geomspace(*spread, budgets), seeds)
    values, held = np.array([3 * (scale / 1e14) ** -0.5, 0.5, c, truth[0], truth[-1]]), []
    for number in range(DATA_SETS):
        errors = truth * np.exp(spreads * rng.standard_normal(len(compute)))
        fit = fit_scaling(compute, errors, RESAMPLES, seed=number)
        low, high = np.array([*map(fit.interval, "abc"), *fit.band(compute[[0, -1]]).T]).T
        held.append((low <= values) & (values <= high))
    return np.mean(held, axis=0)


if __name__ == "__main__":
    columns = ("data", "a", "b", "c", "error at the smallest budget", "at the largest")
    table(columns, ((name, *(f"{100 * share:.1f}" for share in coverage(*SETTINGS[name]))) for name in SETTINGS))
