# SPDX-License-Identifier: Apache-2.0
"""Label-efficiency studies: bundles run stage by stage, each in a folder of its own."""
