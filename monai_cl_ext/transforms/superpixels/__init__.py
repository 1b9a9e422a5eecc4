# SPDX-License-Identifier: Apache-2.0
"""Superpixel and supervoxel maps: a batched SLIC, and the backends of other libraries."""
