# SPDX-License-Identifier: Apache-2.0
"""Predicts label maps of images by a trained bundle, one file an image."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow
from monai.data import MetaTensor

from monai_cl_ext.data.channels import Volume
from monai_cl_ext.data.orientation import axis_codes
from monai_cl_ext.errors import mistake
from monai_cl_ext.files import FULL, sha256_of, write_text
from monai_cl_ext.names import first_names
from monai_cl_ext.networks.checkpoint import read_state
from monai_cl_ext.networks.weight_notes import noted_trained_axes
from monai_cl_ext.progress import progress_bar
from monai_cl_ext.recipes.images import listed_images
from monai_cl_ext.recipes.inference_settings import refuse_other_settings
from monai_cl_ext.recipes.plan import LOG, PLAN
from monai_cl_ext.screen import Say, logged_to
from monai_cl_ext.study.handover import literal
from monai_cl_ext.study.scheduler import alone

RECORD = "predictions.json"


def predict(run: str, images: str, output: str) -> int:
    """Writes OUTPUT/NAME.nii.gz for each image NAME.nii or NAME.nii.gz; those that are there are not made again.

    Where the bundle takes several channels, files NAME_0000, NAME_0001, ... are those of one image NAME.

    Args:
        run: folder of a training, or of a bundle with weights.
        images: a NIfTI file, or a folder of them.
        output: folder of the label maps; predictions.json in it tells of which image and weights each is.

    Returns:
        How many were written.

    Raises:
        FileNotFoundError: when there are no weights or no image.
        ValueError: when the bundle was trained with options that its inference.json does not have, the folder holds
            predictions of other weights, or another process writes to it; in the end, when an image was not predicted.
        OSError: when the disk is full.
    """
    bundle = trained_bundle(Path(os.path.realpath(run)))
    refuse_other_settings(bundle)
    files = listed_images(images, _channels(bundle))
    folder = Path(os.path.realpath(output))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output {folder}: expected a folder, found a file; give another")
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder), logged_to(folder / LOG) as say:
        record = _record(folder, sha256_of(bundle / "models" / "model.pt"))
        waiting, kept, failed = {}, [], {}
        for name, file in files.items():
            target, facts = folder / f"{name}.nii.gz", _facts(file)
            if not target.exists():
                waiting[name] = file
            elif record["images"].get(name) == facts:
                kept.append(name)
            else:
                told = f"{target} exists and is not the prediction of {file.files[0]}"
                failed[name] = f"{told}; remove it, or give another output"
        if waiting:
            turned: dict[str, str] = {}
            failed |= _predict_all(bundle, waiting, folder, record, turned)
            _warn_of_other_axes(turned, noted_trained_axes(read_state(bundle / "models" / "model.pt")), say)
        for name, problem in failed.items():
            say(f"not predicted: {name}: {problem}")
        written = len(files) - len(kept) - len(failed)
        before = f"; {len(kept)} that were there before are kept" if kept else ""
        say(f"{written} label map(s) written to {folder}{before}")
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(files)} image(s) were not predicted, see above; {folder / LOG} has more"
        )
    return written


def trained_bundle(run: Path) -> Path:
    """The folder of a bundle with weights: of a training, or the folder itself.

    Raises:
        FileNotFoundError: when it is neither, or the training has not ended.
    """
    bundle = run / "bundle" if (run / PLAN).is_file() else run
    ended = "training has to end first; the same train command goes on"
    needed = {"configs/inference.json": "give the --output of train, or the folder of a bundle"}
    if (bundle.parent / PLAN).is_file():
        needed["train.done"] = ended  # model.pt holds the best weights so far from the first epoch on
    for file, remedy in {**needed, "models/model.pt": ended}.items():
        if not (bundle / file).is_file():
            raise FileNotFoundError(f"{run}: found no {(bundle / file).relative_to(run)}; {remedy}")
    return bundle


def _channels(bundle: Path) -> int:
    """How many channels a bundle's network takes, where its inference has the setting."""
    content = json.loads((bundle / "configs" / "inference.json").read_text(encoding="utf-8"))
    found = content.get("in_channels", 1)
    return found if isinstance(found, int) else 1


def _warn_of_other_axes(axes: Mapping[str, str], trained: Sequence[str], say: Say) -> None:
    """One warning of the images whose axes run in other directions than those of any image trained on."""
    other = {name: codes for name, codes in axes.items() if codes and trained and codes not in trained}
    if other:
        shown = first_names(f"{name} {codes}" for name, codes in other.items())
        say(
            f"warning: the axes of {len(other)} image(s) run in other directions than those trained on, "
            f"{' or '.join(trained)}: {shown}; their label maps are wrong unless that was learned. Bring them to "
            f"{trained[0]} by monai.transforms.Orientation and predict these"
        )


def _predict_all(
    bundle: Path, files: Mapping[str, Volume], folder: Path, record: dict[str, Any], axes: dict[str, str]
) -> dict[str, str]:
    """Predicts image by image, and tells in ``axes`` how those of each run; returns what kept those that failed."""
    failed: dict[str, str] = {}
    with _unfinished(folder) as unfinished:
        workflow: ConfigWorkflow | None = None
        for name, file in progress_bar(files.items(), "predict", unit="image"):
            workflow = workflow or _workflow(bundle, unfinished)
            workflow.parser.get_parsed_content("dataset").data = [{"image": file.image}]
            try:
                workflow.run()
            except Exception as error:
                found = mistake(error)
                if found is None or (isinstance(found, OSError) and found.errno in FULL):
                    raise  # a full disk keeps the next image from being written as well
                failed[name] = str(found)
                workflow = None  # Ignite would go on with the run that failed, and do nothing
                continue
            axes[name] = _axes_of(workflow.parser.get_parsed_content("evaluator").state.batch)
            written = _only_file(unfinished, bundle)
            record["images"][name] = _facts(file)
            write_text(folder / RECORD, json.dumps(record, indent=1))  # first: a file without a record is refused
            written.rename(folder / f"{name}.nii.gz")
    return failed


def _axes_of(batch: Any) -> str:
    """The directions in which the axes of the one image in an inference's batch run; "" where nothing tells them."""
    item = batch[0] if isinstance(batch, list) and batch else batch  # a list where the inference took it apart
    image = item.get("image") if isinstance(item, Mapping) else None
    return axis_codes(image.affine.reshape(-1, 4, 4)[0].double().cpu().numpy()) if isinstance(image, MetaTensor) else ""


def _workflow(bundle: Path, output: Path) -> ConfigWorkflow:
    """The inference of a bundle for one image at a time."""
    settings: dict[str, Any] = {"dataset#data": [{"image": ""}]}
    settings |= {"bundle_root": literal(str(bundle)), "output_dir": literal(str(output))}
    config = str(bundle / "configs" / "inference.json")
    workflow = ConfigWorkflow(config, logging_file=False, workflow_type=None, **settings)
    workflow.initialize()
    return workflow


def _only_file(folder: Path, bundle: Path) -> Path:
    """What an inference wrote for one image."""
    written = list(folder.rglob("*.nii.gz"))
    if len(written) != 1:
        raise ValueError(
            f"{bundle / 'configs' / 'inference.json'}: expected one .nii.gz file an image in output_dir, found "
            f"{len(written)}; run it by monai.bundle instead"
        )
    return written[0]


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """A folder beside the outputs for those that are being written; what a killed run left there is removed."""
    for left in folder.glob(".unfinished*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=".unfinished", dir=folder) as place:
        yield Path(place)


def _record(folder: Path, weights: str) -> dict[str, Any]:
    """Which image each output is of.

    Raises:
        ValueError: when they are of other weights.
    """
    path = folder / RECORD
    if not path.is_file():
        return {"weights": weights, "images": {}}
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        other = record["weights"] != weights or not isinstance(record["images"], dict)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); give another output, or remove {folder}") from error
    if other:
        raise ValueError(f"{folder} holds predictions of other weights; give another output, or remove it")
    return record


def _facts(volume: Volume) -> dict[str, Any]:
    states = [file.stat() for file in volume.files]
    sizes, times = [state.st_size for state in states], [state.st_mtime_ns for state in states]
    if len(states) == 1:
        return {"image": volume.image, "bytes": sizes[0], "modified": times[0]}
    return {"image": volume.image, "bytes": sizes, "modified": times}
