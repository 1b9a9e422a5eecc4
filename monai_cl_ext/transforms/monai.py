# SPDX-License-Identifier: Apache-2.0
"""View policies as MONAI array and dictionary transforms of single images, invertible where no operation is elastic."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import InvertibleTransform, MapTransform, RandomizableTransform
from monai.utils import TraceKeys, TransformBackends, ensure_tuple_rep
from torch import Tensor

from monai_cl_ext.arguments import one_of, probability

from .operations.elastic import ElasticDeformation
from .operations.operation_group import flattened
from .plain import plain, settled
from .policies.inverse import resample_back
from .policies.policy import ViewPolicy


class _PolicyTransform(RandomizableTransform, InvertibleTransform):
    """Draws the parameters of a policy from MONAI's random state, applies them to single images and inverts them."""

    backend = [TransformBackends.TORCH]

    def __init__(self, policy: ViewPolicy, prob: float) -> None:
        RandomizableTransform.__init__(self, probability("prob", prob))
        self.policy = policy
        self.resize = policy.with_operations([])
        self.params = policy.make_params(1, torch.Generator())

    def randomize(self, data: Any = None) -> None:
        """Draws new parameters; MONAI's NumPy state seeds torch's generator."""
        super().randomize(None)
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31 - 1)))
        self.params = self.policy.make_params(1, generator)

    def _apply(self, img: np.ndarray | Tensor, mode: str) -> Tensor:
        """One image or label map (C, *S) under the last parameters, with its metadata and a record of the transform."""
        image = settled(img, mode)
        policy = self.policy if self._do_transform else self.resize
        params = self.params if self._do_transform else torch.empty(1, 0)
        values = plain(image)
        name = "label" if mode == "nearest" else "image"
        if name == "image" and not values.is_floating_point():
            values = values.float()
        made = policy.apply({name: values[None]}, params)[name][0]
        if not isinstance(image, MetaTensor):
            return made
        result = MetaTensor(made).copy_meta_from(image)
        size = tuple(image.shape[1:])
        matrix = policy.voxel_matrix(params, size)[0] if policy.moves else None
        record = {"mode": mode} if matrix is None else {"mode": mode, "matrix": matrix}
        return self.push_transform(result, orig_size=size, affine=matrix, extra_info=record)

    def _invert(self, data: Tensor) -> Tensor:
        """One image or label map (C, *V) in the frame of the view, resampled into the frame of the input."""
        elastic = [each for each in flattened(self.policy.operations) if isinstance(each, ElasticDeformation)]
        if elastic:
            raise NotImplementedError(
                f"{type(self).__name__} cannot be inverted: ElasticDeformation in its policy has no inverse; leave it "
                "out, as in policy.with_operations(...), where predictions are inverted"
            )
        record = self.pop_transform(data)
        matrix = record[TraceKeys.EXTRA_INFO].get("matrix")
        if matrix is None:
            return data
        mode, size = record[TraceKeys.EXTRA_INFO]["mode"], record[TraceKeys.ORIG_SIZE]
        values = plain(data)
        if mode != "nearest" and not values.is_floating_point():
            values = values.float()
        result = MetaTensor(resample_back(values, matrix, size, mode, self.policy.padding_mode)).copy_meta_from(data)
        rank = len(result.affine) - 1
        result.affine = result.affine @ to_affine_nd(rank, matrix.inverse(), dtype=torch.float64).to(result.affine)
        return result


class RandPolicy(_PolicyTransform):
    """A view policy as a MONAI array transform of one image, channel first and without a batch.

    Takes arrays, tensors and MetaTensors. A MetaTensor's affine follows affine operations (not elastic deformation), so
    that voxels keep their world coordinates. ``inverse`` resamples an image, label map or prediction onto the original
    lattice; intensities are not restored, and what was cropped away is padding.

    Args:
        policy: the view policy; its operations have probabilities of their own.
        prob: chance of the policy as a whole; otherwise the image is only resized, where the policy has a size.
        mode: "bilinear" for images, or "nearest" for label maps, whose values do not change.

    Raises:
        NotImplementedError: by ``inverse``, for a policy with an elastic deformation.
    """

    def __init__(self, policy: ViewPolicy, prob: float = 1.0, mode: str = "bilinear") -> None:
        super().__init__(policy, prob)
        self.mode = _interpolation(mode)

    def __call__(self, img: np.ndarray | Tensor, mode: str | None = None, randomize: bool = True) -> Tensor:
        """The image (C, *S) under new parameters, or under the last ones with ``randomize=False``."""
        if randomize:
            self.randomize()
        return self._apply(img, self.mode if mode is None else _interpolation(mode))

    def inverse(self, data: Tensor) -> Tensor:
        """A MetaTensor (C, *V) that this transform made, or that carries its record, on the original lattice."""
        return self._invert(data)


class RandPolicyd(_PolicyTransform, MapTransform):
    """A view policy as a MONAI dictionary transform: all keys get the same parameters; as ``RandPolicy``.

    Args:
        keys: entries to transform, each (C, *S).
        policy: as in ``RandPolicy``.
        prob: as in ``RandPolicy``.
        mode: "bilinear" or "nearest", one for all keys or one for each; with "nearest" values do not change.
        allow_missing_keys: skip keys that an item does not have.

    Raises:
        NotImplementedError: by ``inverse``, for a policy with an elastic deformation.
    """

    backend = _PolicyTransform.backend

    def __init__(
        self,
        keys: KeysCollection,
        policy: ViewPolicy,
        prob: float = 1.0,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        _PolicyTransform.__init__(self, policy, prob)
        self.mode = tuple(_interpolation(each) for each in ensure_tuple_rep(mode, len(self.keys)))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its keys transformed under one new draw."""
        self.randomize()
        item = dict(data)
        for key, mode in self.key_iterator(item, self.mode):
            item[key] = self._apply(item[key], mode)
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its keys on their original lattices."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self._invert(item[key])
        return item


RandPolicyD = RandPolicyDict = RandPolicyd


def _interpolation(mode: str) -> str:
    return one_of("mode", str(getattr(mode, "value", mode)), ("bilinear", "nearest"))
