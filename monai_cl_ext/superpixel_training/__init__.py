# SPDX-License-Identifier: Apache-2.0
"""Trains the networks of learned superpixels on slices without labels."""
