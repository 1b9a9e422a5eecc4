# SPDX-License-Identifier: Apache-2.0
"""Do the intervals and tests of a study hold what they promise? Simulated studies whose truth is known.

    python benchmarks/study_statistics.py --json statistics.json

Scores are mean + patient + draw + noise. Variances are in units of the patients' unless a standard deviation in Dice is
given. Compared are: the package's interval; the same analysis of variance with Satterthwaite's degrees of freedom; the
crossed bootstrap (draws and patients drawn anew, apart from each other), its percentile interval stretched for few
draws; and the t-interval over patients that takes the draws as given.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from monai_cl_ext.study.statistics import CrossedMean, crossed_mean, permutation_p_value

CHUNK = 1000
"""Studies simulated at once."""
FAMILIES = 100
"""Tables of differences simulated at once."""
LEVEL = 0.95
METHODS, COUNTS = 4, 3
"""Of a simulated table of differences: methods beside scratch, numbers of labeled patients."""
NULLS = {
    "equal in every cell": (0.0, 0.0, "normal"),
    "patients differ": (0.06, 0.0, "normal"),
    "patients and draws differ": (0.06, 0.025, "normal"),
    "the same, skewed": (0.06, 0.025, "skewed"),
    "draws dominate": (0.06, 0.06, "normal"),
}
"""Standard deviations of a paired difference over patients and over draws; the true mean difference is 0 in each."""
NOISE = 0.03


def effects(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Random effects of mean 0 and variance 1; skewed ones fall as Dice does, with a long tail towards low scores."""
    if kind == "normal":
        return rng.standard_normal(shape)
    return (2 - rng.gamma(2, 1, shape)) / np.sqrt(2)


def simulate(
    rng: np.random.Generator, shape: tuple[int, ...], spread: tuple[float, float, float], kind: str = "normal"
) -> np.ndarray:
    """Studies (..., draws, patients) of mean 0, with the standard deviations of patients, draws and noise."""
    *lead, draws, patients = shape
    by_patient, by_draw, noise = spread
    return (
        by_patient * effects(rng, (*lead, 1, patients), kind)
        + by_draw * effects(rng, (*lead, draws, 1), kind)
        + noise * effects(rng, shape, kind)
    )


def satterthwaite(found: CrossedMean) -> np.ndarray:
    """Degrees of freedom of the variance of the mean."""
    draw_df, patient_df = found.draw_freedom, found.patient_freedom
    parts = found.draws**2 / draw_df + found.patients**2 / patient_df + found.noise**2 / (draw_df * patient_df)
    return found.standard_error() ** 4 / parts


def bootstrap(rng: np.random.Generator, values: np.ndarray, resamples: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the crossed bootstrap, stretched about the mean for few draws or patients.

    Both percentiles are moved away from the mean by the ratio of Student's t to the normal quantile and by the square
    root of n / (n - 1), n the smaller of draws and patients (after Hesterberg 2015, The American Statistician 69, 371).
    """
    draws, patients = values.shape[-2:]
    by_draw = rng.multinomial(draws, np.full(draws, 1 / draws), resamples) / draws
    by_patient = rng.multinomial(patients, np.full(patients, 1 / patients), resamples) / patients
    means = np.einsum("sbp,bp->sb", by_draw @ values, by_patient)
    count, tail = min(draws, patients), (1 - LEVEL) / 2
    stretch = stats.t.isf(tail, count - 1) / stats.norm.isf(tail) * np.sqrt(count / (count - 1))
    center = values.mean((-2, -1))
    low, high = np.quantile(means, [tail, 1 - tail], axis=1)
    return center + stretch * (low - center), center + stretch * (high - center)


def covered(rng: np.random.Generator, values: np.ndarray) -> dict[str, np.ndarray]:
    """For each kind of interval whether it holds the true mean, 0; and the half widths of two of them."""
    found, tail = crossed_mean([values]), (1 - LEVEL) / 2
    patients_only = stats.t.isf(tail, found.patient_freedom) * np.sqrt(found.patients)
    low, high = bootstrap(rng, values[: len(values) // 5])
    size = np.abs(found.mean)
    return {
        "package": size <= found.half_width(LEVEL),
        "satterthwaite": size <= stats.t.isf(tail, satterthwaite(found)) * found.standard_error(),
        "bootstrap": (low <= 0) & (high >= 0),
        "patients only": size <= patients_only,
        "half width": found.half_width(LEVEL),
        "half width satterthwaite": stats.t.isf(tail, satterthwaite(found)) * found.standard_error(),
    }


def generators(seed: int, cell: int, studies: int, at_once: int = CHUNK) -> list[np.random.Generator]:
    """One for each of the chunks of a cell's studies, no two alike in any cell."""
    return [np.random.default_rng(one) for one in np.random.SeedSequence([seed, cell]).spawn(studies // at_once)]


def coverage(studies: int, seed: int) -> pd.DataFrame:
    """Coverage in % of the 95 % intervals, one row for each cell of the grid, one fold."""
    rows = []
    grid = itertools.product(("normal", "skewed"), (20, 50), (2, 3, 5, 10), (0.25, 1.0), (0, 0.25, 0.5, 1, 2))
    for cell, (kind, patients, draws, noise, ratio) in enumerate(grid):
        spread, shape = (1.0, ratio**0.5, noise**0.5), (CHUNK, draws, patients)
        parts = [covered(rng, simulate(rng, shape, spread, kind)) for rng in generators(seed, cell, studies)]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        shares = {n: np.median(v) if n.startswith("half") else 100 * v.mean() for n, v in joined.items()}
        rows.append({"effects": kind, "patients": patients, "draws": draws, "noise": noise, "ratio": ratio, **shares})
    return pd.DataFrame(rows)


def small_studies(studies: int, seed: int) -> pd.DataFrame:
    """The package's coverage in % down to three patients and one draw; noise 0.5."""
    rows = []
    grid = itertools.product(("normal", "skewed"), (3, 5, 10, 20, 50), (1, 2, 3, 5, 10), (0, 0.25, 0.5, 1, 2))
    for cell, (kind, patients, draws, ratio) in enumerate(grid):
        held = []
        for rng in generators(seed, cell, studies):
            found = crossed_mean([simulate(rng, (CHUNK, draws, patients), (1.0, ratio**0.5, 0.5**0.5), kind)])
            held.append(np.abs(found.mean) <= found.half_width(LEVEL))
        rows.append((kind, patients, draws, ratio, 100 * np.concatenate(held).mean()))
    return pd.DataFrame(rows, columns=["effects", "patients", "draws", "ratio", "package"])


def fold_coverage(studies: int, seed: int) -> pd.DataFrame:
    """Coverage in % with five folds, each with draws of its own; of folds of unlike size too."""
    rows = []
    designs = {"5 x 4": [4] * 5, "5 x 20": [20] * 5, "20 20 20 20 15": [20, 20, 20, 20, 15], "3 x 10": [10] * 3}
    grid = itertools.product(designs.items(), (1, 2, 3, 5), (0.25, 1.0), (0, 0.25, 0.5, 1, 2))
    for cell, ((name, sizes), draws, noise, ratio) in enumerate(grid):
        spread, held, naive = (1.0, ratio**0.5, noise**0.5), [], []
        for rng in generators(seed, cell, studies):
            folds = [simulate(rng, (CHUNK, draws, size), spread) for size in sizes]
            found, every = crossed_mean(folds), np.concatenate([fold.mean(1) for fold in folds], axis=1)
            half = stats.t.isf((1 - LEVEL) / 2, every.shape[1] - 1) * stats.sem(every, axis=1)
            held.append(np.abs(found.mean) <= found.half_width(LEVEL))
            naive.append(np.abs(every.mean(1)) <= half)
        shares = [100 * np.concatenate(part).mean() for part in (held, naive)]
        rows.append((name, draws, noise, ratio, *shares))
    return pd.DataFrame(rows, columns=["folds", "draws", "noise", "ratio", "package", "patients only"])


def family(rng: np.random.Generator, draws: int, patients: int, null: str) -> np.ndarray:
    """Scores (studies, counts, methods + scratch, draws, patients) of which every paired difference has the mean 0."""
    by_patient, by_draw, kind = NULLS[null]
    spread = tuple(value / np.sqrt(2) for value in (by_patient, by_draw, NOISE))
    return simulate(rng, (FAMILIES, COUNTS, METHODS + 1, draws, patients), spread, kind)


def false_positives(studies: int, seed: int) -> pd.DataFrame:
    """In %: single tests with p <= 0.05; and families of which Holm's correction finds any difference.

    All hypotheses are true, so Holm finds one just where the smallest p is at most 0.05 / their number.
    """
    rows = []
    for cell, (null, patients, draws) in enumerate(itertools.product(NULLS, (20, 50), (2, 3, 5))):
        found: dict[str, list[np.ndarray]] = {"crossed": [], "satterthwaite": [], "permutation": [], "best": []}
        for rng in generators(seed, cell, studies, FAMILIES):
            scores = family(rng, draws, patients, null)
            differences = scores[:, :, 1:] - scores[:, :, :1]
            crossed = crossed_mean([differences])
            found["crossed"].append(crossed.p_value())
            found["satterthwaite"].append(
                2 * stats.t.sf(np.abs(crossed.mean) / crossed.standard_error(), satterthwaite(crossed))
            )
            means = differences.mean(-2).reshape(-1, 20, patients)  # few at once: the sign flips fit into the cache
            found["permutation"] += [permutation_p_value(part, 999, seed) for part in means]
            first, second = np.triu_indices(METHODS + 1, 1)
            found["best"].append(crossed_mean([scores[:, :, first] - scores[:, :, second]]).p_value())
        row = {"null": null, "patients": patients, "draws": draws}
        for name, values in found.items():
            p_values = np.concatenate(values).reshape(studies, -1)
            row[f"{name} single"] = 100 * (p_values <= 0.05).mean()
            row[f"{name} family"] = 100 * (p_values.min(1) * p_values.shape[1] <= 0.05).mean()
        rows.append(row)
    return pd.DataFrame(rows)


def power(studies: int, seed: int) -> pd.DataFrame:
    """In %: tests that find a true difference in Dice; alone, and as the smallest p of a family of twelve."""
    rows = []
    designs = {"20": [20], "50": [50], "5 x 20": [20] * 5}
    grid = itertools.product(designs.items(), (3, 5, 10), ((0.05, 0.02), (0.07, 0.03)))
    for cell, ((name, sizes), draws, (by_patient, by_draw)) in enumerate(grid):
        p_values: dict[float, list[np.ndarray]] = {effect: [] for effect in (0.01, 0.02, 0.03, 0.04, 0.05)}
        for rng in generators(seed, cell, studies):
            folds = [simulate(rng, (CHUNK, draws, size), (by_patient, by_draw, NOISE)) for size in sizes]
            for effect, found in p_values.items():
                found.append(crossed_mean([fold + effect for fold in folds]).p_value())
        for bound, label in ((0.05, "alone"), (0.05 / (METHODS * COUNTS), "of twelve")):
            shares = {f"{effect:.2f}": 100 * (np.concatenate(p) <= bound).mean() for effect, p in p_values.items()}
            rows.append({"patients": name, "draws": draws, "SD": f"{by_patient}, {by_draw}", "test": label, **shares})
    return pd.DataFrame(rows)


QUESTIONS = {
    "coverage": coverage,
    "small_studies": small_studies,
    "fold_coverage": fold_coverage,
    "false_positives": false_positives,
    "power": power,
}


def main() -> None:
    """Answers the questions and prints a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", nargs="+", default=list(QUESTIONS), choices=list(QUESTIONS))
    parser.add_argument("--studies", type=int, default=10000, help="in each cell; a multiple of 1000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file to write all tables to")
    arguments = parser.parse_args()
    tables = {}
    for name in arguments.questions:
        start = time.perf_counter()
        tables[name] = QUESTIONS[name](arguments.studies, arguments.seed)
        print(f"\n{name}: {arguments.studies} studies a cell, {time.perf_counter() - start:.0f} s\n")
        print(tables[name].to_string(index=False, float_format="{:.2f}".format), flush=True)
    if arguments.json:
        records = {name: table.to_dict("records") for name, table in tables.items()}
        arguments.json.write_text(
            json.dumps({"studies": arguments.studies, "seed": arguments.seed, **records}, indent=1)
        )


if __name__ == "__main__":
    main()
