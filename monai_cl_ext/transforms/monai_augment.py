# SPDX-License-Identifier: Apache-2.0
"""The strong and weak policies as MONAI array and dictionary transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from monai.config import KeysCollection

from .monai import RandPolicy, RandPolicyd
from .policies.policy import ViewPolicy
from .policies.strong_weak import strong_policy, weak_med_policy, weak_policy


class _Augment(RandPolicy):
    """The policy that its class makes, of one image."""

    _make: ClassVar[Callable[..., ViewPolicy]]

    def __init__(self, prob: float = 1.0, mode: str = "bilinear", **arguments: Any) -> None:
        super().__init__(type(self)._make(**arguments), prob, mode)


class _Augmentd(RandPolicyd):
    """The policy that its class makes, of the given keys."""

    _make: ClassVar[Callable[..., ViewPolicy]]

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 1.0,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(keys, type(self)._make(**arguments), prob, mode, allow_missing_keys)


class RandStrongAugment(_Augment):
    """``strong_policy`` of one image (C, *S); its arguments beside ``prob`` and ``mode`` of ``RandPolicy``.

    Intensities are clipped to [0, 1]; other images are scaled first, or take ``limits=None``.
    """

    _make = staticmethod(strong_policy)


class RandWeakAugment(_Augment):
    """``weak_policy`` of one image (C, *S); its arguments beside ``prob`` and ``mode`` of ``RandPolicy``.

    Intensities are clipped to [0, 1]; other images are scaled first, or take ``limits=None``.
    """

    _make = staticmethod(weak_policy)


class RandWeakMedAugment(_Augment):
    """``weak_med_policy`` of one image (C, *S); its arguments beside ``prob`` and ``mode`` of ``RandPolicy``.

    Intensities are clipped to [0, 1]; other images are scaled first, or take ``limits=None``.
    """

    _make = staticmethod(weak_med_policy)


class RandStrongAugmentd(_Augmentd):
    """``strong_policy`` of the given keys, each (C, *S); its arguments beside those of ``RandPolicyd``.

    Intensities are clipped to [0, 1]; other images are scaled first, or take ``limits=None``.
    """

    _make = staticmethod(strong_policy)


class RandWeakAugmentd(_Augmentd):
    """``weak_policy`` of the given keys, each (C, *S); its arguments beside those of ``RandPolicyd``.

    Intensities are clipped to [0, 1]; other images are scaled first, or take ``limits=None``.
    """

    _make = staticmethod(weak_policy)


class RandWeakMedAugmentd(_Augmentd):
    """``weak_med_policy`` of the given keys, each (C, *S); its arguments beside those of ``RandPolicyd``.

    Intensities are clipped to [0, 1]; other images are scaled first, or take ``limits=None``.
    """

    _make = staticmethod(weak_med_policy)


RandStrongAugmentD = RandStrongAugmentDict = RandStrongAugmentd
RandWeakAugmentD = RandWeakAugmentDict = RandWeakAugmentd
RandWeakMedAugmentD = RandWeakMedAugmentDict = RandWeakMedAugmentd
