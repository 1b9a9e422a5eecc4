# SPDX-License-Identifier: Apache-2.0
"""From a folder of volumes with few labels to a bundle that predicts, without anything to choose."""
