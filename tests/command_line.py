# SPDX-License-Identifier: Apache-2.0
"""The command line, run in this process."""

import sys

from monai_cl_ext import cli


def run(monkeypatch, *arguments):
    """Exit status or message of the command, 0 where it returns."""
    monkeypatch.setattr(sys, "argv", ["monai-cl", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as end:
        return end.code
    return 0
