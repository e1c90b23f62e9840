#!/usr/bin/env python3
"""Do three libraries that are not ours compute the same risk and performance figures?

Feeds random return series (and the golden one) to the example `figures` of veloz-exporter and to
empyrical-reloaded, quantstats and ffn, and compares every figure that each of them has. Exposure and
concentration are compared with their definitions in numpy.

Usage: formulas.py PATH_OF_FIGURES [SERIES]
"""

import json
import math
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
from scipy.stats import norm

# Plotting back ends and deprecations of the libraries are not what is tested.
warnings.simplefilter("ignore")
import empyrical  # noqa: E402
import ffn  # noqa: E402
import quantstats.stats as qs  # noqa: E402

GOLDEN = [
    0.012, -0.008, 0.005, 0, -0.021, 0.017, 0.003, -0.004, 0.009, -0.013,
    0.022, -0.006, 0.001, -0.030, 0.011, 0.008, -0.002, 0.014, -0.009, 0.006,
]  # fmt: skip
RELATIVE = 1e-9
SEED = 20261128


def series(count):
    """Return series of many lengths and shapes, each with a drawdown, a gain and a loss."""
    yield GOLDEN, 365
    yield GOLDEN, 252
    random = np.random.default_rng(SEED)
    made = 0
    while made < count:
        n = int(random.integers(3, 400))
        shape = made % 4
        if shape == 0:
            values = random.normal(0.0005, 0.02, n)
        elif shape == 1:
            values = random.standard_t(3, n) * 0.01
        elif shape == 2:
            # Flat periods and equal returns: ties at the quantile.
            values = random.choice([-0.02, -0.01, 0.0, 0.0, 0.01, 0.02], n)
        else:
            values = random.normal(0.001, 0.01, n).round(4)
        values = np.clip(values, -0.9, 0.9)
        if not ((values > 0).any() and (values < 0).any()) or np.std(values) == 0:
            continue
        made += 1
        yield [float(value) for value in values], int(random.choice([252, 365, 8760]))


def expected(returns, k):
    """Figure, library and value; losses positive, as ours are."""
    index = pd.date_range("2020-01-01", periods=len(returns), freq="D")
    r = pd.Series(returns, index=index, dtype=float)
    before = index[0] - pd.Timedelta(days=1)
    prices = pd.concat([pd.Series([1.0], index=[before]), (1 + r).cumprod()])
    drawdowns = ffn.to_drawdown_series(prices)
    plain = r.to_numpy()
    yield "mean", "numpy", plain.mean()
    yield "deviation", "numpy", plain.std(ddof=1)
    for level, cutoff in (("95", 0.05), ("99", 0.01)):
        yield f"var_{level}", "empyrical", -empyrical.value_at_risk(r, cutoff)
        shortfall = empyrical.conditional_value_at_risk(r, cutoff)
        yield f"shortfall_{level}", "empyrical", -shortfall
        parametric = qs.value_at_risk(r, confidence=1 - cutoff, prepare_returns=False)
        yield f"parametric_var_{level}", "quantstats", -parametric
        density = norm.pdf(norm.ppf(cutoff)) / cutoff
        value = density * plain.std(ddof=1) - plain.mean()
        yield f"parametric_shortfall_{level}", "scipy", value
    yield "sharpe", "empyrical", empyrical.sharpe_ratio(r, annualization=k)
    yield "sharpe", "quantstats", qs.sharpe(r, periods=k)
    yield "sharpe", "ffn", ffn.calc_sharpe(r, nperiods=k)
    yield "sortino", "empyrical", empyrical.sortino_ratio(r, annualization=k)
    yield "sortino", "quantstats", qs.sortino(r, periods=k)
    yield "sortino", "ffn", ffn.calc_sortino_ratio(r, nperiods=k)
    yield "downside_risk", "empyrical", empyrical.downside_risk(r, annualization=k)
    yield "cagr", "empyrical", empyrical.annual_return(r, annualization=k)
    yield "cagr", "quantstats", qs.cagr(r, periods=k)
    yield "calmar", "empyrical", empyrical.calmar_ratio(r, annualization=k)
    yield "calmar", "quantstats", qs.calmar(r, periods=k)
    yield "max_drawdown", "empyrical", -empyrical.max_drawdown(r)
    yield "max_drawdown", "quantstats", -qs.max_drawdown(r)
    yield "max_drawdown", "ffn", -ffn.calc_max_drawdown(prices)
    yield "current_drawdown", "ffn", -drawdowns.iloc[-1]
    yield "win_rate", "quantstats", qs.win_rate(r, prepare_returns=False)
    yield "profit_factor", "quantstats", qs.profit_factor(r, prepare_returns=False)


def positions(count):
    random = np.random.default_rng(SEED + 1)
    yield [120_000.0, -80_000.0, 30_000.0, -10_000.0], 100_000.0
    for _ in range(count):
        n = int(random.integers(2, 60))
        notionals = random.normal(0, 50_000, n)
        yield [float(value) for value in notionals], float(random.uniform(1, 1e6))


def expected_of_positions(notionals, equity):
    n = np.array(notionals)
    w = np.sort(np.abs(n) / np.abs(n).sum())[::-1]
    hhi = (w**2).sum()
    return {
        "gross": np.abs(n).sum(),
        "net": n.sum(),
        "long": n[n > 0].sum(),
        "short": -n[n < 0].sum(),
        "leverage": np.abs(n).sum() / equity,
        "net_leverage": abs(n.sum()) / equity,
        "positions": len(n),
        "largest": w[0],
        "top_3": w[:3].sum(),
        "hhi": hhi,
        "hhi_normalised": (hhi - 1 / len(n)) / (1 - 1 / len(n)),
    }


def same(ours, theirs):
    if ours is None:
        return theirs is None or math.isnan(theirs)
    if ours == "infinite":
        return math.isinf(theirs)
    return math.isclose(ours, theirs, rel_tol=RELATIVE, abs_tol=1e-12)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    count = int(sys.argv[2]) if len(sys.argv) == 3 else 200
    of_returns = list(series(count))
    of_positions = list(positions(count))
    questions = [
        {"returns": values, "periods_per_year": k} for values, k in of_returns
    ] + [{"notionals": values, "equity": equity} for values, equity in of_positions]
    ran = subprocess.run(
        [sys.argv[1]],
        input="".join(json.dumps(question) + "\n" for question in questions),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    if len(answers) != len(questions):
        sys.exit(f"{len(questions)} questions, {len(answers)} answers")
    compared = {}
    wrong = []

    def compare(position, figure, library, ours, theirs):
        compared[(figure, library)] = compared.get((figure, library), 0) + 1
        if not same(ours, theirs):
            wrong.append(f"series {position}: {figure}: ours {ours}, {library} {theirs}")

    for position, (values, k) in enumerate(of_returns):
        for figure, library, value in expected(values, k):
            compare(position, figure, library, answers[position][figure], float(value))
    for offset, (values, equity) in enumerate(of_positions):
        position = len(of_returns) + offset
        for figure, value in expected_of_positions(values, equity).items():
            compare(position, figure, "numpy", answers[position][figure], float(value))
    for line in wrong[:20]:
        print(line, file=sys.stderr)
    if wrong:
        sys.exit(f"{len(wrong)} of {sum(compared.values())} comparisons differ")
    pairs = ", ".join(f"{figure} ({library})" for figure, library in sorted(compared))
    print(f"{sum(compared.values())} comparisons agree: {pairs}")


if __name__ == "__main__":
    main()
