# SPDX-License-Identifier: Apache-2.0
"""Superpixels by each backend: time for a slice, number of segments, and how well they keep to labeled borders.

Run ``python benchmarks/superpixels.py`` (``--json FILE`` also writes the figures). Slices are the middle ones of
labeled ACDC volumes, one for each patient, resized to a square. Backends whose package is missing are left out, and so
are learned ones unless ``--weights NAME=FILE ...`` names their weights.

- ``ms``: the whole transform, from the slice to the connected map, its median over slices and repeats. ``alone``: the
  library's own call on a picture made ready, for the three whose SLIC is compared.
- ``torch batch``: all slices in one call of ``batched_slic``, divided by their number.
- ``skimage, alike``: asked for so many more segments that it gives as many as torch, for comparison of the scores.
- ``grid``: a regular grid, the same.

The backends take turns, so that a busy machine slows all of them. Take figures for the record on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cl_ext.metrics import superpixel_report
from monai_cl_ext.transforms import Superpixel, batched_slic
from monai_cl_ext.transforms.superpixels.backends import BACKENDS
from monai_cl_ext.transforms.superpixels.lab import lab_features
from monai_cl_ext.transforms.superpixels.slic import grid_cells

SCORES = ("segments", "achievable_accuracy", "boundary_recall", "undersegmentation_error")
DATA = Path(os.environ.get("MONAI_DATA_DIRECTORY", Path(__file__).resolve().parents[2] / "shared" / "data"))


def labelled_slices(folder: Path, count: int) -> list[tuple[Tensor, Tensor]]:
    """The middle slice (1, H, W) and its label of the first frame of each of ``count`` patients."""
    paths = sorted((folder / "ACDC" / "imagesTr").glob("*_frame01.nii.gz"))[:count]
    if not paths:
        raise SystemExit(f"no ACDC volumes in {folder}: name their folder with --data or MONAI_DATA_DIRECTORY")
    slices = []
    for path in paths:
        pair = [nibabel.load(each / path.name).dataobj for each in (path.parent, folder / "ACDC" / "labelsTr")]
        middle = pair[0].shape[2] // 2
        slices.append(tuple(torch.tensor(np.asarray(each[..., middle], dtype=np.float32))[None] for each in pair))
    return slices


def resized(slices: list[tuple[Tensor, Tensor]], side: int) -> tuple[Tensor, Tensor]:
    """Images (N, 1, side, side) and labels (N, side, side)."""
    images = [F.interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0] for image, _ in slices]
    labels = [F.interpolate(label[None], (side, side), mode="nearest-exact")[0, 0] for _, label in slices]
    return torch.stack(images), torch.stack(labels).long()


def named_file(text: str) -> tuple[str, str]:
    """The two parts of NAME=FILE."""
    name, equals, file = text.partition("=")
    if not equals or name not in BACKENDS or not Path(file).is_file():
        raise argparse.ArgumentTypeError(f"expected NAME=FILE of a backend and its weights, found {text!r}")
    return name, file


def ready(segments: int, compactness: float, weights: dict[str, str]) -> dict[str, Superpixel]:
    """The backends that can be used; a line says why another one cannot."""
    found = {}
    for name in BACKENDS:
        given = {"weights": weights[name]} if name in weights else {}
        try:
            found[name] = Superpixel(segments, compactness, name, **given)
        except ImportError as error:
            print(f"left out: {error}")
        except ValueError as error:
            if given:
                raise
            print(f"left out: {name}, without weights: {error}")
    return found


def alone(name: str, image: Tensor, segments: int, compactness: float) -> Callable[[], object] | None:
    """The library's own SLIC on a picture made ready."""
    lightness = lab_features(image[None])[0, 0].numpy()
    side = round((lightness.size / segments) ** 0.5)
    if name == "skimage":
        from skimage.segmentation import slic

        picture = np.repeat(image.numpy(), 3, axis=0).transpose(1, 2, 0)
        return lambda: slic(picture, segments, compactness, start_label=0)
    if name == "opencv_slic":
        from cv2 import ximgproc

        def call() -> object:
            clusters = ximgproc.createSuperpixelSLIC(lightness, ximgproc.SLIC, side, compactness)
            clusters.iterate(10)
            clusters.enforceLabelConnectivity(25)
            return clusters.getLabels()

        return call
    if name == "simpleitk":
        import SimpleITK

        picture = SimpleITK.GetImageFromArray(lightness)
        return lambda: SimpleITK.SLIC(picture, [side, side], compactness, 10, True, False)
    return None


def seconds(call: Callable[[], object], device: str = "cpu") -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def count_segments(maps: Tensor) -> float:
    return float((maps.flatten(1).amax(1) + 1.0).mean())


def grid(count: int, side: int, segments: int) -> Tensor:
    rows, columns = grid_cells((side, side), segments)
    places = torch.arange(side)
    return ((places * rows // side)[:, None] * columns + places * columns // side).expand(count, -1, -1)


def measure(
    images: Tensor, labels: Tensor, transforms: dict[str, Superpixel], options: argparse.Namespace
) -> list[dict]:
    """One result for each backend, for the whole batch in torch, and for the grid."""
    segments, compactness, device = options.segments, options.compactness, options.device
    maps = {name: torch.cat([transform(image) for image in images]) for name, transform in transforms.items()}
    spent: dict[str, list[float]] = {name: [] for name in [*transforms, "torch batch"]}
    bare: dict[str, list[float]] = {name: [] for name in transforms}
    there = images.to(device)
    maps["torch batch"] = batched_slic(there, segments, compactness)
    for _ in range(options.repeats):
        for index, image in enumerate(images):
            for name, transform in transforms.items():
                source = there[index] if name == "torch" else image
                spent[name].append(seconds(lambda f=transform, x=source: f(x), device))
                call = alone(name, image, segments, compactness)
                if call is not None:
                    bare[name].append(seconds(call))
        whole = seconds(lambda: batched_slic(there, segments, compactness), device)
        spent["torch batch"].append(whole / len(images))
    if "skimage" in transforms:
        asked = round(segments * count_segments(maps["torch"]) / count_segments(maps["skimage"]))
        alike = Superpixel(asked, compactness, "skimage")
        maps["skimage, alike"] = torch.cat([alike(image) for image in images])
    maps["grid"] = grid(len(images), images.shape[-1], segments)
    results = []
    for name, found in maps.items():
        report = superpixel_report(found, labels)
        results.append(
            {
                "side": images.shape[-1],
                "backend": name,
                "milliseconds": statistics.median(spent[name]) * 1e3 if name in spent else None,
                "milliseconds_alone": statistics.median(bare[name]) * 1e3 if bare.get(name) else None,
                **{score: float(report[score].nanmean()) for score in SCORES},
            }
        )
    return results


def table_row(result: dict) -> str:
    times = [result["milliseconds"], result["milliseconds_alone"]]
    figures = " ".join(f"{value:9.2f}" if value is not None else " " * 9 for value in times)
    scores = " ".join(f"{result[score]:8.4f}" for score in SCORES[1:])
    return f"{result['side']:5} {result['backend']:>14} {figures} {result['segments']:8.1f} {scores}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[192, 256, 512])
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--segments", type=int, default=100)
    parser.add_argument("--compactness", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder that holds ACDC")
    parser.add_argument("--weights", type=named_file, nargs="+", default=[], metavar="NAME=FILE", help="of backends")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    slices = labelled_slices(options.data, options.slices)
    transforms = ready(options.segments, options.compactness, dict(options.weights))
    print(f"torch on {options.device}, {options.threads} threads; {os.getloadavg()[0]:.1f} processes were busy before")
    print(f"{'side':>5} {'backend':>14} {'ms':>9} {'alone':>9} {'segments':>8} {'ASA':>8} {'recall':>8} {'UE':>8}")
    results = []
    for side in options.sides:
        found = measure(*resized(slices, side), transforms, options)
        results += found
        print("\n".join(map(table_row, found)), flush=True)
    if options.json:
        machine = torch.cuda.get_device_name() if options.device == "cuda" else f"{platform.machine()} CPU"
        about = {
            "machine": machine,
            "torch": torch.__version__,
            "threads": options.threads,
            "slices": len(slices),
            "segments": options.segments,
            "compactness": options.compactness,
        }
        options.json.write_text(json.dumps(about | {"results": results}, indent=2))


if __name__ == "__main__":
    main()
