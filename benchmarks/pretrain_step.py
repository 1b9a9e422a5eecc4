# SPDX-License-Identifier: Apache-2.0
"""What a whole pre-training step costs beyond the forward and backward pass of its network and heads.

    python benchmarks/pretrain_step.py [--threads 2] [--device cuda] [--json FILE]

The config of the bundle is run with all handlers on (validation, which is no part of a step, off): an epoch is timed
from its start to its end, batches, views, loss, optimizer, logs and the state for resuming included. Between the
epochs the peer is timed: forward and backward of the same encoder (of GCL with its wide head) on as many images that
lie ready on the device, with a mean square in place of the loss. The ratio is the median over the pairs.
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
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from monai_cl_ext.data import write_phantom
from monai_cl_ext.methods import GCLGlobal, Method, SuperCL
from monai_cl_ext.study.bundles import Bundle

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
LARGE = {"image_size": [192, 192], "pixdim": [1.0, 1.0]}
PRESETS: dict[str, dict[str, Any]] = {
    "GCL": {"files": ["gcl_segmentation", "pretrain_global"], "batches": 40},
    "GCL, paper": {
        "files": ["gcl_segmentation", "pretrain_global", "network_gcl"],
        "changes": LARGE,
        "batches": 12,
    },
    "PCL": {"files": ["pcl_segmentation", "pretrain"], "batches": 40},
    "SuperCL": {"files": ["supercl_segmentation", "pretrain"], "batches": 40},
    "SuperCL, all positions of 48 x 48": {
        "files": ["supercl_segmentation", "pretrain"],
        "changes": {"level": -4, "n_segments": 230},
        "batches": 20,
    },
    "SuperCL, paper's network and bottleneck": {
        "files": ["supercl_segmentation", "pretrain", "network_pcl"],
        "changes": {"image_size": [256, 256], "pixdim": [1.0, 1.0], "level": -1, "n_segments": 25, "batch_size": 4},
        "batches": 4,
    },
}


def build(preset: dict[str, Any], data: Path, folder: Path, device: torch.device, epochs: int) -> ConfigParser:
    """The parsed config of a preset on phantom volumes."""
    parser = ConfigParser()
    bundle, *configs = preset["files"]
    parser.read_config([Bundle(BUNDLES / bundle).path(config) for config in configs])
    changes = {
        **preset.get("changes", {}),
        "dataset_dir": str(data),
        "ckpt_dir": str(folder),
        "output_dir": str(folder),
        "device": device,
    }
    changes |= {"epochs": epochs, "batches_per_epoch": preset["batches"], "val_interval": epochs + 1}
    parser.update(changes)
    return parser


def forward_backward(method: Method, images: torch.Tensor) -> None:
    """The peer's step."""
    method.train()
    method.zero_grad(set_to_none=True)
    if isinstance(method, GCLGlobal):
        features = method.head(method.stages.encode(images)[-1])
    else:
        features = (method.instance if isinstance(method, SuperCL) else method).stages.embed(images)
    features.square().mean().backward()


def measure(preset: dict[str, Any], data: Path, device: torch.device, pairs: int) -> dict[str, float]:
    """Milliseconds a step of ours and of the peer, and their ratio."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    with tempfile.TemporaryDirectory() as folder:
        set_determinism(0)
        parser = build(preset, data, Path(folder), device, pairs + 1)
        trainer = parser.get_parsed_content("train#trainer")
        started, ours, peers, facts = [0.0], [], [], {}

        def start(engine: Any) -> None:
            wait()
            started[0] = time.perf_counter()

        def look(engine: Any) -> None:
            facts["rows"] = len(engine.state.batch["image"])

        def stop(engine: Any) -> None:
            wait()
            ours.append((time.perf_counter() - started[0]) / preset["batches"])
            views = len(trainer.prepare_batch.policies)
            shape = trainer.data_loader.dataset[0]["image"].shape
            images = torch.rand(views * facts["rows"], *shape).to(device, **trainer.to_kwargs)
            forward_backward(trainer.method, images)
            wait()
            begin = time.perf_counter()
            for _ in range(preset["batches"]):
                forward_backward(trainer.method, images)
            wait()
            peers.append((time.perf_counter() - begin) / preset["batches"])
            facts["images"] = len(images)

        # first of all handlers at the start, last of all at the end
        trainer._event_handlers[Events.EPOCH_STARTED].insert(0, (start, (trainer,), {}))
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), look)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, stop)
        trainer.run()
    ratios = [own / peer for own, peer in zip(ours[1:], peers[1:], strict=True)]  # the first epoch warms up
    return {
        "images": facts["images"],
        "step_ms": 1000 * median(ours[1:]),
        "forward_backward_ms": 1000 * median(peers[1:]),
        "ratio": median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
    }


def main() -> None:
    """Reads the arguments and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as data:
        write_phantom(Path(data) / "phantom", patients=12, seed=0)
        results = {
            name: measure(PRESETS[name], Path(data) / "phantom", torch.device(arguments.device), arguments.pairs)
            for name in arguments.presets
        }
    print("| preset | images | step ms | forward + backward ms | ratio (lowest .. highest) |\n|---|---|---|---|---|")
    for name, row in results.items():
        print(
            f"| {name} | {row['images']} | {row['step_ms']:.1f} | {row['forward_backward_ms']:.1f} "
            f"| {row['ratio']:.3f} ({row['lowest']:.3f} .. {row['highest']:.3f}) |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
