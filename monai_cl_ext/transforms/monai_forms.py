# SPDX-License-Identifier: Apache-2.0
"""Any view policy as a MONAI array or dictionary transform of single images."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, get_track_meta
from monai.data.utils import to_affine_nd
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_tensor, ensure_tuple_rep
from torch import Tensor

from monai_cl_ext.arguments import one_of

from .operation import Operation, SpatialOperation
from .policy import ViewPolicy


class _PolicyTransform(RandomizableTransform):
    """Draws the parameters of a policy from MONAI's random state and applies them to single images."""

    def __init__(self, policy: ViewPolicy) -> None:
        RandomizableTransform.__init__(self, prob=1.0)  # each operation has its own probability
        self.policy = policy
        self.params = policy.make_params(1, torch.Generator())

    def randomize(self, data: Any = None) -> None:
        """Draws new parameters; MONAI's NumPy state gives the seed of torch's generator."""
        super().randomize(None)
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31 - 1)))
        self.params = self.policy.make_params(1, generator)

    def _transformed(self, img: np.ndarray | Tensor, mode: str) -> Tensor:
        """One image or label map (C, *S) moved and, unless ``mode`` is "nearest", changed in intensity."""
        image = convert_to_tensor(img, track_meta=get_track_meta())
        values = image.as_tensor() if isinstance(image, MetaTensor) else image
        name = "label" if mode == "nearest" else "image"
        if name == "image" and not values.is_floating_point():
            values = values.float()
        moved = self.policy.apply({name: values[None]}, self.params)[name][0]
        if not isinstance(image, MetaTensor):
            return moved
        result = MetaTensor(moved).copy_meta_from(image)
        result.affine = self._moved_affine(image)
        return result

    def _moved_affine(self, image: MetaTensor) -> Tensor:
        """The affine that keeps every voxel at its place in the world, elastic bending left out."""
        if not self.policy.moves:
            return image.affine
        matrix = self.policy.voxel_matrix(self.params, image.shape[1:])[0]
        return image.affine @ torch.as_tensor(to_affine_nd(len(image.affine) - 1, matrix.numpy())).to(image.affine)


class RandPolicy(_PolicyTransform):
    """A view policy as a MONAI array transform of one image, channel first and without a batch.

    Takes arrays, tensors and MetaTensors; a MetaTensor's affine follows affine operations (not elastic bending), so
    that a voxel stays where it was in the world.

    Args:
        policy: what to do; each operation's own probability says how often.
        mode: "bilinear" for images, or "nearest" for label maps, whose values stay as they are.
    """

    def __init__(self, policy: ViewPolicy, mode: str = "bilinear") -> None:
        super().__init__(policy)
        self.mode = _interpolation(mode)

    def __call__(self, img: np.ndarray | Tensor, mode: str | None = None, randomize: bool = True) -> Tensor:
        """The image (C, *S) under new parameters, or under the last ones with ``randomize=False``."""
        if randomize:
            self.randomize()
        return self._transformed(img, self.mode if mode is None else _interpolation(mode))


class RandPolicyd(_PolicyTransform, MapTransform):
    """A view policy as a MONAI dictionary transform: all keys share one draw.

    Args:
        keys: entries to transform, each (C, *S).
        policy: as in ``RandPolicy``.
        mode: "bilinear" or "nearest", one for all keys or one for each; a nearest one keeps its values.
        allow_missing_keys: leave out keys that an item does not have.
    """

    def __init__(
        self,
        keys: KeysCollection,
        policy: ViewPolicy,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        _PolicyTransform.__init__(self, policy)
        self.mode = tuple(_interpolation(each) for each in ensure_tuple_rep(mode, len(self.keys)))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its keys transformed under one new draw."""
        self.randomize()
        item = dict(data)
        for key, mode in self.key_iterator(item, self.mode):
            item[key] = self._transformed(item[key], mode)
        return item


class RandOperation(RandPolicy):
    """Base of the array forms: a subclass names its operation, or a function that makes its policy.

    It takes the arguments of that, and ``mode``.
    """

    operation: ClassVar[Callable[..., Operation | ViewPolicy]]

    def __init__(self, *args: Any, mode: str = "bilinear", **kwargs: Any) -> None:
        super().__init__(_single(self.operation(*args, **kwargs)), mode)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__signature__ = _signature(cls.operation, RandPolicy, before=(), after=("mode",))


class RandOperationd(RandPolicyd):
    """Base of the dictionary forms, as ``RandOperation``.

    It takes ``keys``, the arguments of its operation, ``mode`` and ``allow_missing_keys``.
    """

    operation: ClassVar[Callable[..., Operation | ViewPolicy]]

    def __init__(
        self,
        keys: KeysCollection,
        *args: Any,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(keys, _single(self.operation(*args, **kwargs)), mode, allow_missing_keys)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__signature__ = _signature(cls.operation, RandPolicyd, ("keys",), ("mode", "allow_missing_keys"))


RandPolicyD = RandPolicyDict = RandPolicyd


def _single(operation: Operation | ViewPolicy) -> ViewPolicy:
    """The policy of one operation; a policy as it is."""
    if isinstance(operation, ViewPolicy):
        return operation
    dims = operation.spatial_dims if isinstance(operation, SpatialOperation) else 2
    return ViewPolicy([operation], spatial_dims=dims)


def _interpolation(mode: str) -> str:
    return one_of("mode", str(getattr(mode, "value", mode)), ("bilinear", "nearest"))


def _signature(
    operation: Callable[..., Any], form: type, before: Sequence[str], after: Sequence[str]
) -> inspect.Signature:
    """What ``help`` shows: the operation's arguments between those of the MONAI form."""
    own = inspect.signature(form).parameters
    keyword = [own[name].replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in after]
    parameters = [*(own[name] for name in before), *inspect.signature(operation).parameters.values(), *keyword]
    return inspect.Signature(sorted(parameters, key=lambda parameter: parameter.kind))
