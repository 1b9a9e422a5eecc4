# SPDX-License-Identifier: Apache-2.0
"""Heart-like phantom volumes with labels: where the tissues are, what they look like, and files of them."""

from monai_cl_ext.data.phantom.volumes import Phantom, PhantomVolume, write_phantom

__all__ = ["Phantom", "PhantomVolume", "write_phantom"]
