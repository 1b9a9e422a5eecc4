# SPDX-License-Identifier: Apache-2.0
"""What every method is: views and tags in, losses out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from monai_cl_ext.distributed import world_size
from monai_cl_ext.losses import pair_matrices, sample_tags
from monai_cl_ext.losses.plain_tensors import plain
from monai_cl_ext.losses.rules import Rules
from monai_cl_ext.networks import stages
from monai_cl_ext.types import Losses, Tags, View


class Method(nn.Module, ABC):
    """A method of any stage: holds the network that it trains, its heads and its losses.

    A method has no clock: ``iteration`` is set by the trainer, and schedules are handlers. It freezes what it does not
    train and leaves the ``state_dict`` of ``predictor`` as the only thing that the next stage needs. A method that is
    part of another one, an inner method, has the other's ``iteration``, and ``set_epoch``, ``after_step`` and
    ``optimizers`` of the other include its own.

    Attributes:
        views: number of views that it takes.
        more_views: whether it takes more of them, too.
        aligned_views: which of them it compares place by place, so that they must not move against each other.
        contrasts_batch: whether its negatives are the other images of the batch, which one image alone does not have.
        collapse_causes: what most often makes all projections alike, for a warning; None where they are not watched.
    """

    views: int = 2
    more_views: bool = False
    aligned_views: slice = slice(0)
    contrasts_batch: bool = False
    collapse_causes: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self._iteration = 0
        self.register_forward_pre_hook(_taken, with_kwargs=True)

    @property
    def iteration(self) -> int:
        """Number of optimizer steps before the present one."""
        return self._iteration

    @iteration.setter
    def iteration(self, steps: int) -> None:
        self._iteration = steps
        for inner in self._inner_methods().values():
            inner.iteration = steps

    @property
    @abstractmethod
    def predictor(self) -> nn.Module:
        """The network that is validated and saved."""

    @abstractmethod
    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """Losses of one batch.

        Args:
            views: the views of the batch in the order of the policies, each with "image" (B,C,*S). MetaTensors among
                views and tags become plain tensors.
            tags: every entry of the batch that is not a map, such as "volume", "position" and "partition", (B,...).

        Returns:
            "loss", the scalar to be minimized, and its parts, each a scalar.

        Raises:
            ValueError: in training, when heads with batch normalization, or a contrast of the images of a batch, are
                given a batch of one image.
        """

    def check_views(self, count: int) -> None:
        """Refuses another number of views than the method takes; asked by each call, and by a trainer when it is made.

        Raises:
            ValueError: names the method, what was found and what is expected.
        """
        if count < self.views or (count > self.views and not self.more_views):
            least = "at least " if self.more_views else ""
            raise ValueError(
                f"{type(self).__name__} takes {least}{self.views} view(s) of an image, found {count}: give "
                "PrepareViews one policy for each"
            )

    def check_alignment(self, geometries: Sequence[int | None]) -> None:
        """Refuses views that move against each other where they are compared; asked by a trainer when it is made.

        Args:
            geometries: of each view, as ``transforms.PrepareViews`` has them.

        Raises:
            ValueError: names the method, what was found and what is expected.
        """
        aligned = range(len(geometries))[self.aligned_views]
        if len({geometries[view] for view in aligned}) > 1:
            moved = sorted({found for view in aligned if (found := geometries[view]) is not None})
            raise ValueError(
                f"{type(self).__name__} compares the views {list(aligned)} place by place, found a policy that moves "
                f"view(s) {moved}: give them policies of intensities alone (transforms.intensity_part), or make "
                "them from the one that is moved (made_from)"
            )

    def set_epoch(self, epoch: int) -> None:
        """Called as each epoch starts, by ``handlers.EpochSeed``; by default it calls that of the inner methods."""
        for inner in self._inner_methods().values():
            inner.set_epoch(epoch)

    def embed(self, image: Tensor) -> Tensor:
        """The representation (B,D) of images (B,C,*S) that a probe looks at."""
        raise NotImplementedError(f"{type(self).__name__} gives no embedding of an image; it cannot be probed")

    def project(self, embedding: Tensor) -> Tensor:
        """Of embeddings (B, D) what the loss compares, the projections (B, P); by default the embeddings themselves."""
        return embedding

    def rules(self, tags: Tags, samples: Tensor, views: int) -> Rules | None:
        """The loss's positive and negative pairs among the rows of all views, as the ``rules`` of a loss gives them.

        None, the default, where a pair is not one of whole images.
        """
        return None

    def pairs(self, views: Sequence[View], tags: Tags) -> tuple[Tensor, Tensor] | None:
        """Which rows the loss attracts and which it repels, for the report page to draw.

        Args:
            views, tags: as in ``forward``; any part of a batch serves.

        Returns:
            (positive, negative), boolean (N, N) over the N rows of all views, view by view; None where a pair is not
            one of whole images.
        """
        image = views[0]["image"]
        found = self.rules(tags, sample_tags(len(image), image.device), len(views))
        return None if found is None else pair_matrices(found, len(views) * len(image))

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """Optimizers that ``after_step`` moves besides the trainer's, by name; a run resumes with their states.

        By default those of the inner methods; a method with optimizers of its own adds them to ``super().optimizers``.
        """
        return {
            f"{name}.{own}": optimizer
            for name, inner in self._inner_methods().items()
            for own, optimizer in inner.optimizers.items()
        }

    def after_step(self) -> None:
        """What must move after each optimizer step (a teacher, a queue, a second optimizer).

        By default what moves in the inner methods; a method that moves more calls ``super().after_step()`` as well.
        """
        for inner in self._inner_methods().values():
            inner.after_step()

    def _inner_methods(self) -> dict[str, Method]:
        """The methods that are parts of this one, by name; those within one of them are left to it."""
        found: dict[str, Method] = {}
        for name, module in self.named_modules():
            if isinstance(module, Method) and name and not any(name.startswith(f"{outer}.") for outer in found):
                found[name] = module
        return found


class NetworkMethod(Method):
    """A method that trains parts of a network which ``networks.stages`` knows; the rest is frozen.

    Args:
        network: the network to pre-train.
        encoder: whether its encoder is trained.
        blocks: decoder blocks that are trained, counted from the bottleneck; None are all.

    Attributes:
        stages: the network's stages.
    """

    def __init__(self, network: nn.Module, *, encoder: bool = True, blocks: int | None = 0) -> None:
        super().__init__()
        self.stages = stages(network)
        network.requires_grad_(False)
        trained = list(self.stages.encoder_parameters()) if encoder else []
        if blocks != 0:
            trained += self.stages.decoder_parameters(blocks) if blocks else self.stages.decoder_parameters()
        for parameter in trained:
            parameter.requires_grad_(True)

    @property
    def predictor(self) -> nn.Module:
        """The whole network, what is frozen of it as it came."""
        return self.stages.network

    def embed(self, image: Tensor) -> Tensor:
        """Global average of the bottleneck, (B, channels[-1])."""
        return self.stages.embed(image)


def _taken(method: Method, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """Views and tags as plain tensors: MONAI's metadata would follow every operation of the network."""
    args, kwargs = tuple(map(plain, args)), plain(kwargs)
    views = args[0] if args else kwargs.get("views", ())
    method.check_views(len(views))
    _check_rows(method, views[0]["image"])
    return args, kwargs


def _check_rows(method: Method, image: Tensor) -> None:
    """Batch normalization of a head sets the rows of one image apart from nothing but each other; so does contrast."""
    if len(image) != 1:
        return
    if any(isinstance(module, nn.BatchNorm1d) and module.training for module in method.modules()):
        raise ValueError(
            f"{type(method).__name__} normalizes its heads over the batch and takes batches of two images or more in "
            "training, found one image: raise batch_size"
        )
    if method.contrasts_batch and method.training and world_size() == 1:
        raise ValueError(
            f"{type(method).__name__} contrasts the images of a batch with each other and takes two or more in "
            "training, found one image: raise batch_size, or drop_last where the last batch of an epoch is short"
        )


def images_of(views: Sequence[View]) -> Tensor:
    """The images of all views, one view below the other."""
    return torch.cat([view["image"] for view in views])
