# SPDX-License-Identifier: Apache-2.0
"""What each preset of published weights does with a file of its kind.

    python benchmarks/published_weights.py [--json FILE]

The files are made anew, with the published names and wrappings, random values and, but for the vision transformers and
the residual encoder U-Net, small widths: no weights are downloaded. Each is loaded as it is, and into a network with
another number of channels, or with images of another size. The table is that of the page on published weights.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import SwinUNETR, resnet10, resnet18, resnet50
from torch import nn

from monai_cl_ext.networks import LoadReport, MultiCropViT, ResEncUNet, load_pretrained

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "networks"))
import published_files as files

VIT_S = {"width": 384, "blocks": 12, "patch": 16, "grid": 14}
VIT_S_14 = {"width": 384, "blocks": 12, "patch": 14, "grid": 37}


def vit(channels: int = 3, size: int = 224, patch: int = 16) -> nn.Module:
    return MultiCropViT(channels, size, patch)


def swin(channels: int = 1, **arguments: Any) -> nn.Module:
    return SwinUNETR(channels, 2, feature_size=12, **arguments)


def resnet(build: Callable[..., nn.Module], channels: int = 1, shortcut: str = "B") -> nn.Module:
    return build(
        spatial_dims=3, n_input_channels=channels, shortcut_type=shortcut, bias_downsample=False, feed_forward=False,
        conv1_t_stride=2, widen_factor=0.125,
    )  # fmt: skip


def cases() -> Iterator[tuple[str, str, Any, str, nn.Module]]:
    """Preset, file, its content, network, and the network itself."""
    full = files.dino(**VIT_S)
    yield "dino", "backbone alone", files.vit(**VIT_S), "ViT-S/16, 3 channels, 224", vit()
    yield "dino", "full checkpoint", full, "ViT-S/16, 3 channels, 224", vit()
    yield "dino", "full checkpoint", full, "ViT-S/16, 1 channel, 96", vit(1, 96)
    yield "dinov2", "backbone", files.dinov2(**VIT_S_14), "ViT-S/14, 3 channels, 518", vit(3, 518, 14)
    yield "dinov2", "backbone", files.dinov2(**VIT_S_14), "ViT-S/14, 1 channel, 224", vit(1, 224, 14)
    yield "mae", "with decoder and arguments", files.mae(**VIT_S), "ViT-S/16, 3 channels, 224", vit()
    yield "timm_vit", "with head", files.timm_vit(**VIT_S), "ViT-S/16, 3 channels, 224", vit()
    yield "monai_swinvit", "model_swinvit.pt", files.monai_swinvit(), "SwinUNETR, 1 channel", swin()
    yield "monai_swinvit", "model_swinvit.pt", files.monai_swinvit(), "SwinUNETR, 4 channels", swin(4)
    yield "monai_ssl", "ssl_pretrained_weights.pth", files.monai_ssl(), "SwinUNETR, 1 channel", swin()
    yield "voco", "VoCo_B_SSL_head.pt", files.voco(), "SwinUNETR, 1 channel", swin(use_v2=True)
    yield "voco", "VoComni_B.pt", files.voco(decoder=True), "SwinUNETR, 4 channels", swin(4, use_v2=True)
    yield "medicalnet", "resnet_10.pth", files.medicalnet(10, 8), "resnet10, 1 channel", resnet(resnet10)
    yield "medicalnet", "resnet_18.pth", files.medicalnet(18, 8), "resnet18, 1 channel", resnet(resnet18, 1, "A")
    yield "medicalnet", "resnet_50.pth", files.medicalnet(50, 8), "resnet50, 2 channels", resnet(resnet50, 2)
    yield "openmind", "checkpoint_final.pth", files.openmind(), "ResEncUNet, 1 channel", ResEncUNet()
    yield "openmind", "the same, encoder alone", files.openmind(decoder=False), "ResEncUNet, 4 channels", ResEncUNet(4)


def row(preset: str, file: str, network: str, report: LoadReport) -> dict[str, Any]:
    total = len(report.matched) + len(report.missing) + len(report.mismatched)
    return {
        "preset": preset,
        "file": file,
        "network": network,
        "matched": f"{len(report.matched)} of {total}",
        "fraction": f"{report.fraction:.2f}",
        "inflated": len(report.inflated),
        "interpolated": len(report.interpolated),
        "left out": len(report.left_out),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the rows")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for preset, file, content, name, network in cases():
            path = Path(folder) / "file.pth"
            torch.save(content, path)
            rows.append(row(preset, file, name, load_pretrained(network, path, preset=preset)))
    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for each in rows:
        print("| " + " | ".join(str(value) for value in each.values()) + " |")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=4) + "\n")


if __name__ == "__main__":
    main()
