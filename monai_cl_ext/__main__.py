# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_cl_ext``: the command line."""

from monai_cl_ext.cli import main

main()
