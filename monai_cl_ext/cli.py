# SPDX-License-Identifier: Apache-2.0
"""The command line: ``monai-cl`` and ``python -m monai_cl_ext``."""

from __future__ import annotations

import difflib
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import fire
from fire.decorators import SetParseFns
from fire.parser import DefaultParseValue

from monai_cl_ext.arguments import named_values
from monai_cl_ext.errors import mistake

GROUPS = ("bundle", "store", "study", "superpixels")  # commands that have commands of their own
INTERRUPTED = 130  # what a shell gives for a program that Ctrl-C ended


class Commands:
    """Learning from few labels for medical images, inside MONAI.

    Training runs through MONAI itself, in the folder of a bundle: python -m monai.bundle run --config_file ...
    """

    def phantom(
        self, output: str, patients: int = 40, seed: int = 0, frames: int = 1, channels: int = 1,
        channel_files: bool = False,
    ) -> None:  # fmt: skip
        """Writes heart-like phantom volumes with labels, so that everything can be tried without data.

        The folder has the layout of the Medical Segmentation Decathlon: dataset.json, imagesTr, labelsTr.
        Labels are those of ACDC: 1 right ventricle, 2 myocardium, 3 left ventricle.

        Args:
            output: Folder to write to; it must be empty or not exist yet.
            patients: How many patients.
            seed: Patients are the same for the same seed.
            frames: 1 for end-diastole alone, 2 for end-systole too.
            channels: Of each volume, in different contrasts with a background of 0, as the sequences of BraTS.
            channel_files: Write each channel to a file of its own, as nnU-Net does, in place of one 4-D file.
        """
        from monai_cl_ext.data.phantom import write_phantom

        folder = write_phantom(str(output), patients, seed, frames, channels, channel_files, progress=True)
        print(f"{patients} patients written to {folder}")

    def demo(self, output: str = "runs/demo", seed: int = 0) -> None:
        """Shows on phantom volumes what unlabeled images buy beside the label of one patient.

        Takes three minutes on two cores. Interrupted and started again, it goes on where it stopped.

        Args:
            output: Folder of the demo; its report is report.html in it.
            seed: Of the phantom's patients and of their split.
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

    def views(
        self, data_dir: str, output: str = "runs/views", policy: str | Sequence[str] = "strong,weak",
        strengths: Any = (0.25, 0.5, 1), pick: Any = "", checkpoint: str | None = None, network: str | None = None,
        images: int = 500, size: int = 96, slice_axis: int = 2, seed: int = 0,
    ) -> None:  # fmt: skip
        """Shows your images under view policies and strengths, and how far apart positive and negative pairs lie.

        Writes views.html, views.json and figures/ in about a minute, and view_policy.json where a policy is picked.

        Args:
            data_dir: Folder of pictures, of class folders, with a labels.csv, of NIfTI volumes or with a dataset.json.
            output: Folder to write to.
            policy: Of strong, weak, weak_med, basic, simclr, gcl, gcl_intensity, pcl and JSON files with a view_policy.
            strengths: What part of each policy, from 0 to 1; at most five.
            pick: Policy and strength whose overlay is written, such as strong,0.5.
            checkpoint: Weights of the network whose features are compared; without, they are random.
            network: JSON file whose network_def builds that network; without, it is MONAI's UNet.
            images: How many images at most, spread over the patients.
            size: Side of the views in pixels; best that of the training.
            slice_axis: Axis of a volume that counts the slices.
            seed: Of the sample and the views.
        """
        from monai_cl_ext.data.any_folder import find_images
        from monai_cl_ext.view_report.comparison import compare_views, network_space
        from monai_cl_ext.view_report.policies import ViewSettings
        from monai_cl_ext.view_report.report import write_views
        from monai_cl_ext.view_report.sample import read_sample

        if checkpoint and not network:
            raise ValueError(f"checkpoint {checkpoint}: found no network; give the JSON file of its network_def too")
        picked = ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in _listed(pick))
        settings = ViewSettings([str(name) for name in _listed(policy)], _listed(strengths), picked, size, seed)
        space = network_space(network, checkpoint) if network else None  # a mistake shows before images are read
        sample = read_sample(find_images(str(data_dir)), images, 2 * size, slice_axis, seed)
        told = f"{network or 'MONAI UNet'}, {checkpoint or 'not trained'}"
        page = write_views(settings, sample, told, compare_views(settings, sample, space), str(output))
        print(f"page written to {page}")

    def check(
        self, data_dir: str, output: str = "runs/check", num_classes: int | None = None, slice_axis: int | None = None,
        label_dir: str | None = None, label_suffix: str = "", patient_pattern: str | None = None,
        series: str | None = None, workers: int | None = None,
    ) -> None:  # fmt: skip
        """Reads a folder before any training: what is wrong, what differs, and which settings to start from.

        Writes check.html, check.json and check_settings.json, an overlay for a bundle. Status 1 where training cannot
        start.

        Args:
            data_dir: Folder of NIfTI volumes, with a dataset.json or labels.csv, of pictures, or of class folders.
            output: Folder to write to.
            num_classes: Of the labels, background included; by default those of dataset.json or of the labels.
            slice_axis: Axis that counts the slices; by default suggested by spacing and shape.
            label_dir: Folder of labels with the names of their images, or with --series from each folder to its label.
            label_suffix: What a label's name has more than its image's, such as _segmentation.
            patient_pattern: Regular expression whose first group, at the start of a file's name, is the patient.
            series: Pattern of folders that hold a DICOM series or pictures each, such as */T2SPIR/DICOM_anon.
            workers: Processes that read; by default one a core.
        """
        from monai_cl_ext.data_check.check import check_folder
        from monai_cl_ext.data_check.report import as_text, write_check

        given = {
            "label_dir": label_dir,
            "label_suffix": label_suffix,
            "patient_pattern": patient_pattern,
            "series": series,
        }
        layout: dict[str, Any] = {name: str(value) for name, value in given.items() if value not in (None, "")}
        checked = check_folder(str(data_dir), num_classes, slice_axis, workers, **layout)
        page = write_check(checked, Path(str(output)))
        print(f"{as_text(checked)}\n\npage written to {page}")
        if checked.errors:
            raise ValueError(f"{len(checked.errors)} error(s) in {data_dir}, so training cannot start; see {page}")

    def train(
        self, data_dir: str, output: str, labels: str | None = None, label_suffix: str = "",
        patient_pattern: str | None = None, validation_patients: int | None = None, recipe: str | None = None,
    ) -> None:  # fmt: skip
        """Trains on a folder of volumes with labels of a few, with nothing to choose, and writes a bundle and a report.

        Checks the data, takes settings from them, and trains with the labels and the unlabeled volumes. Stopped and
        started again by the same command, it goes on where it stopped.

        Args:
            data_dir: Folder of NIfTI volumes, also with a dataset.json or as imagesTr and labelsTr.
            output: Folder of the training; the bundle is in OUTPUT/bundle, the report OUTPUT/report.html.
            labels: Folder of labels with the names of their images, where they lie elsewhere.
            label_suffix: What a label's name has more than its image's, such as _segmentation.
            patient_pattern: Regular expression whose first group, at the start of a file's name, is the patient.
            validation_patients: Labeled patients to hold back; by default a fifth, and none of fewer than four.
            recipe: Bundles to run, such as "scratch > supervised_segmentation"; by default those for so many labels.
        """
        from monai_cl_ext.recipes.train import train

        given = {"label_dir": labels, "label_suffix": label_suffix, "patient_pattern": patient_pattern}
        layout: dict[str, Any] = {name: value for name, value in given.items() if value not in (None, "")}
        train(data_dir, output, validation_patients, recipe, **layout)

    def predict(self, run: str, images: str, output: str) -> None:
        """Predicts label maps of images by what train has trained: OUTPUT/NAME.nii.gz for each image NAME.

        Images that were predicted before are left out, so the same command goes on where it stopped.

        Args:
            run: Folder of a training, or of a bundle with weights.
            images: A NIfTI file, or a folder of them.
            output: Folder to write to.
        """
        from monai_cl_ext.recipes.predict import predict

        predict(run, images, output)

    def new_method(self, name: str, output: str = ".") -> None:
        """Writes a method of your own that works, with its test and its bundle, for your idea to be written in.

        All of it lies in OUTPUT/NAME_segmentation, a bundle that MONAI and studies run. In a checkout of this package
        the files go where those of its own methods are. Nothing is overwritten.

        Args:
            name: Of the method, in lower case: my_method, whose class is MyMethod.
            output: Folder of your bundles, or of a checkout.
        """
        from monai_cl_ext.scaffold import new_method
        from monai_cl_ext.scaffold.next_steps import next_steps

        files = new_method(name, output)
        print("\n".join([*map(str, files), "", next_steps(name, output)]))

    def bundle(self) -> Any:
        """The bundles of this package, and those made of what was trained: bundle list, bundle copy, bundle pack.

        Each has its own help: bundle copy --help.
        """
        from monai_cl_ext.packing.commands import BundleCommands

        return BundleCommands()

    def slurm_script(
        self, bundle: str, config: str = "pretrain", nodes: int = 2, gpus_per_node: int = 8, cpus_per_gpu: int = 8,
        hours: int = 24, options: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Prints a batch script of Slurm that runs a stage of a bundle on several nodes; give it to sbatch.

        Args:
            bundle: Folder of the bundle, on a disk that all nodes see.
            config: Names of its configs, such as pretrain,volumes.
            nodes: How many.
            gpus_per_node: Processes on each node, one a GPU.
            cpus_per_gpu: Cores of each process.
            hours: After which Slurm ends the job; submitted again, it goes on where it stopped.
            options: More options of sbatch, such as {partition: gpu}.
            settings: Of monai.bundle run, such as {dataset_dir: '/data', epochs: 200}.
        """
        from monai_cl_ext.slurm import Allocation, batch_script

        allocation = Allocation(nodes, gpus_per_node, cpus_per_gpu, hours, named_values("options", options))
        configs = [str(name) for name in _listed(config)]
        print(batch_script(bundle, configs, allocation, named_values("settings", settings)), end="")

    def store(self) -> Any:
        """The store of prepared volumes: store list, store remove.

        Each has its own help: store remove --help.
        """
        from monai_cl_ext.data.store.commands import StoreCommands

        return StoreCommands()

    def superpixels(self) -> Any:
        """Learned superpixels: superpixels train.

        Its own help: superpixels train --help.
        """
        from monai_cl_ext.superpixel_training.commands import SuperpixelCommands

        return SuperpixelCommands()

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
        _prepare(Commands(), arguments)
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


def _listed(value: Any) -> list[Any]:
    """The parts of an option that Fire read as text, number or list."""
    return value.split(",") if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else [value]


def _prepare(commands: object, arguments: list[str]) -> None:
    """Refuses misspelt options, since Fire would run the command first, and keeps the texts of the others as typed."""
    if arguments[0] in GROUPS and isinstance(commands, Commands) and len(arguments) > 1:
        return _prepare(getattr(commands, arguments[0])(), arguments[1:])
    command = getattr(commands, arguments[0], None)
    if command is None or "--help" in arguments:
        return
    known = inspect.signature(command).parameters
    # Fire would read the folder 2024_11 as the number 202411; annotations are texts, as the modules ask for
    kinds = {name: str(parameter.annotation) for name, parameter in known.items()}
    texts = {name: str for name, kind in kinds.items() if kind in ("str", "str | None")}
    lists = {name: _texts for name, kind in kinds.items() if "Sequence[str]" in kind}
    flags = {name: partial(_flag, name) for name, kind in kinds.items() if kind == "bool"}
    SetParseFns(**texts, **lists, **flags)(command.__func__)
    for place, argument in enumerate(arguments[1:], start=2):
        option = argument.removeprefix("--").partition("=")[0].replace("-", "_")
        if argument.startswith("--") and option and option not in known:
            given, options = argument.partition("=")[0], [f"--{name}" for name in known]
            meant = difflib.get_close_matches(given, options)
            close = f"did you mean {' or '.join(meant)}? It" if meant else "it"
            raise ValueError(f"{arguments[0]} has no option {given}; {close} has {', '.join(options)}")
        if argument.startswith("--") and option in texts and "=" not in argument:
            following = arguments[place : place + 1]
            if not following or following[0].startswith("--"):
                raise ValueError(f"{argument}: found no text behind it; give one")


def _flag(name: str, value: str) -> bool:
    """Fire would read false, no and off as texts, which count as true."""
    if value not in ("True", "False"):
        raise ValueError(f"--{name}: expected True or False, found {value!r}; write it with a capital letter")
    return value == "True"


def _texts(value: str) -> Any:
    """Texts of a list or a mapping as they were typed: Fire's reading only where all that it lists are texts."""
    read = DefaultParseValue(value)
    if isinstance(read, Mapping) or (isinstance(read, (list, tuple)) and all(isinstance(item, str) for item in read)):
        return read
    if value[:1] in ("[", "(") and value[-1:] in ("]", ")"):
        return [item.strip().strip("'\"") for item in value[1:-1].split(",") if item.strip()]
    return value
