# SPDX-License-Identifier: Apache-2.0
"""Small records of runs, made by hand."""

import json
import math
import time
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

CLASSES = ("RV", "LV")


def batch(samples: int = 6, size: int = 12) -> dict:
    """Two volumes of three partitions; positives are the views of a sample, negatives other partitions."""
    generator = torch.Generator().manual_seed(0)
    originals = torch.rand(samples, 1, size, size, generator=generator).half()
    views = [originals, originals.flip(-1), originals.flip(-2)]
    partition, volume = torch.arange(samples) % 3, torch.arange(samples) // 3
    sample = torch.arange(samples).repeat(3)
    rows = partition.repeat(3)
    positive = sample[:, None] == sample
    return {
        "originals": originals, "views": views, "view_names": ["original", "view 1", "view 2"],
        "names": [f"patient{number}" for number in volume.tolist()], "volume": volume, "partition": partition,
        "position": (partition + 1) / 3, "positive": positive.fill_diagonal_(False),
        "negative": rows[:, None] != rows,
    }  # fmt: skip


def superpixel_batch() -> dict:
    """Slices of four views and no pairs; blocks of 4 x 6 pixels are superpixels, whose brightness is drawn."""
    generator = torch.Generator().manual_seed(3)
    blocks = torch.arange(9).reshape(3, 3).repeat_interleave(4, 0).repeat_interleave(6, 1)
    images = torch.stack([torch.rand(9, generator=generator)[blocks] for _ in range(6)])[:, None].half()
    content = {name: value for name, value in batch().items() if name not in ("positive", "negative")}
    return content | {
        "originals": images, "views": [images, images * 0.5, images.flip(-1), images.flip(-2)],
        "view_names": ["original", *(f"view {number}" for number in range(1, 4))],
        "superpixels": blocks.expand(6, -1, -1).to(torch.uint16),
    }  # fmt: skip


def embeddings(rows: int = 24, width: int = 8) -> dict:
    generator = torch.Generator().manual_seed(1)
    return {
        "embeddings": torch.randn(rows, width, generator=generator), "volume": torch.arange(rows) // 12,
        "partition": torch.arange(rows) % 12 // 3, "position": (torch.arange(rows) % 12 + 1) / 12,
    }  # fmt: skip


def overlays(volumes: int = 4) -> dict:
    generator = torch.Generator().manual_seed(2)

    def draw(high):
        return torch.randint(0, high, (20, 16), generator=generator, dtype=torch.uint8)

    return {
        "class_names": list(CLASSES),
        "overlays": [
            {"volume": f"case{number}", "slice": number, "image": draw(256), "label": draw(3), "prediction": draw(3),
             "spacing": [1.0, 1.5]}
            for number in range(volumes)
        ],
    }  # fmt: skip


def score_rows(shift: float, volumes: int = 4) -> list[dict]:
    """Rows as ``Run.scores`` gives them: case0 lacks the class RV, in case1 it was missed."""
    rows = []
    for number in range(volumes):
        for index, label in enumerate(CLASSES):
            dice, hd95, missed = 0.3 + shift + 0.05 * number + 0.1 * index, 20.0 - 10 * shift - number, 0.0
            if label == "RV" and number < 2:
                dice, hd95, missed = ((math.nan, math.nan, 0.0), (0.0, 99.0, 1.0))[number]
            rows.append({"volume": f"case{number}", "class": label, "dice": dice, "jaccard": dice / 2, "hd95": hd95,
                         "asd": 1.0, "missed": missed})  # fmt: skip
    return rows


def card(patients: list[str], **more) -> dict:
    return {"patients": len(patients), "volumes": len(patients), **more, "patient_of_volume": patients}


def record(stage: str, begun: float, settings: dict, data: dict) -> dict:
    return {
        "stage": stage, "trains": stage != "evaluate", "begun": begun, "completed": True, "settings": settings,
        "data": data, "versions": {"python": "3.11", "torch": "2.13"}, "device": "a processor", "threads": 2,
        "processes": 1, "max_epochs": 3, "epochs": 3, "iterations": 60, "images": 720, "seconds": 75.0,
        "images_per_second": 9.6, "peak_memory_bytes": 3 * 2**29,
    }  # fmt: skip


def write_runs(folder: Path) -> Path:
    """A folder like that of a demo: pretrain_global, then scratch and pretrained, each trained and evaluated."""
    begun = time.time() - 1000
    test = {"test": card(["t0", "t1"])}
    first = folder / "pretrain_global"
    first.mkdir(parents=True)
    settings = {"seed": 3, "partitions": 4, "method": "GCLGlobal(loss=<PartitionContrastiveLoss>)"}
    data = {"pre-training": card(["a", "b", "c"], slices=30, slice_size=[48, 40]), **test}
    _write(first, record("pretrain_global", begun, settings, data))
    torch.save(batch(), first / "batch.pt")
    torch.save(embeddings(), first / "embeddings.pt")
    scalars(first, train_loss=[1 / (step + 1) for step in range(60)], partition_probe=[0.3, 0.5, 0.9],
            effective_rank_score=[0.2, math.nan, 0.1])  # fmt: skip
    for number, (name, weights) in enumerate((("pretrained", "models/weights.pt"), ("scratch", ""))):
        run = folder / name
        run.mkdir()
        settings = {"seed": 0, "pretrained": weights}
        _write(run, record("train", begun + 10 * number, settings, {"training": card(["a"], slices=9), **test}))
        _write(run, record("evaluate", begun + 10 * number + 5, {"use_spacing": True}, test))
        torch.save(overlays(), run / "overlays.pt")
        scalars(run, train_loss=[2.0, 1.5, 1.0], mean_dice=[0.1, 0.2, 0.4 + 0.1 * number])
        rows = score_rows(0.2 if weights else 0.0)
        lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
        (run / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder


def scalars(folder: Path, **curves: list[float]) -> None:
    writer = SummaryWriter(str(folder))
    for tag, values in curves.items():
        for step, value in enumerate(values, start=1):
            writer.add_scalar(tag, value, step)
    writer.close()


def _write(folder: Path, content: dict) -> None:
    (folder / f"run_{content['stage']}.json").write_text(json.dumps(content))
