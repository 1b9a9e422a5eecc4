# SPDX-License-Identifier: Apache-2.0
"""Learning from few labels for medical images, inside MONAI."""

__version__ = "0.1.0"
