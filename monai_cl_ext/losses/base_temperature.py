# SPDX-License-Identifier: Apache-2.0
"""Base temperature: the constant factor on a contrastive loss in released code."""

from __future__ import annotations

from monai_cl_ext.arguments import positive_number


def temperature_factor(temperature: float, base_temperature: float | None) -> float:
    """temperature / base_temperature, or 1 where the base temperature is None.

    Raises:
        ValueError: when the base temperature is not a finite number above 0.
    """
    return 1.0 if base_temperature is None else temperature / positive_number("base_temperature", base_temperature)
