# SPDX-License-Identifier: Apache-2.0
"""The strength of a view policy as one number."""

from __future__ import annotations

from monai_cl_ext import arguments

from .policy import ViewPolicy


def scale_policy(policy: ViewPolicy, strength: float) -> ViewPolicy:
    """A policy of the same operations with magnitudes between the identity, at strength 0, and their own, at 1.

    Ranges shrink linearly towards the identity; binary operations (flips, step rotations, grayscale, solarization) keep
    their effect and happen less often, strength times their probability; other probabilities stay. Operations that
    fix the range of intensities (``UnitRange``, ``ClampIntensity``) are unchanged above 0. At 0 there is no operation,
    and the view is the input, resized where the policy has a ``size``. Above 0 all strengths draw the same random
    numbers: what is flipped at 0.5 is flipped at 1 too (after Cheng et al., arXiv 2501.02451, section 2.2).

    Args:
        policy: the policy at strength 1.
        strength: from 0 to 1.

    Raises:
        ValueError: when the strength is not within [0, 1].
        NotImplementedError: when an operation has no weaker form, as those that corrupt an image.
    """
    arguments.probability("strength", strength)
    return policy.with_operations([operation.scaled(strength) for operation in policy.operations] if strength else [])
