# SPDX-License-Identifier: Apache-2.0
"""The strong and weak policies as MONAI array and dictionary transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.config import KeysCollection

from .monai import RandPolicy, RandPolicyd
from .policies.strong_weak import strong_policy, weak_med_policy, weak_policy


class RandStrongAugment(RandPolicy):
    """``strong_policy`` of one image (C, *S).

    Args:
        prob, mode: as in ``RandPolicy``.
        arguments: of ``strong_policy``.
    """

    def __init__(self, prob: float = 1.0, mode: str = "bilinear", **arguments: Any) -> None:
        super().__init__(strong_policy(**arguments), prob, mode)


class RandWeakAugment(RandPolicy):
    """``weak_policy`` of one image (C, *S).

    Args:
        prob, mode: as in ``RandPolicy``.
        arguments: of ``weak_policy``.
    """

    def __init__(self, prob: float = 1.0, mode: str = "bilinear", **arguments: Any) -> None:
        super().__init__(weak_policy(**arguments), prob, mode)


class RandWeakMedAugment(RandPolicy):
    """``weak_med_policy`` of one image (C, *S).

    Args:
        prob, mode: as in ``RandPolicy``.
        arguments: of ``weak_med_policy``.
    """

    def __init__(self, prob: float = 1.0, mode: str = "bilinear", **arguments: Any) -> None:
        super().__init__(weak_med_policy(**arguments), prob, mode)


class RandStrongAugmentd(RandPolicyd):
    """``strong_policy`` of the given keys, each (C, *S).

    Args:
        keys, prob, mode, allow_missing_keys: as in ``RandPolicyd``.
        arguments: of ``strong_policy``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 1.0,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(keys, strong_policy(**arguments), prob, mode, allow_missing_keys)


class RandWeakAugmentd(RandPolicyd):
    """``weak_policy`` of the given keys, each (C, *S).

    Args:
        keys, prob, mode, allow_missing_keys: as in ``RandPolicyd``.
        arguments: of ``weak_policy``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 1.0,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(keys, weak_policy(**arguments), prob, mode, allow_missing_keys)


class RandWeakMedAugmentd(RandPolicyd):
    """``weak_med_policy`` of the given keys, each (C, *S).

    Args:
        keys, prob, mode, allow_missing_keys: as in ``RandPolicyd``.
        arguments: of ``weak_med_policy``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 1.0,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(keys, weak_med_policy(**arguments), prob, mode, allow_missing_keys)


RandStrongAugmentD = RandStrongAugmentDict = RandStrongAugmentd
RandWeakAugmentD = RandWeakAugmentDict = RandWeakAugmentd
RandWeakMedAugmentD = RandWeakMedAugmentDict = RandWeakMedAugmentd
