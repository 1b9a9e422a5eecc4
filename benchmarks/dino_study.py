# SPDX-License-Identifier: Apache-2.0
"""How strong should the views of DINO be on photographs? Pre-training, linear probe and scores, in one command.

    python benchmarks/dino_study.py --dataset_dir DIR --output runs/dino
    python benchmarks/dino_study.py --retinamnist FILE.npz --output runs/retinamnist --strengths 0 0.25 0.5 0.75 1

An arm is a policy of views, the policy ``strong`` at a lower strength (``--strengths``), or ``random``, which is not
pre-trained. Each arm is run with each seed by the bundle dino_classification: the same random start and the same
batches for all arms of a seed, one split by patient for all; test patients are scored in the end and serve nothing
else. Intervals are percentiles over resampled test patients, with the scores averaged over the seeds first.
RetinaMNIST has no patients: each picture counts as one; a part of its train list selects, its val list is the test.

Each cell is a process and a folder of its own; what is done is not run again and a stopped stage goes on at its last
epoch, so the same command continues a study.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from monai.bundle import ConfigParser
from monai.utils import set_determinism
from PIL import Image

from monai_cl_ext.csv_files import read_table
from monai_cl_ext.data import find_pictures
from monai_cl_ext.files import write_text
from monai_cl_ext.metrics.classification import classification_scores
from monai_cl_ext.metrics.metric import METRICS
from monai_cl_ext.study.bundles import Bundle, find_bundle
from monai_cl_ext.study.scheduler import alone
from monai_cl_ext.study.stage import run_stage
from monai_cl_ext.view_report.comparison import auc, compare_views, network_space
from monai_cl_ext.view_report.policies import ViewSettings
from monai_cl_ext.view_report.sample import read_sample

POLICIES = ["strong", "weak", "weak_med"]
SCORES = ["auroc", "aupr"]
CLASSIFIERS = {"network": "probe", "nearest_neighbors": "kNN"}
PREDICTIONS = {"network": "predictions.csv", "nearest_neighbors": "predictions_nearest_neighbors.csv"}
PARTS = {"test": "eval", "validation": "eval/validation"}
DISTANCES, MEASURES = "distances.json", ["auc", "positive", "negative"]
PAIRS = [("weak", "strong"), ("weak_med", "strong"), ("weak_med", "weak")]
PAPER = {
    "MESSIDOR-2": {"auroc": (0.838, 0.848, 0.823), "aupr": (0.523, 0.597, 0.523)},
    "APTOS2019": {"auroc": (0.933, 0.933, 0.924), "aupr": (0.667, 0.662, 0.637)},
    "IDRiD": {"auroc": (0.747, 0.790, 0.726), "aupr": (0.461, 0.498, 0.432)},
    "PAPILA": {"auroc": (0.791, 0.816, 0.792), "aupr": (0.637, 0.671, 0.628)},
    "JSIEC": {"auroc": (0.960, 0.977, 0.968), "aupr": (0.651, 0.760, 0.707)},
    "Retina": {"auroc": (0.781, 0.807, 0.814), "aupr": (0.594, 0.632, 0.626)},
}
"""Cheng et al., arXiv 2501.02451, Table 4: strong, weak and weak+med, means of five runs."""


class Study:
    """One study: what its cells are, and how each is run."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.root = arguments, Path(arguments.output).resolve()
        own = bool(arguments.retinamnist)
        self.bundle = Bundle(self.root / "bundle", ("fixed_split",) if own else ())
        self.data = self.root / "pictures" if own else Path(arguments.dataset_dir).resolve()
        ladder = {arm_of(strength): ("strong", strength) for strength in arguments.strengths}
        self.arms = {policy: (policy, 1.0) for policy in arguments.policies} | ladder

    def settings(self, seed: int) -> dict[str, Any]:
        """What all stages have in common."""
        return {
            "dataset_dir": str(self.data), "seed": seed, "split_seed": self.arguments.split_seed,
            "validation_patients": self.arguments.validation, "test_patients": self.arguments.test,
            "image_size": self.arguments.size, "picture_size": 3 * self.arguments.size // 2,
            "num_layers": self.arguments.depth, **self.arguments.settings,
        }  # fmt: skip

    def pretraining(self, seed: int) -> tuple[dict[str, Any], ConfigParser]:
        """Settings of the pre-training but its policy, and its configuration under them."""
        settings = {**self.settings(seed), "local_size": self.arguments.size // 2}
        settings |= {name: getattr(self.arguments, name) for name in ("out_dim", "epochs", "batches_per_epoch")}
        settings |= self.arguments.pretrain_settings
        files = [str(self.bundle.path(name)) for name in self.bundle.configs("pretrain")]
        parser = ConfigParser(ConfigParser.load_config_files(files))
        parser.update(settings)
        return settings, parser

    def prepare(self) -> None:
        """Copies the bundle, with two overlays of this study's, and writes which pictures are in which part."""
        configs = find_bundle("dino_classification").copy(self.bundle.folder).folder / "configs"
        handlers = self.bundle.read("evaluate")["validate#handlers"]
        place = next(place for place, one in enumerate(handlers) if "ClassificationScores" in one["_target_"])
        overlay = {
            "output_dir": f"$@bundle_root + '/{PARTS['validation']}'",
            "test_cases": "$[case for case in @split['validation'] if case['label']]",
            f"validate#handlers#{place}#trained_on": "$[case['image'] for case in @split['pretrain']]",
        }
        write_text(configs / "evaluate_validation.json", json.dumps(overlay, indent=1))
        if self.arguments.retinamnist:
            write_text(configs / "fixed_split.json", json.dumps(write_pictures(self.arguments, self.data), indent=1))
        parser = self.pretraining(seed=0)[1]
        write_text(self.root / "network.json", json.dumps(parser.get(), indent=1))
        split, counts = parser.get_parsed_content("split"), {}
        for part in ("pretrain", "validation", "test"):
            table = pd.DataFrame([{key: case[key] for key in ("image", "patient")} for case in split[part]])
            write_text(self.root / f"{part}.csv", table.to_csv(index=False))
            counts[part] = {"pictures": len(table), "patients": int(table["patient"].nunique())}
        write_text(self.root / "split.json", json.dumps(counts, indent=1))

    def run(self) -> None:
        """Runs every cell in a process of its own; one that fails does not stop the others."""
        cells = [f"{arm}/seed_{seed}" for seed in self.arguments.seeds for arm in self.arms]
        environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self.arguments.workers))}

        def run(cell: str) -> bool:
            begun, log = time.perf_counter(), self.root / cell / "log.txt"
            log.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, __file__, *sys.argv[1:], "--cell", cell]
            with log.open("a") as file:
                status = subprocess.run(command, stdout=file, stderr=file, env=environment).returncode
            told = f"FAILED, see {log}" if status else "done"
            print(f"{cell}: {told} after {time.perf_counter() - begun:.0f} s", flush=True)
            return status == 0

        with ThreadPoolExecutor(self.arguments.workers) as pool:
            failed = list(pool.map(run, cells)).count(False)
        if failed:
            sys.exit(f"{failed} of {len(cells)} cells failed; the same command runs them again")

    def run_cell(self, arm: str, seed: int) -> None:
        """Pre-trains, trains the probe, scores validation and test patients and measures distances, each once."""
        folder = self.root / arm / f"seed_{seed}"
        policy, strength = self.arms[arm]
        overlays = [*self.bundle.overlays, *([] if arm == "random" else [f"policy_{policy}"])]
        bundle, weights = self.bundle.with_overlays(overlays).copy(folder), folder / "models" / "model_pretrain.pt"
        settings, parser = self.pretraining(seed)
        if arm == "random":
            weights.parent.mkdir(exist_ok=True)
            set_determinism(seed)  # as the bundle does before it makes the network: where all arms of this seed start
            torch.save(parser.get_parsed_content("initial_network").state_dict(), weights)
        else:
            run_stage(bundle, ["pretrain"], {**settings, "strength": strength})
        probe = {**self.settings(seed), "epochs": self.arguments.probe_epochs, "pretrained": str(weights)}
        for stages in (["train"], ["train", "evaluate"], ["train", "evaluate", "evaluate_validation"]):
            run_stage(bundle, stages, {**probe, **self.arguments.probe_settings})
        if not (folder / DISTANCES).is_file():
            write_text(folder / DISTANCES, json.dumps(self.distances(weights), indent=1))
        for states in (folder / "models").glob("resume_*"):
            shutil.rmtree(states)  # large, and of no use once the cell is done

    def distances(self, weights: Path) -> dict[str, dict[str, float]]:
        """AUC and mean distances of pairs of validation pictures in the weights' features, for each policy's views."""
        cases = find_pictures(self.data, self.root / "validation.csv")
        sample = read_sample(cases, images=500, side=2 * self.arguments.size)
        space = network_space(self.root / "network.json", weights)
        settings = ViewSettings(POLICIES, [1.0], size=self.arguments.size)
        found = {}
        for one in compare_views(settings, sample, space)[1:]:
            positive, negative = one.distances["network"]
            values = auc(positive, negative), float(positive.mean()), float(negative.mean())
            found[one.policy] = dict(zip(MEASURES, values, strict=True))
        return found


def arm_of(strength: float) -> str:
    """The arm of the policy strong at a strength; at 1 it is that of the policy itself."""
    return "strong" if strength == 1 else f"strong_{strength:g}"


def write_pictures(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Writes RetinaMNIST as PNG files with a table; returns the overlay that keeps its own train and val lists."""
    folder.mkdir(parents=True, exist_ok=True)
    data, rows = np.load(arguments.retinamnist), []
    for part in ("train", "val"):
        rows += [(f"{part}_{place:04d}", int(label)) for place, label in enumerate(data[f"{part}_labels"].ravel())]
        for place, image in enumerate(data[f"{part}_images"]):
            Image.fromarray(image).save(folder / f"{part}_{place:04d}.png")
    table = pd.DataFrame([(f"{name}.png", label) for name, label in rows], columns=["image", "label"])
    write_text(folder / "labels.csv", table.to_csv(index=False))
    train, test = ([name for name, _ in rows if name.startswith(part)] for part in ("train", "val"))
    order, count = np.random.default_rng(arguments.split_seed).permutation(train).tolist(), arguments.validation
    count = round(count * len(train)) if isinstance(count, float) else count
    split = {"train": sorted(order[count:]), "validation": sorted(order[:count]), "test": test}
    return {"split": {"_target_": "monai_cl_ext.data.split_by_patient", "cases": "@cases", **split}}


def each_seed(root: Path, seeds: dict[str, list[int]]) -> pd.DataFrame:
    """The bundle's own scores: columns arm, seed, part, classifier, score, value, low, high."""
    tables = []
    for arm, seed in [(name, seed) for name, done in seeds.items() for seed in done]:
        for part, place in PARTS.items():
            file = root / arm / f"seed_{seed}" / place / "metrics.csv"
            numbers = dict.fromkeys(["value", "low", "high"], ["nan"])
            table = read_table(file, dtype={"class": str}, na_values=numbers)
            table = table.query("`class` == 'all' and score in @SCORES").drop(columns=["class", "images"])
            tables.append(table.assign(arm=arm, seed=seed, part=part))
    return pd.concat(tables, ignore_index=True)


def resampled(root: Path, arm: str, seeds: Sequence[int], classifier: str, resamples: int) -> np.ndarray:
    """AUROC and AUPR of the test patients, mean over seeds, (2, 1 + resamples); the first column is not resampled.

    All arms see the same resamples, so that two results may be subtracted.
    """
    found: list[np.ndarray] = []
    for seed in seeds:
        file = root / arm / f"seed_{seed}" / PARTS["test"] / PREDICTIONS[classifier]
        table = read_table(file, dtype={"class": str, "patient": str})
        names, (patients, owner) = list(table.columns[3:]), np.unique(table["patient"], return_inverse=True)
        drawn = np.random.default_rng(0).multinomial(len(patients), np.ones(len(patients)) / len(patients), resamples)
        weights = torch.from_numpy(np.vstack([np.ones_like(drawn[:1]), drawn])[:, owner])
        classes = torch.tensor([names.index(name) for name in table["class"]])
        scores = classification_scores(torch.from_numpy(table[names].to_numpy(float)), classes, weights)
        found.append(np.stack([scores[score].numpy() for score in SCORES]))
    return np.mean(found, axis=0)


def compare_arms(root: Path, seeds: dict[str, list[int]], resamples: int) -> list[dict[str, Any]]:
    """Mean of each arm over its seeds, and of an arm "minus" another over those of both, with 95 % intervals."""
    pairs = [*PAIRS, *((arm, "random") for arm in seeds if arm != "random")]
    shared = {(one, two): sorted({*seeds.get(one, [])} & {*seeds.get(two, [])}) for one, two in pairs}
    found = []
    for classifier in CLASSIFIERS:
        for (one, two), common in {**{(arm, ""): done for arm, done in seeds.items()}, **shared}.items():
            if common:
                values = resampled(root, one, common, classifier, resamples)
                values = values - (resampled(root, two, common, classifier, resamples) if two else 0)
                ends = np.nanquantile(values[:, 1:], [0.025, 0.975], axis=1)
                for score, value, low, high in zip(SCORES, values[:, 0], *ends, strict=True):
                    facts = {"arm": one, "minus": two, "seeds": len(common), "classifier": classifier, "score": score}
                    found.append({**facts, "value": value, "low": low, "high": high})
    return found


def collect(study: Study) -> dict[str, Any]:
    """All results of the cells that are done."""
    arguments, root = study.arguments, study.root
    files = {(arm, seed): root / arm / f"seed_{seed}" / DISTANCES for arm in study.arms for seed in arguments.seeds}
    done = {cell: file for cell, file in files.items() if file.is_file()}
    seeds = {arm: [seed for name, seed in done if name == arm] for arm, _ in done}
    if not seeds:
        sys.exit(f"{root}: no cell is done yet")
    scores = each_seed(root, seeds)
    distances: list[dict[str, Any]] = []
    seconds: list[dict[str, Any]] = []
    for (arm, seed), file in done.items():
        cell, measured = {"arm": arm, "seed": seed}, json.loads(file.read_text())
        distances += [{**cell, "views": views, **measures} for views, measures in measured.items()]
        seconds += [{**cell, "stage": f.stem, "seconds": float(f.read_text())} for f in file.parent.glob("*.done")]
    return {
        "arguments": vars(arguments), "split": json.loads((root / "split.json").read_text()), "seconds": seconds,
        "seeds": seeds, "scores": scores.to_dict("records"), "distances": distances,
        "estimates": compare_arms(root, seeds, arguments.resamples),
    }  # fmt: skip


def markdown(table: pd.DataFrame) -> str:
    if table.empty:
        return "None yet."
    lines = [table.columns, ["---"] * table.shape[1], *table.itertuples(index=False)]
    texts = [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in texts)


def grid(table: pd.DataFrame, keys: list[str], sign: str = "") -> str:
    """A row for each of the keys, a column for each classifier and score with its interval."""
    texts = [f"{row.value:{sign}.3f} [{row.low:{sign}.3f}, {row.high:{sign}.3f}]" for row in table.itertuples()]
    names = table["classifier"].map(CLASSIFIERS) + " " + table["score"].map(lambda score: METRICS[score].title)
    wide = table.assign(text=texts, name=names).pivot(index=keys, columns="name", values="text")
    order = list(table[keys].drop_duplicates().itertuples(index=False, name=None))
    return markdown(wide.loc[order, list(dict.fromkeys(names))].reset_index())


def signs(differences: pd.DataFrame) -> str:
    """The probe's differences beside those of the paper's Table 4."""
    probe, rows = differences[differences["classifier"] == "network"], []
    for row in probe[[pair in PAIRS for pair in zip(probe["arm"], probe["minus"], strict=True)]].itertuples():
        one, two = POLICIES.index(row.arm), POLICIES.index(row.minus)
        theirs = {name: round(paper[row.score][one] - paper[row.score][two], 3) for name, paper in PAPER.items()}
        facts = {
            "difference": f"{row.arm} − {row.minus}",
            "score": METRICS[row.score].title,
            "here": f"{row.value:+.3f}",
        }
        same = f"{sum(row.value * value > 0 for value in theirs.values())} of {len(theirs)}"
        texts = {name: f"{value:+.3f}" for name, value in theirs.items()}
        rows.append({**facts, **texts, "same sign as here": same})
    return markdown(pd.DataFrame(rows))


def report(results: dict[str, Any], command: str) -> str:
    """The tables as a page."""
    scores, estimates = (pd.DataFrame(results[name]) for name in ("scores", "estimates"))
    differences = estimates[estimates["minus"] != ""]
    split = ", ".join(f"{part} {count['pictures']} of {count['patients']}" for part, count in results["split"].items())
    seconds = pd.DataFrame(results["seconds"]).groupby("stage", sort=False)["seconds"].sum()
    spent = ", ".join(f"{stage} {value / 60:.1f}" for stage, value in seconds.items())
    distances = pd.DataFrame(results["distances"]).groupby(["views", "arm"], sort=False)[MEASURES].mean()
    text = [
        f"# Views of DINO on photographs\n\n    {command}\n\ntorch {torch.__version__}, {os.cpu_count()} cores, "
        f"{time.strftime('%Y-%m-%d')}; minutes of all cells by stage: {spent}.\nPictures of "
        f"patients: {split}.\n\n## Test patients",
        "Mean over seeds, macro over classes; 95 % intervals over resampled patients, for these seeds:",
        grid(estimates[estimates["minus"] == ""], ["arm", "seeds"]),
        "Each seed, with the bundle's intervals:",
        grid(scores[scores["part"] == "test"], ["arm", "seed"]),
        "Paired differences:",
        grid(differences, ["arm", "minus", "seeds"], "+"),
        "## Beside the paper\n\nDifferences of the probe here and in Table 4 of Cheng et al. (arXiv 2501.02451), who "
        "start a ViT-S/16 from ImageNet weights and pre-train on 1.4 million photographs:",
        signs(differences),
        "## Distances of pairs\n\nValidation pictures in the network's embedding, mean over seeds. For each policy's "
        "own views, before (`random`, the start) and after its training:",
        markdown(distances.query("arm == 'random' or arm == views").reset_index().sort_values("views", kind="stable")),
        "AUC of every arm's network (row) with every policy's views (column):",
        markdown(distances["auc"].unstack("views")[POLICIES].reset_index()),
    ]
    return "\n\n".join(text) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset_dir", help="folder of photographs with labels.csv: image, label, patient")
    source.add_argument("--retinamnist", help="RetinaMNIST as an .npz file with train and val")
    parser.add_argument("--output", default="runs/dino")
    parser.add_argument("--policies", nargs="+", default=["random", *POLICIES], choices=["random", *POLICIES])
    parser.add_argument("--strengths", nargs="+", type=float, default=[], help="of the policy strong, from 0 to 1")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--validation", type=json.loads, default=0.1, help="patients, or a fraction with a point")
    parser.add_argument("--test", type=json.loads, default=0.25, help="patients; RetinaMNIST has its own")
    numbers = {"split_seed": 0, "size": 64, "depth": 4, "out_dim": 256, "epochs": 25, "batches_per_epoch": 25}
    for name, value in (numbers | {"probe_epochs": 20, "resamples": 1000, "workers": 2}).items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    for name in ("settings", "pretrain_settings", "probe_settings"):
        parser.add_argument(f"--{name}", type=json.loads, default={}, help="config ids and their values, as JSON")
    parser.add_argument("--table", action="store_true", help="write the tables of what has been run")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Runs what is missing and writes results.json and results.md."""
    arguments = parse()
    study = Study(arguments)
    if arguments.cell:
        arm, _, seed = arguments.cell.partition("/seed_")
        with FileLock(study.root / arguments.cell / ".lock"):  # of a study that was killed a cell may still run
            return study.run_cell(arm, int(seed))
    study.root.mkdir(parents=True, exist_ok=True)
    with alone(study.root):
        if not arguments.table:
            study.prepare()
            study.run()
        results = collect(study)
        write_text(study.root / "results.json", json.dumps(results, indent=1, default=float))
        write_text(study.root / "results.md", page := report(results, shlex.join(["python", *sys.argv])))
    print(page)


if __name__ == "__main__":
    main()
