# SPDX-License-Identifier: Apache-2.0
"""From a collated batch to views and tags, as ``prepare_batch`` of a trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import Tensor

from monai_cl_ext.device_checks import check_whole
from monai_cl_ext.seeds import EpochGenerator
from monai_cl_ext.types import Batch, Tags, View

from .plain import plain
from .policies.channel_wise import channel_wise_policy
from .policies.policy import MAPS, ViewPolicy

NEAREST = 'resample labels with mode "nearest", in a lazy Compose by overrides={"label": {"mode": "nearest"}}'


class PrepareViews(PrepareBatch):
    """Makes the views of a batch on the device, as ``prepare_batch`` of a MONAI trainer.

    Batches may hold plain tensors or MetaTensors; views and tags are plain tensors.

    With ``set_epoch`` called at the start of each epoch (``handlers.EpochSeed`` does), the views are a function of
    (seed, rank, epoch, iteration).

    Args:
        policies: one policy for each view, in the order of the views.
        made_from: for each view the index of an earlier view that it is made from, or None for the batch itself;
            None makes all of them from the batch.
        seed: the run's seed.
        superpixels: function from the images (B, C, *S) of a view to integers (B, *S) or (B, 1, *S) on their device,
            such as ``batched_slic``. With it each view that is made from the batch gets the map of its own image
            instead of the batch's; a view made from another view gets that one's map, warped alike. None warps the
            batch's map, where it has one.
        channel_wise: draws for each channel of the images, see ``channel_wise_policy``, in place of one for all.

    Raises:
        TypeError: when the policies are not a list of ``ViewPolicy``.
        ValueError: when ``made_from`` has another length than ``policies`` or names a view that is not earlier.
    """

    def __init__(
        self,
        policies: Sequence[ViewPolicy],
        made_from: Sequence[int | None] | None = None,
        seed: int = 0,
        superpixels: Callable[[Tensor], Tensor] | None = None,
        channel_wise: bool = False,
    ) -> None:
        self.generator = EpochGenerator(seed)
        self.superpixels = superpixels
        self.channel_wise = channel_wise
        self.policies = _policies(policies)
        self._by_channels: dict[int, list[ViewPolicy]] = {}
        self.made_from = [None] * len(self.policies) if made_from is None else list(made_from)
        earlier = (source is None or 0 <= source < view for view, source in enumerate(self.made_from))
        if len(self.made_from) != len(self.policies) or not all(earlier):
            raise ValueError(
                f"made_from must hold one entry for each of the {len(self.policies)} policies, None or the index of an "
                f"earlier view, found {made_from!r}"
            )

    @property
    def geometries(self) -> list[int | None]:
        """For each view the one, itself or an earlier one, whose policy moved it last; None where none did.

        Views of one geometry show the same place at the same pixel.
        """
        found: list[int | None] = []
        for view, (policy, source) in enumerate(zip(self.policies, self.made_from, strict=True)):
            kept = None if source is None else found[source]
            found.append(view if policy.changes_geometry else kept)
        return found

    def set_epoch(self, epoch: int) -> None:
        """Seeds the views of an epoch from (seed, rank, epoch); call it before the epoch's first batch."""
        self.generator.set_epoch(epoch)

    def __call__(
        self,
        batchdata: Batch,
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[list[View], Tags, tuple[Tags], dict[str, Any]]:
        """The views and tags of a batch.

        Args:
            batchdata: "image" (B, C, *S), other maps ("label", "superpixel", (B, 1, *S)) and tensors of any other name:
                the tags of the rows.
            device: where the views are made.
            non_blocking: copy to the device without waiting.
            kwargs: more arguments of ``Tensor.to`` for the maps, such as ``memory_format``.

        Returns:
            (views, tags, (tags,), {}): the network is called as ``network(views, tags)``.

        Raises:
            KeyError: when the batch has no image.
            TypeError: when one of its maps is no tensor.
            ValueError: when ``superpixels`` gives no integer map of the image's size, or on the CPU a label lies
                between classes, as after linear interpolation; on CUDA that is an assertion of the device.
        """
        batch = maps_of(batchdata, device, non_blocking, **kwargs)
        if self.superpixels is not None:
            batch.pop("superpixel", None)
        views: list[View] = []
        for policy, source in zip(self._policies_for(batch["image"].shape[1]), self.made_from, strict=True):
            view = policy(batch if source is None else views[source], self.generator())
            if source is None and self.superpixels is not None:
                view = {**view, "superpixel": _own_map(self.superpixels, view["image"])}
            views.append(view)
        tags = {
            name: plain(value).to(device=device, non_blocking=non_blocking)
            for name, value in batchdata.items()
            if name not in MAPS and isinstance(value, Tensor)
        }
        return views, tags, (tags,), {}

    def _policies_for(self, channels: int) -> list[ViewPolicy]:
        """The policies for images of so many channels."""
        if not self.channel_wise:
            return self.policies
        if channels not in self._by_channels:
            self._by_channels[channels] = [channel_wise_policy(policy, channels) for policy in self.policies]
        return self._by_channels[channels]


class PrepareImage(PrepareBatch):
    """The image of a batch under a policy that draws nothing, and what it is scored against, for a MONAI evaluator.

    Args:
        policy: such as a standardization of intensities.
        target: name of the tag that is the target, such as "class".
    """

    def __init__(self, policy: ViewPolicy, target: str) -> None:
        self.views = PrepareViews([policy])
        self.target = target

    def __call__(
        self,
        batchdata: Batch,
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """The image (B, C, *S) and the target, int64 (B,).

        Raises:
            KeyError: when the batch has no such target.
        """
        if self.target not in batchdata:
            raise KeyError(
                f"expected {self.target!r} in the batch, found {sorted(batchdata)}; give images with targets"
            )
        (view,), tags, *_ = self.views(batchdata, device, non_blocking, **kwargs)
        return view["image"], tags[self.target].long()


def _policies(policies: Sequence[ViewPolicy]) -> list[ViewPolicy]:
    """The policies as a list; a TypeError for one alone, and for transforms of single images."""
    if isinstance(policies, ViewPolicy):
        raise TypeError("policies must be a list, one policy for each view, found one ViewPolicy: give [policy] * 2")
    for policy in policies:
        if not isinstance(policy, ViewPolicy):
            raise TypeError(
                f"policies must be of ViewPolicy, found {type(policy).__name__}: views are made of whole batches; give "
                "strong_policy() in place of RandStrongAugmentd, and leave MONAI's transforms to the dataset"
            )
    return list(policies)


def maps_of(batch: Batch, device: Any, non_blocking: bool, **kwargs: Any) -> View:
    """The maps of a batch as plain tensors on the device, "image" in floating point."""
    if "image" not in batch:
        raise KeyError(f"the batch holds no 'image', only {sorted(batch)}; name the image key 'image'")
    for name in MAPS:
        if name in batch and not isinstance(batch[name], Tensor):
            raise TypeError(
                f"the batch's {name!r} must be a tensor (B, C, *S), found {type(batch[name]).__name__}: give "
                "torch.as_tensor of it, or batches of a DataLoader"
            )
    maps = {name: plain(batch[name]) for name in MAPS if name in batch}
    if "label" in maps and maps["label"].shape[1:2] == (1,):  # classes, checked where they lie
        check_whole("label", maps["label"], NEAREST)
    maps = {name: map_.to(device=device, non_blocking=non_blocking, **kwargs) for name, map_ in maps.items()}
    if not maps["image"].is_floating_point():
        maps["image"] = maps["image"].float()
    return maps


def _own_map(superpixels: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """The maps (B, 1, *S) that the function makes of the images (B, C, *S)."""
    maps = superpixels(image)
    found, expected = tuple(maps.shape), (len(image), *image.shape[2:])
    if found not in (expected, (len(image), 1, *image.shape[2:])) or maps.dtype.is_floating_point:
        raise ValueError(
            f"superpixels must give integers {expected} for images {tuple(image.shape)}, found {maps.dtype} "
            f"{found}; give a function of a whole batch such as batched_slic"
        )
    return maps.reshape(len(image), 1, *image.shape[2:])
