# SPDX-License-Identifier: Apache-2.0
"""The strong and weak policies as MONAI array and dictionary transforms; each takes its policy's arguments."""

from __future__ import annotations

from .monai_forms import RandOperation, RandOperationd
from .policies import strong_policy, weak_med_policy, weak_policy


class RandStrongAugment(RandOperation):
    """``strong_policy`` of one image (C, *S)."""

    operation = staticmethod(strong_policy)


class RandWeakAugment(RandOperation):
    """``weak_policy`` of one image (C, *S)."""

    operation = staticmethod(weak_policy)


class RandWeakMedAugment(RandOperation):
    """``weak_med_policy`` of one image (C, *S)."""

    operation = staticmethod(weak_med_policy)


class RandStrongAugmentd(RandOperationd):
    """``strong_policy`` of the given keys, each (C, *S)."""

    operation = staticmethod(strong_policy)


class RandWeakAugmentd(RandOperationd):
    """``weak_policy`` of the given keys, each (C, *S)."""

    operation = staticmethod(weak_policy)


class RandWeakMedAugmentd(RandOperationd):
    """``weak_med_policy`` of the given keys, each (C, *S)."""

    operation = staticmethod(weak_med_policy)


RandStrongAugmentD = RandStrongAugmentDict = RandStrongAugmentd
RandWeakAugmentD = RandWeakAugmentDict = RandWeakAugmentd
RandWeakMedAugmentD = RandWeakMedAugmentDict = RandWeakMedAugmentd
