# SPDX-License-Identifier: Apache-2.0
"""Methods: one file a paper's method, a network with its heads and losses."""

from .gcl_global import GCLGlobal
from .gcl_local import GCLLocal
from .method import Method
from .restoration import Restoration
from .rotation import RotationPrediction

__all__ = ["GCLGlobal", "GCLLocal", "Method", "Restoration", "RotationPrediction"]
