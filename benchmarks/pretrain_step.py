# SPDX-License-Identifier: Apache-2.0
"""What a whole pre-training step costs beyond the forward and backward pass of its network and heads.

    python benchmarks/pretrain_step.py [--threads 2] [--device cuda] [--json FILE]
    python benchmarks/pretrain_step.py --threads 1 --device cpu --processor_time  # where other work runs beside

The config of the bundle is run with all handlers on (validation, which is no part of a step, off): an epoch is timed
from its start to its end, batches, views, loss, optimizer, logs and the state for resuming included. What follows the
last step of an epoch counts as in an epoch of the bundle's own length. Between the epochs the peer is timed: forward
and backward of the same encoder (of GCL with its wide head) on as many images that lie ready on the device, with a
mean square in place of the loss. The ratio is the median over the pairs.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable
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
NETWORKS_3D = {
    "DynUNet": {
        "network_def": {
            "_target_": "monai.networks.nets.DynUNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 4,
            "kernel_size": [3] * 5, "strides": [1, 2, 2, 2, 2], "upsample_kernel_size": [2] * 4,
            "filters": [16, 32, 64, 128, 256],
        }
    },
    "SwinUNETR": {
        "network_def": {
            "_target_": "monai.networks.nets.SwinUNETR", "spatial_dims": 3, "in_channels": 1, "out_channels": 4,
            "feature_size": 12,
        }
    },
}  # fmt: skip
"""Half as wide as nnU-Net's, and a fourth of MONAI's Swin UNETR for BraTS."""
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
    **{
        f"SimCLR, {network}, {side}^3": {
            "files": ["simclr_segmentation", "pretrain", "volumes"],
            "changes": {**NETWORKS_3D[network], "image_size": [side] * 3, "pixdim": [0.75] * 3, "batch_size": 2},
            "batches": batches,
        }
        for network in NETWORKS_3D
        for side, batches in ((64, 4), (96, 2))
    },
    "SuperCL, paper's network and bottleneck": {
        "files": ["supercl_segmentation", "pretrain", "network_pcl"],
        "changes": {"image_size": [256, 256], "pixdim": [1.0, 1.0], "level": -1, "n_segments": 25, "batch_size": 4},
        "batches": 4,
    },
}


def build(
    preset: dict[str, Any], data: Path, folder: Path, device: torch.device, epochs: int
) -> tuple[ConfigParser, int]:
    """The parsed config of a preset on phantom volumes, and how many batches an epoch of the bundle has."""
    parser = ConfigParser()
    bundle, *configs = preset["files"]
    parser.read_config([Bundle(BUNDLES / bundle).path(config) for config in configs])
    own_length = parser["batches_per_epoch"]
    changes = {
        **preset.get("changes", {}),
        "dataset_dir": str(data),
        "store": str(folder / "store"),
        "ckpt_dir": str(folder),
        "output_dir": str(folder),
        "device": device,
    }
    changes |= {"epochs": epochs, "batches_per_epoch": preset["batches"], "val_interval": epochs + 1}
    parser.update(changes)
    return parser, own_length


def forward_backward(method: Method, images: torch.Tensor) -> None:
    """The peer's step."""
    method.train()
    method.zero_grad(set_to_none=True)
    if isinstance(method, GCLGlobal):
        features = method.head(method.stages.encode(images)[-1])
    else:
        features = (method.instance if isinstance(method, SuperCL) else method).stages.embed(images)
    features.square().mean().backward()


def measure(
    preset: dict[str, Any], data: Path, device: torch.device, pairs: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Milliseconds a step of ours and of the peer, and their ratio."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    with tempfile.TemporaryDirectory() as folder:
        set_determinism(0)
        parser, own_length = build(preset, data, Path(folder), device, pairs + 1)
        trainer = parser.get_parsed_content("train#trainer")
        marks, ours, peers, facts = {}, [], [], {}

        def start(engine: Any) -> None:
            wait()
            marks["start"] = clock()

        def end_of_steps(engine: Any) -> None:
            facts["rows"] = len(engine.state.batch["image"])
            if engine.state.iteration % preset["batches"] == 0:
                wait()
                marks["steps"] = clock()

        def stop(engine: Any) -> None:
            wait()
            afterwards = (clock() - marks["steps"]) / own_length
            ours.append((marks["steps"] - marks["start"]) / preset["batches"] + afterwards)
            views = len(trainer.prepare_batch.policies)
            shape = trainer.data_loader.dataset[0]["image"].shape
            images = torch.rand(views * facts["rows"], *shape).to(device, **trainer.to_kwargs)
            forward_backward(trainer.method, images)
            wait()
            begin = clock()
            for _ in range(preset["batches"]):
                forward_backward(trainer.method, images)
            wait()
            peers.append((clock() - begin) / preset["batches"])
            facts["images"] = len(images)

        # first of all handlers at the start, last of all at the end
        trainer._event_handlers[Events.EPOCH_STARTED].insert(0, (start, (trainer,), {}))
        trainer.add_event_handler(Events.ITERATION_COMPLETED, end_of_steps)
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
    parser.add_argument("--batches", type=int, help="of an epoch, in place of the preset's")
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument("--processor_time", action="store_true", help="not wall time, where other work runs beside")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.processor_time and (arguments.device != "cpu" or arguments.threads > 1):
        parser.error("--processor_time tells of one thread on the CPU alone; add --device cpu --threads 1")
    clock = time.process_time if arguments.processor_time else time.perf_counter
    presets = {name: PRESETS[name] for name in arguments.presets}
    if arguments.batches:
        presets = {name: {**preset, "batches": arguments.batches} for name, preset in presets.items()}
    torch.set_num_threads(arguments.threads)
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as data:
        phantom = write_phantom(Path(data) / "phantom", patients=arguments.patients, seed=0)
        print(
            "| preset | images | step ms | forward + backward ms | ratio (lowest .. highest) |\n|---|---|---|---|---|"
        )
        results = {}
        for name, preset in presets.items():
            row = results[name] = measure(preset, phantom, torch.device(arguments.device), arguments.pairs, clock)
            print(
                f"| {name} | {row['images']} | {row['step_ms']:.1f} | {row['forward_backward_ms']:.1f} "
                f"| {row['ratio']:.3f} ({row['lowest']:.3f} .. {row['highest']:.3f}) |",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
