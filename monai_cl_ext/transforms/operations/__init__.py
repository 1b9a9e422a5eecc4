# SPDX-License-Identifier: Apache-2.0
"""Batched operations: parameters drawn per sample on the CPU, applied as pure functions on the device."""
