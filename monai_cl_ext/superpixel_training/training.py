# SPDX-License-Identifier: Apache-2.0
"""Trains a network of superpixels, step by step, and goes on where it was stopped."""

from __future__ import annotations

import functools
import hashlib
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from monai_cl_ext.files import load_tensors, save_tensors
from monai_cl_ext.pinned import pinned_copy
from monai_cl_ext.seeds import mix_seed
from monai_cl_ext.superpixel_training.plan import SuperpixelPlan, Training
from monai_cl_ext.transforms.superpixels.weights import save_weights, settings_of

KEPT_EVERY = 100  # steps
SAMPLE = 64  # slices by which data are known again


class Slices(Protocol):
    """Prepared slices, such as ``data.SliceDataset``."""

    def __len__(self) -> int:
        """Their number."""

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        """One of them, whose "image" is (C, H, W)."""


def train_superpixels(
    slices: Slices,
    plan: SuperpixelPlan,
    file: Path,
    more_settings: Mapping[str, Any] | None = None,
    device: str | torch.device = "cpu",
    tell: Callable[[str], None] = print,
) -> bool:
    """Trains on slices without labels, and writes the weights that ``Superpixel(weights=file)`` reads.

    Every hundred steps all is kept in FILE.checkpoint, from which the same call goes on; batches are a function of the
    seed and the step, so that on a CPU the weights are those of a run without a stop.

    Args:
        slices: all of one size, of 1 or 3 channels.
        plan: of the training.
        file: of the weights.
        more_settings: plain values that say how the slices were prepared, kept with the weights.
        device: to train on.
        tell: is given a line of progress every hundred steps.

    Returns:
        Whether anything was trained: not where the file holds the weights of this training already.

    Raises:
        ValueError: when there is no slice, an argument is out of range, or the file or its checkpoint are of another
            training.
        FloatingPointError: when weights are to be kept that a loss of NaN or infinity has made the same.
    """
    if len(slices) == 0:
        raise ValueError("slices: expected at least one, found none; check the data folder")
    pixels = slices[0]["image"][0].numel()
    if plan.n_segments > pixels:
        raise ValueError(f"n_segments: expected at most the {pixels} pixels of a slice, found {plan.n_segments}")
    settings = {**plan.settings(), **(more_settings or {}), "slices": len(slices), "content": content_of(slices)}
    checkpoint = file.with_name(f"{file.name}.checkpoint")
    if file.exists():
        _same_training(file, settings_of(file), {"backend": plan.backend, **settings})
        return False
    training = plan.build().to(device).train()
    optimizer = torch.optim.Adam(training.parameter_groups(), lr=plan.learning_rate)
    step = 0
    if checkpoint.exists():
        kept = load_tensors(checkpoint)
        _same_training(checkpoint, kept["settings"], {"backend": plan.backend, **settings})
        training.load_state_dict(kept["training"])
        optimizer.load_state_dict(kept["optimizer"])
        step = kept["step"]
        tell(f"goes on at step {step} of {plan.steps}")
    while step < plan.steps:
        losses = train_step(training, optimizer, slices, step, plan.seed, device)
        step += 1
        if step % KEPT_EVERY == 0 or step == plan.steps:
            tell(f"step {step} of {plan.steps}: " + ", ".join(f"{name} {float(losses[name]):.4g}" for name in losses))
            content = {"training": training.state_dict(), "optimizer": optimizer.state_dict()}
            save_tensors(checkpoint, {"settings": {"backend": plan.backend, **settings}, "step": step, **content})
    save_weights(file, plan.backend, settings, training.network)
    checkpoint.unlink(missing_ok=True)
    return True


def train_step(
    training: Training,
    optimizer: torch.optim.Optimizer,
    slices: Slices,
    step: int,
    seed: int,
    device: str | torch.device = "cpu",
) -> dict[str, Tensor]:
    """One step of the optimizer on the images of that step; its losses, without gradient.

    Args:
        training: network and loss.
        optimizer: of the network.
        slices: from which the images are.
        step: from 0 on.
        seed: of the order and the flips.
        device: of the training.
    """
    first = step // training.steps_per_image * training.images_per_step
    numbers = [drawn(seed, first + each, len(slices)) for each in range(training.images_per_step)]
    images = torch.stack([torch.as_tensor(slices[number]["image"]).float() for number in numbers])
    losses = training(pinned_copy(images, device), torch.Generator().manual_seed(mix_seed(seed, step)))
    optimizer.zero_grad()
    losses["loss"].backward()
    optimizer.step()
    training.after_step()
    return {name: value.detach() for name, value in losses.items()}


def drawn(seed: int, place: int, count: int) -> int:
    """The image at a place of an endless sequence in which each of ``count`` images comes once in every round."""
    return _order(seed, place // count, count)[place % count]


@functools.lru_cache(maxsize=2)
def _order(seed: int, round_: int, count: int) -> list[int]:
    order: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(mix_seed(seed, round_))).tolist()
    return order


def content_of(slices: Slices) -> str:
    """A hash of slices spread evenly over all of them, by which a checkpoint knows its data."""
    digest = hashlib.sha256()
    for number in sorted({index * len(slices) // SAMPLE for index in range(SAMPLE)}):
        image = torch.as_tensor(slices[number]["image"]).float().contiguous()
        digest.update(str(tuple(image.shape)).encode() + image.numpy().tobytes())
    return digest.hexdigest()


def _same_training(file: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuses a file of another training, naming what differs."""
    differing = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    if differing:
        told = ", ".join(
            f"{name} {reprlib.repr(found.get(name))} (now {reprlib.repr(wanted.get(name))})" for name in differing
        )
        raise ValueError(f"{file}: is of a training with {told}; give another --output, or remove that file")
