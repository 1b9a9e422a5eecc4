# SPDX-License-Identifier: Apache-2.0
"""View policies: compositions of operations, and the published ones."""
