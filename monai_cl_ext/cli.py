# SPDX-License-Identifier: Apache-2.0
"""The command line: ``monai-cl`` and ``python -m monai_cl_ext``."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import fire


class Commands:
    """Contrastive pre-training for medical images, inside MONAI.

    Training runs through MONAI itself, in a folder of bundles/: python -m monai.bundle run --config_file ...
    """

    def phantom(self, output: str, patients: int = 40, seed: int = 0, frames: int = 1) -> None:
        """Writes heart-like phantom volumes with labels, so that everything can be tried without data.

        The folder has the layout of the Medical Segmentation Decathlon: dataset.json, imagesTr, labelsTr.
        Labels are those of ACDC: 1 right ventricle, 2 myocardium, 3 left ventricle.

        Args:
            output: Folder to write to; it must be empty or not exist yet.
            patients: How many patients.
            seed: Patients are the same for the same seed.
            frames: 1 for end-diastole alone, 2 for end-systole too.
        """
        from monai_cl_ext.data.phantom import write_phantom

        folder = write_phantom(str(output), patients, seed, frames, progress=True)
        print(f"{patients} patients written to {folder}")

    def demo(self, output: str = "runs/demo", seed: int = 0) -> None:
        """Pre-trains, fine-tunes on two labelled patients and compares with training from scratch, on phantom volumes.

        Takes some minutes on two cores. Interrupted and started again, it goes on where it stopped.

        Args:
            output: Folder of the demo; its report is report.html in it.
            seed: Of the phantom, the split and every training.
        """
        from monai_cl_ext.demo import run_demo

        run_demo(str(output), seed)

    def report(self, run_dir: str, output: str | None = None) -> None:
        """Writes one HTML page on everything that was run in a folder: it opens offline.

        Figures also go to RUN_DIR/figures, as PNG and SVG.

        Args:
            run_dir: Folder of a run (its output_dir), or one that holds several, to be compared.
            output: The page; RUN_DIR/report.html by default.
        """
        from monai_cl_ext.visualize import write_report

        page = write_report(str(run_dir), None if output is None else str(output))
        print(f"report written to {page}")

    def study(self) -> Any:
        """Label-efficiency studies: study plan, study run, study report.

        Each has its own help: study run --help.
        """
        from monai_cl_ext.study.commands import StudyCommands

        return StudyCommands()


def main() -> None:
    """Runs the command that the arguments name; a user's mistake ends in one line and status 1."""
    arguments = sys.argv[1:] or ["--help"]
    try:
        _refuse_unknown_options(Commands(), arguments)
        fire.Fire(Commands(), arguments, name="monai-cl")
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"monai-cl: {error}")


def _refuse_unknown_options(commands: object, arguments: list[str]) -> None:
    """Fire would run the command first and then complain of a misspelt option."""
    if arguments[0] == "study" and len(arguments) > 1:
        return _refuse_unknown_options(Commands().study(), arguments[1:])
    command = getattr(commands, arguments[0], None)
    if command is None or "--help" in arguments:
        return
    known = list(inspect.signature(command).parameters)
    for argument in arguments[1:]:
        option = argument.removeprefix("--").partition("=")[0].replace("-", "_")
        if argument.startswith("--") and option and option not in known:
            options = ", ".join(f"--{name}" for name in known)
            raise ValueError(f"{arguments[0]} has no option {argument.partition('=')[0]}; it has {options}")
