# SPDX-License-Identifier: Apache-2.0
"""The strength of a view policy as one number."""

from __future__ import annotations

from monai_cl_ext import arguments

from .policy import ViewPolicy


def scale_policy(policy: ViewPolicy, strength: float) -> ViewPolicy:
    """A policy of the same operations, each between the identity, at strength 0, and its own magnitude, at 1.

    Ranges shrink linearly towards the parameter that changes nothing; what happens or does not (flips, turns,
    grey-scale, solarisation) happens less often, strength times its probability; other probabilities stay. Operations
    that bring intensities into a range (``UnitRange``, ``ClampIntensity``) stay whole above 0. At 0 there is no
    operation and the view is the input, resized where the policy has a ``size``. Above 0 all strengths draw the same
    numbers from one generator: what is flipped at 0.5 is flipped at 1 too. (Cheng et al., arXiv 2501.02451, section
    2.2, weaken an augmentation in proportion.)

    Args:
        policy: what strength 1 is.
        strength: from 0 to 1.

    Raises:
        ValueError: when the strength is not within [0, 1].
        NotImplementedError: when an operation has no weaker form, as those that spoil an image.
    """
    arguments.probability("strength", strength)
    operations = [operation.scaled(strength) for operation in policy.operations] if strength else []
    return ViewPolicy(operations, policy.size, policy.spatial_dims, policy.padding)
