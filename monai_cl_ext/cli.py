# SPDX-License-Identifier: Apache-2.0
"""The command line: ``monai-cl`` and ``python -m monai_cl_ext``."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from typing import Any

import fire

from monai_cl_ext.errors import mistake

INTERRUPTED = 130  # what a shell gives for a program that Ctrl-C ended


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

    def advise(
        self,
        data_dir: str,
        output: str = "runs/advice",
        policy: str = "strong",
        checkpoint: str | None = None,
        network: str | None = None,
        images: int = 500,
        size: int = 96,
        strengths: float | Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
        seed: int = 0,
        slice_axis: int = 2,
        table: str | None = None,
        series: str | None = None,
        patient_pattern: str | None = None,
    ) -> None:
        """Looks at how strongly to augment your images, and suggests a strength: a page, numbers and an overlay.

        Two views of each image are compared with views of two patients, over strengths of a policy and for each of
        its operations alone. Some minutes at most, no training. OUTPUT receives advice.html, advice.json,
        view_policy.json and figures/.

        Args:
            data_dir: Folder of pictures, of class folders, with a labels.csv, of NIfTI volumes or with a dataset.json.
            output: Folder to write to.
            policy: strong, weak, weak_med, basic, simclr, gcl, gcl_intensity, pcl, or a JSON file with a view_policy.
            checkpoint: Weights of a network whose features are looked at as well.
            network: JSON file whose network_def builds that network, such as its bundle's configuration.
            images: How many images at most, spread over the patients.
            size: Side of the views in pixels; best that of the training.
            strengths: What part of the policy, from 0 to 1, such as [0.25,0.5,1].
            seed: Of the sample and the views.
            slice_axis: Axis of a volume that counts the slices.
            table: CSV file with the columns image and patient, when it is not DATA_DIR/labels.csv.
            series: Pattern below DATA_DIR of folders that hold one DICOM series each, such as "*/T2SPIR/DICOM_anon".
            patient_pattern: Regular expression whose first group is the patient in a file's name.
        """
        from monai_cl_ext.advise import advise, write_advice
        from monai_cl_ext.advise.spaces import RANDOM
        from monai_cl_ext.advise.suggestion import CAUTION
        from monai_cl_ext.visualize.advice_report import write_advice_report

        steps = [strengths] if isinstance(strengths, float | int) else strengths
        advice = advise(
            str(data_dir), str(policy), checkpoint=checkpoint, network=network, images=images, size=size,
            strengths=steps, seed=seed, slice_axis=slice_axis, table=table, series=series,
            patient_pattern=patient_pattern,
        )  # fmt: skip
        page = write_advice_report(advice, write_advice(advice, str(output)))
        for rung in advice.strengths:
            auc, score = rung.spaces[RANDOM].measures["auc"], advice.scores[rung.strength]
            print(f"strength {rung.name}: AUC {auc:.3f}, score {score:.2f}")
        print(f"suggested strength of the policy {policy}: {advice.strength:g}. {CAUTION}\npage written to {page}")

    def study(self) -> Any:
        """Label-efficiency studies: study plan, study run, study report.

        Each has its own help: study run --help.
        """
        from monai_cl_ext.study.commands import StudyCommands

        return StudyCommands()


def main() -> None:
    """Runs the command that the arguments name; a user's mistake ends in one line and status 1, Ctrl-C in 130."""
    arguments = sys.argv[1:] or ["--help"]
    try:
        _refuse_unknown_options(Commands(), arguments)
        fire.Fire(Commands(), arguments, name="monai-cl")
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("monai-cl: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read the output, such as head, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would flush into the pipe once more
        sys.exit(1)
    except MemoryError:
        sys.exit("monai-cl: out of memory; take smaller images or batches, or close other programs")
    except Exception as error:
        found = mistake(error)
        if found is None:
            raise
        sys.exit(f"monai-cl: {found}")


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
