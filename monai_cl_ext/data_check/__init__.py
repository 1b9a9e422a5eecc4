# SPDX-License-Identifier: Apache-2.0
"""Looks at a whole data set before any training: what is wrong, what differs, which settings to start from."""
