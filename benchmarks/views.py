# SPDX-License-Identifier: Apache-2.0
"""Time to make two views of a batch, by the policies of this package, by MONAI sample by sample, and by kornia.

    pip install --no-deps kornia kornia_rs
    python benchmarks/views.py [--json FILE]      (--help for a shorter run)

``whole policy`` is a policy with all its operations. Beside a peer ours is run with the operations that the peer has
too, with the same ranges, probabilities and sizes, in float32; RGB images have all color operations, others none.

- MONAI: the Rand... array transforms on one sample after the other, without metadata (``set_track_meta(False)``, its
  faster form). One thread: a loop in this process. More: as many worker processes of one thread each behind a
  DataLoader, and the time of a batch is that of an epoch of one batch per worker, divided by their number.
- kornia: ``AugmentationSequential`` on the batch, parameters drawn for each sample, matrices not recorded.
- On the CPU the time is from a list of samples to two batches of views. On a GPU ours and kornia start from a batch in
  pinned memory, as a DataLoader hands it over; MONAI's workers, one for each core, make the views on the CPU, which are
  then sent to the GPU.

All of a case take turns, so that a busy machine slows each of them. Shown are medians, and of the ratio peer / ours of
the same turn its median, lowest and highest. ``--check`` shows what the views hold in place of times. On a GPU each of
ours is also run where torch raises an error when the host waits. Take figures for the record on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import monai.transforms as M
import torch
from monai.data import DataLoader, set_track_meta
from torch import Tensor
from torch.nn import functional as F

from monai_cl_ext.transforms import (
    AdditiveNoise,
    Mirror,
    PolynomialBiasField,
    PrepareViews,
    Scaling,
    Translation,
    ViewPolicy,
    strong_policy,
    weak_med_policy,
)

LEFT_OUT = """\
Left out beside MONAI: saturation, hue, gray-scale and clipping, which it has not. Its crop (RandScaleCrop, Resize)
draws each side by itself, in whole voxels, from the root of the smallest area to 1; its contrast keeps the mean of all
channels; its blur draws a width for each axis, with zeros outside the image.
Left out beside kornia: the bias field, which it has not; its noise has one standard deviation, 0.1, so ours has too. It
draws the order of the parts of the jitter, ours is fixed.
Left out beside kornia, volumes: all but the crop and the flip. It resizes no crops of volumes; the crop is a zoom
(RandomAffine3D) to the smallest box's side at most, moved by at most what lies beyond that box; ours is the same.
Left out of the peers: their operations that the policies have not."""


@dataclass(frozen=True)
class Magnitudes:
    """What differs between the policies."""

    area: float
    jitter: float
    artifacts: bool

    def side(self, dims: int) -> float:
        return self.area ** (1 / dims)


POLICIES = {"strong": Magnitudes(0.4, 0.4, False), "weak+med": Magnitudes(0.5, 0.2, True)}
SATURATION, HUE, BLUR, ARTIFACT = 0.2, 0.1, (0.1, 2.0), 0.1
VOLUMES = 16
"""Volumes in a batch at most: 64 and their views fill a workstation's memory several times over with temporaries."""
FEWEST = 3
"""Turns of a case, whatever the patience."""
FACTS = ("device", "threads", "shape", "batch", "policy")


@dataclass(frozen=True)
class Contender:
    """A way to make two views (B, C, *S) of batches; ``call`` makes those of ``batches`` batches, gives the last."""

    call: Callable[[], Sequence[Tensor]]
    batches: int = 1


@dataclass(frozen=True)
class Case:
    """What is timed together."""

    policy: str
    samples: Tensor
    device: str
    threads: int

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(self.samples.shape[2:])


def images(shape: Sequence[int], batch: int) -> Tensor:
    """Smooth images in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, shape[0], *[8] * (len(shape) - 1), generator=generator)
    return F.interpolate(coarse, tuple(shape[1:]), mode="bilinear" if len(shape) == 3 else "trilinear")


def our_policy(case: Case, peer: str) -> ViewPolicy:
    """The policy, of the operations that the peer has as well."""
    magnitudes, dims, colors = POLICIES[case.policy], len(case.size), case.samples.shape[1] == 3
    side = magnitudes.side(dims)
    if peer == "kornia" and dims == 3:
        moves = [Translation((1 - side) / 2, dims), Scaling(1, 1 / side, dims), Mirror(-1, dims)]
        return ViewPolicy(moves, spatial_dims=dims, padding_mode="zeros")
    arguments: dict = {"spatial_dims": dims, "crop": (magnitudes.area, 1.0)}
    if peer == "MONAI" or not colors:
        arguments["color"] = False
    if peer == "MONAI":
        arguments["limits"] = None
    if not magnitudes.artifacts:
        return strong_policy(**arguments)
    policy = weak_med_policy(**arguments)
    if peer != "kornia":
        return policy
    without = [each for each in policy.operations if not isinstance(each, PolynomialBiasField)]
    return policy.with_operations(without).replace(AdditiveNoise(ARTIFACT, ARTIFACT, probability=0.5))


def our_prepare(case: Case, peer: str) -> Callable[[Tensor], list[Tensor]]:
    """From a batch to its two views on the device."""
    prepare = PrepareViews([our_policy(case, peer)] * 2)

    def views(batch: Tensor) -> list[Tensor]:
        made, *_ = prepare({"image": batch}, device=case.device, non_blocking=True)
        return [view["image"] for view in made]

    return views


def batched(case: Case, views: Callable[[Tensor], list[Tensor]]) -> Contender:
    """What takes whole batches."""
    if case.device == "cuda":
        batch = case.samples.pin_memory()
        return Contender(lambda: views(batch))
    samples = list(case.samples)
    return Contender(lambda: views(torch.stack(samples)))


def monai_transform(case: Case) -> M.Compose:
    """MONAI's transforms of one sample (C, *S)."""
    magnitudes, dims = POLICIES[case.policy], len(case.size)
    transforms = [
        M.RandScaleCrop(roi_scale=magnitudes.side(dims), max_roi_scale=1.0, random_size=True),
        M.Resize(case.size, mode="bilinear" if dims == 2 else "trilinear"),
        M.RandFlip(prob=0.5, spatial_axis=-1),
        M.RandScaleIntensity(factors=magnitudes.jitter, prob=0.8),
        M.RandScaleIntensityFixedMean(factors=magnitudes.jitter, prob=0.8),
        M.RandGaussianSmooth(BLUR, BLUR, BLUR, prob=0.5),
    ]
    if magnitudes.artifacts:
        width = (0.0, ARTIFACT)
        transforms += [
            M.RandBiasField(degree=3, coeff_range=width, prob=0.5),
            M.RandGaussianSmooth(width, width, width, prob=0.5),
            M.RandGaussianNoise(prob=0.5, std=ARTIFACT),
        ]
    return M.Compose(transforms)


class MonaiPairs(torch.utils.data.Dataset):
    """Two views of each sample; samples come again until there are as many as wanted."""

    def __init__(self, samples: Tensor, transform: M.Compose, length: int) -> None:
        self.samples, self.transform, self.length = list(samples), transform, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = self.samples[index % len(self.samples)]
        return self.transform(sample), self.transform(sample)


def monai_contender(case: Case) -> Contender:
    batch_size, workers = len(case.samples), 0 if case.threads == 1 else case.threads
    batches = max(workers, 1)
    pairs = MonaiPairs(case.samples, monai_transform(case), batches * batch_size)
    loader = DataLoader(
        pairs, workers, batch_size=batch_size, persistent_workers=workers > 0, pin_memory=case.device == "cuda"
    )

    def call() -> list[Tensor]:
        for views in loader:
            last = [view.to(case.device, non_blocking=True) for view in views]
        return last

    return Contender(call, batches)


def kornia_views(case: Case, cropping: str) -> Callable[[Tensor], list[Tensor]]:
    import kornia.augmentation as K

    magnitudes, dims, colors = POLICIES[case.policy], len(case.size), case.samples.shape[1] == 3
    jitter, side = magnitudes.jitter, magnitudes.side(dims)
    operations: list[torch.nn.Module]
    if dims == 3:
        away = (1 - side) / 2
        zoom = K.RandomAffine3D(0, translate=(away, away, away), scale=(1.0, 1 / side), p=1.0)
        operations = [zoom, K.RandomHorizontalFlip3D(p=0.5)]
    else:
        operations = [
            K.RandomResizedCrop(case.size, (magnitudes.area, 1.0), cropping_mode=cropping, align_corners=False),
            K.RandomHorizontalFlip(p=0.5),
            K.ColorJitter(jitter, jitter, SATURATION if colors else 0, HUE if colors else 0, p=0.8),
            *([K.RandomGrayscale(p=0.2)] if colors else []),
            K.RandomGaussianBlur((13, 13), BLUR, p=0.5),  # as many taps as ours
        ]
    artifacts = magnitudes.artifacts and dims == 2
    if artifacts:
        operations += [K.RandomGaussianBlur((3, 3), (1e-3, ARTIFACT), p=0.5), K.RandomGaussianNoise(0.0, ARTIFACT)]
    sequence = K.AugmentationSequential(
        *operations, data_keys=["input"], same_on_batch=False, transformation_matrix_mode="skip"
    )

    def views(batch: Tensor) -> list[Tensor]:
        batch = batch.to(case.device, non_blocking=True)
        made = [sequence(batch) for _ in range(2)]
        return [view.clamp_(0, 1) for view in made] if artifacts else made

    return views


def kornia_contender(case: Case) -> Contender:
    """The quicker of kornia's two ways to crop: slices one by one, or one warp."""
    ways = ["slice", "resample"] if len(case.size) == 2 else ["slice"]
    contenders = [batched(case, kornia_views(case, way)) for way in ways]
    for contender in contenders:
        contender.call()
    return min(contenders, key=lambda each: seconds(each, case.device))


def seconds(contender: Contender, device: str) -> float:
    """Of one batch."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    contender.call()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / contender.batches


def waits(case: Case, peer: str) -> bool:
    """Whether the host waits for the GPU while ours makes views of a batch in pinned memory."""
    views, batch = our_prepare(case, peer), case.samples.pin_memory()
    views(batch)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        views(batch)
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        return True
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return False


def contenders(case: Case, peers: Sequence[str]) -> dict[str, Contender]:
    """The whole policy, and for each peer ours and its own, all run once."""
    made = {"whole policy": batched(case, our_prepare(case, ""))}
    for peer in peers:
        made[f"ours beside {peer}"] = batched(case, our_prepare(case, peer))
        made[peer] = monai_contender(case) if peer == "MONAI" else kornia_contender(case)
    for name, contender in made.items():
        for view in contender.call():
            if view.shape != case.samples.shape or view.dtype != torch.float32 or not view.isfinite().all():
                raise RuntimeError(f"{name} gives {view.dtype} {tuple(view.shape)} of {tuple(case.samples.shape)}")
    return made


def measure(case: Case, peers: Sequence[str], options: argparse.Namespace) -> list[dict]:
    """Milliseconds a batch, the contenders taking turns until the repeats or the patience are used up."""
    made = contenders(case, peers)
    spent: dict[str, list[float]] = {name: [] for name in made}
    start = time.perf_counter()
    for turn in range(options.repeats):
        if turn >= FEWEST and time.perf_counter() - start > options.patience:
            break
        for name in sorted(made, reverse=turn % 2 == 1):
            spent[name].append(1e3 * seconds(made[name], case.device))
    results: list[dict] = []
    for peer in ["", *peers]:
        ours = spent[f"ours beside {peer}" if peer else "whole policy"]
        result = about(case) | {"peer": peer, "turns": len(ours), "ours_ms": statistics.median(ours)}
        if peer:
            ratios = [theirs / own for own, theirs in zip(ours, spent[peer], strict=True)]
            result |= {"peer_ms": statistics.median(spent[peer]), "ratio": statistics.median(ratios)}
            result |= {"lowest": min(ratios), "highest": max(ratios)}
        if case.device == "cuda":
            result["waits"] = waits(case, peer)
        results.append(result)
    return results


def about(case: Case) -> dict:
    size = "x".join(map(str, case.samples.shape[1:]))
    return dict(zip(FACTS, (case.device, case.threads, size, len(case.samples), case.policy), strict=True))


def table_row(result: dict) -> str:
    row = [*(result[fact] for fact in FACTS), result["peer"] or "(whole policy)", f"{result['ours_ms']:.1f}", "", ""]
    if result["peer"]:
        row[-2:] = f"{result['peer_ms']:.1f}", "{ratio:.2f} ({lowest:.2f} .. {highest:.2f})".format_map(result)
    row += [("yes" if result["waits"] else "no") if "waits" in result else ""]
    return f"| {' | '.join(map(str, row))} |"


def show_contents(case: Case, peers: Sequence[str], batches: int) -> None:
    """Mean, spread and roughness (mean difference of neighbors) of the views; ours and the peer's should agree."""
    for name, contender in contenders(case, peers).items():
        views = [view.cpu() for _ in range(batches) for view in contender.call()]
        figures = [
            [float(view.mean()), float(view.flatten(1).std(dim=1).mean()), float(view.diff(dim=-1).abs().mean())]
            for view in views
        ]
        mean, spread, roughness = (statistics.fmean(column) for column in zip(*figures, strict=True))
        print(" ".join(map(str, about(case).values())), f"{name:>20}: {mean:.3f} {spread:.3f} {roughness:.4f}")


def summary(results: list[dict]) -> str:
    lines = []
    for device, peer in sorted({(each["device"], each["peer"]) for each in results if each["peer"]}):
        ratios = [each["ratio"] for each in results if (each["device"], each["peer"]) == (device, peer)]
        lines.append(f"{peer} / ours on {device}: {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} cases")
    return "\n".join(lines)


def machine() -> dict:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    cpu = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    return {"cpu": cpu, "gpu": gpu, "torch": torch.__version__}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["1x192x192", "3x224x224", "1x96x96x96"], help="C x S")
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 64], help=f"volumes: those up to {VOLUMES} only")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of the CPU's runs")
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=list(POLICIES))
    parser.add_argument("--peers", nargs="*", default=["MONAI", "kornia"], choices=["MONAI", "kornia"])
    parser.add_argument("--devices", nargs="+", default=["cpu", "cuda"], choices=["cpu", "cuda"], help="where present")
    parser.add_argument("--repeats", type=int, default=15, help="turns of a case at most")
    parser.add_argument("--patience", type=float, default=15, help=f"seconds of a case, after {FEWEST} turns")
    parser.add_argument("--check", type=int, metavar="BATCHES", help="show what views hold in place of times")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


def main() -> None:
    options = parse()
    set_track_meta(False)
    peers = [peer for peer in options.peers if find_spec(peer.lower())]
    print(f"{machine()}; {os.getloadavg()[0]:.1f} processes were busy before\n{LEFT_OUT}")
    print("".join(f"{peer} is not installed: left out\n" for peer in options.peers if peer not in peers))
    runs = [("cpu", threads) for threads in options.threads] if "cpu" in options.devices else []
    if "cuda" in options.devices and torch.cuda.is_available():
        runs.append(("cuda", len(os.sched_getaffinity(0))))
    if not options.check:
        print("| device | threads | shape | batch | policy | peer | ours ms | peer ms | peer / ours | waits |")
        print("|---|---|---|---|---|---|---|---|---|---|")
    results: list[dict] = []
    for device, threads in runs:
        torch.set_num_threads(threads)
        for shape in ([int(side) for side in text.split("x")] for text in options.shapes):
            for batch in (size for size in options.batch if len(shape) == 3 or size <= VOLUMES):
                for policy in options.policies:
                    case = Case(policy, images(shape, batch), device, threads)
                    if options.check:
                        show_contents(case, peers, options.check)
                        continue
                    found = measure(case, peers, options)
                    print("\n".join(map(table_row, found)), flush=True)
                    results += found
                    if options.json:
                        options.json.write_text(json.dumps(machine() | {"results": results}, indent=2))
    print(summary(results))


if __name__ == "__main__":
    main()
