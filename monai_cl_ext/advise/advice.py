# SPDX-License-Identifier: Apache-2.0
"""The adviser: how strongly to augment, by what two views of an image look like beside views of two."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from monai_cl_ext.advise.comparison import Comparer, Rung
from monai_cl_ext.advise.policies import choose_policy
from monai_cl_ext.advise.reading import read_sample
from monai_cl_ext.advise.sample import Sample
from monai_cl_ext.advise.settings import LADDER, each_alone, ladder
from monai_cl_ext.advise.showcase import Showcase, show
from monai_cl_ext.advise.spaces import CHECKPOINT, RANDOM, Space, checkpoint_space, pixel_space, random_space
from monai_cl_ext.advise.suggestion import reasons, score, suggested_strength
from monai_cl_ext.arguments import positive_integer


@dataclass(frozen=True)
class Advice:
    """What an adviser found; ``suggestion.CAUTION`` says what is not known of it.

    Attributes:
        strength: the suggested one, of ``transforms.scale_policy``.
        scores: of each strength of the ladder, see ``suggestion.score``.
        why: sentences.
        overlay: configuration that gives a bundle the policy at that strength.
        strengths: the ladder, in rising order.
        operations: each operation alone, at full strength.
        facts: "data", "policy", "images", "patients", "channels", "size", "seed", "seconds", and "spaces", a sentence
            on each.
        showcase: what a page shows of the views.
        volumetric: whether the images are slices.
    """

    strength: float
    scores: dict[float, float]
    why: list[str]
    overlay: dict[str, Any]
    strengths: list[Rung]
    operations: list[Rung]
    facts: dict[str, Any]
    showcase: Showcase
    volumetric: bool


def advise(
    data: str | Path | Sample,
    policy: str | Path = "strong",
    *,
    checkpoint: str | Path | None = None,
    network: str | Path | None = None,
    images: int = 500,
    size: int = 96,
    strengths: Sequence[float] = LADDER,
    seed: int = 0,
    progress: bool = True,
    **reading: Any,
) -> Advice:
    """Compares positive and negative pairs of a sample of images over a ladder of strengths, and suggests one of them.

    Two views are made of each image. A positive pair is the two views of one image, a negative one views of images of
    two patients; distances are Euclidean, between features of unit length, in three spaces: pixels, an untrained
    encoder, and a checkpoint where one is given. The suggestion goes by the untrained encoder alone.

    Args:
        data: a folder, see :func:`read_sample`, or a sample.
        policy: "strong", "weak", "weak_med", "basic", "simclr", "gcl", "gcl_intensity" or "pcl", or a configuration
            with a ``view_policy``: an overlay, or a bundle's own; see ``policies.choose_policy``.
        checkpoint: weights of a network whose features are looked at as well.
        network: configuration whose ``network_def`` builds that network.
        images: how many at most.
        size: side of the views in pixels, in which also a blur is measured: best that of the training. The random
            encoder sees at most 96 pixels.
        strengths: of the ladder; 0 is always in it.
        seed: of the sample and the views.
        progress: shows bars.
        reading: further arguments of :func:`read_sample`, where ``data`` is a folder.

    Raises:
        FileNotFoundError: when a folder or file is absent.
        ValueError: when an argument is wrong, a file cannot be read, or there are too few images.
    """
    begun = time.perf_counter()
    positive_integer("size", size)
    trained = _trained(checkpoint, network)
    ladder(choose_policy(policy, channels=3), strengths)  # a mistake shows before images are read
    sample = data if isinstance(data, Sample) else read_sample(data, images, size, seed, progress=progress, **reading)
    channels = sample.image.shape[1]
    chosen = choose_policy(policy, channels, sample.volumetric)
    rungs, parts = ladder(chosen, strengths), each_alone(chosen.policy)
    compare = Comparer(sample, [pixel_space(), random_space(channels), *trained], size, seed)
    found = [compare(setting) for setting in tqdm([*rungs, *parts], "Views", leave=False, disable=not progress)]
    showcase = show(compare, rungs, CHECKPOINT if trained else RANDOM)
    steps, operations = found[: len(rungs)], found[len(rungs) :]
    places, aucs = [rung.strength for rung in steps], [rung.spaces[RANDOM].measures["auc"] for rung in steps]
    suggested = suggested_strength(places, aucs)
    facts = {
        "data": sample.told, "policy": chosen.name, "images": len(sample.image),
        "patients": len(sample.patient.unique()), "channels": channels, "size": size, "seed": seed,
        "seconds": round(time.perf_counter() - begun, 1), "spaces": {each.name: each.told for each in compare.spaces},
    }  # fmt: skip
    return Advice(
        suggested, dict(zip(places, map(score, aucs), strict=True)), reasons(places, aucs, suggested),
        chosen.overlay(suggested), steps, operations, facts, showcase, sample.volumetric,
    )  # fmt: skip


def _trained(checkpoint: str | Path | None, network: str | Path | None) -> list[Space]:
    """The space of a checkpoint, where there is one."""
    if checkpoint is None and network is None:
        return []
    if checkpoint is None or network is None:
        raise ValueError("checkpoint and network belong together: the weights, and the configuration of their network")
    return [checkpoint_space(checkpoint, network)]
