# SPDX-License-Identifier: Apache-2.0
"""What a step of each pre-training bundle costs relative to SimCLR's.

    python benchmarks/method_cost.py [--threads 2] [--device cuda] [--rounds 5] [--json FILE]

Every bundle runs as it is configured, with its own views, heads and number of crops, on as many slices of the same
size and with the same network: from the start of an epoch to the end of its last step. In each round all bundles have
their turn, SimCLR among them; the ratio is the median over rounds of a bundle's time over SimCLR's of that round. Each
round begins anew, so the queues of SwAV, which fill in more steps, are not in use.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ignite.engine import Events
from monai.utils import set_determinism
from pretrain_step import BUNDLES, build

from monai_cl_ext.data import write_phantom
from monai_cl_ext.study.bundles import Bundle

REFERENCE = "simclr_segmentation pretrain"


def stages() -> dict[str, list[str]]:
    """Every pre-training stage of a segmentation bundle, by name."""
    bundles = sorted(path for path in BUNDLES.glob("*_segmentation"))
    return {f"{path.name} {stage}": [path.name, stage] for path in bundles for stage in Bundle(path).pretrain_stages}


class Timed:
    """The trainer of a stage, which runs one epoch at a time."""

    def __init__(self, files: list[str], data: Path, folder: Path, device: torch.device, changes: dict) -> None:
        set_determinism(0)
        parser = build({"files": files, "changes": changes, "batches": changes["batches_per_epoch"]}, data, folder,
                       device, 1)  # fmt: skip
        self.trainer = parser.get_parsed_content("train#trainer")
        self.trainer._event_handlers[Events.EPOCH_STARTED].insert(0, (self._start, (self.trainer,), {}))
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._stop)
        self.wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        self.seconds = 0.0

    def _start(self, engine: Any) -> None:
        self.wait()
        self.begin = time.perf_counter()

    def _stop(self, engine: Any) -> None:
        if engine.state.iteration % engine.state.epoch_length == 0:
            self.wait()
            self.seconds = (time.perf_counter() - self.begin) / engine.state.epoch_length

    def step(self) -> float:
        """Seconds of a step, over one epoch."""
        self.trainer.run()
        return self.seconds


def main() -> None:
    """Reads the arguments and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch_size", type=int, default=12)
    parser.add_argument("--image_size", type=int, default=80)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.disable(logging.INFO)
    changes = {
        "image_size": [arguments.image_size] * 2,
        "batch_size": arguments.batch_size,
        "batches_per_epoch": arguments.steps,
        "pretrained": "",  # second stages start from random weights: they cost the same
    }
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "phantom"
        write_phantom(data, patients=12, seed=0)
        device = torch.device(arguments.device)
        timed = {
            name: Timed(files, data, Path(folder) / name.replace(" ", "_"), device, changes)
            for name, files in stages().items()
        }
        for number in range(arguments.rounds + 1):
            for name, each in timed.items():
                seconds = each.step()
                if number:  # the first round warms up
                    times.setdefault(name, []).append(seconds)
    rows = {}
    print("| stage | step ms | relative to SimCLR (lowest .. highest) |\n|---|---|---|")
    for name, seconds in times.items():
        ratios = [own / reference for own, reference in zip(seconds, times[REFERENCE], strict=True)]
        rows[name] = {"step_ms": 1000 * median(seconds), "ratio": median(ratios), "all": ratios}
        print(
            f"| {name} | {1000 * median(seconds):.0f} | {median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f}) |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
