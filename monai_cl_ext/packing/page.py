# SPDX-License-Identifier: Apache-2.0
"""docs/README.md of a packed bundle, with the sections of the model zoo's template."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from monai_cl_ext.bundles.build import OWN_PACKAGE
from monai_cl_ext.metrics.metric import METRICS
from monai_cl_ext.packing.kinds import ALL, Kind
from monai_cl_ext.packing.scores import Scores
from monai_cl_ext.packing.trained_run import TrainedRun
from monai_cl_ext.study.statistics.intervals import Estimate
from monai_cl_ext.visualize.wording import duration

WIDTH = 120
SHEARED = (
    "Where monai-cl-ext is not installed, volumes whose axes are not at right angles (CT with a tilted gantry) are "
    "resampled by MONAI's Spacingd, which may mix neighboring slices, so that label maps differ from those scored."
)


def page(run: TrainedRun, metadata: Mapping[str, Any], scores: Scores | None, license_text: str) -> str:
    """The text of the page.

    Args:
        run: the training.
        metadata: of the packed bundle, with the hashes of its weights.
        scores: of its evaluation.
        license_text: of the data.
    """
    kind, settings = run.kind, run.settings
    formats = metadata["network_data_format"]
    classes, modality = formats["outputs"]["pred"]["channel_def"], formats["inputs"]["image"]["modality"]
    shown = ", ".join(f"`{name}` {settings[name]}" for name in kind.prepared if settings.get(name) not in (None, False))
    sections = {
        "### **Authors**": metadata["authors"],
        "### **Tags**": f"{kind.problem.name.capitalize()}, {modality}",
        "## **Model Description**": f"{metadata['description']}. Classes: "
        + ", ".join(f"{number} {name}" for number, name in classes.items()) + ".",
        "## **Data**": f"{metadata['data_source']}. License: {license_text}",
        "#### **Preprocessing**": f"{_sentence(metadata['image_classes'])}. Settings of the training, which inference "
        f"has too: {shown}.",
        "## **Performance**": f"No scores: {run.unscored}." if scores is None else _performance(scores),
        "## **Additional Usage Steps**": _usage(metadata, kind),
        "## **System Configuration**": f"Trained in {duration(run.training['seconds'])} on {run.training['device']}, "
        f"{run.training['processes']} process(es): {run.training['iterations']:,} steps of {settings['batch_size']}.",
        "## **Limitations**": f"{metadata['intended_use']}. Scores hold for images like those of the training."
        + (" " + SHEARED) * (not _needs_own_package(metadata)),
        "## **References**": "\n\n".join(f"[{n}] {text}." for n, text in enumerate(metadata["references"], start=1)),
    }  # fmt: skip
    text = [f"# {metadata['name'].capitalize()}"]
    for heading, content in sections.items():
        text += [heading, content if "\n" in content else textwrap.fill(content, WIDTH, break_on_hyphens=False)]
    return "\n\n".join(text) + "\n"


def _performance(scores: Scores) -> str:
    columns = {METRICS[metric].label(scores.unit): found for metric, found in scores.estimates.items()}
    names = dict.fromkeys(name for found in columns.values() for name in found)
    rows = [
        "| " + " | ".join([name if name != ALL else "all classes",
                           *(_told(found[name]) if name in found else "" for found in columns.values())]) + " |"
        for name in names
    ]  # fmt: skip
    chosen = " These patients chose the weights, so other scores are lower as a rule." * (scores.part == "validation")
    return "\n".join(
        [
            *textwrap.wrap(
                f"Scores over the {scores.patients} patients of the {scores.part} part of the run that trained it, "
                f"with {100 * scores.level:g} % intervals for other patients of the same kind.{chosen}",
                WIDTH,
            ),
            "",
            "| class | " + " | ".join(columns) + " |",
            "|" + "---|" * (len(columns) + 1),
            *rows,
        ]
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _told(estimate: Estimate) -> str:
    if estimate.low != estimate.low:  # nan: one patient
        return f"{estimate.mean:.3g}"
    return f"{estimate.mean:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"


def _needs_own_package(metadata: Mapping[str, Any]) -> bool:
    return OWN_PACKAGE in metadata["required_packages_version"]


def _usage(metadata: Mapping[str, Any], kind: Kind) -> str:
    required = metadata["required_packages_version"]
    needed = f"MONAI {metadata['monai_version']}, " + ", ".join(f"{name} {found}" for name, found in required.items())
    more = "training and evaluation monai-cl-ext too" if not _needs_own_package(metadata) else "as all else does"
    hashes = [f"- `{file}`: SHA-256 {digest}" for file, digest in metadata["weights_sha256"].items()]
    if "models/model.onnx" in metadata["weights_sha256"]:
        size = " x ".join(map(str, metadata["network_data_format"]["inputs"]["image"]["spatial_shape"]))
        hashes += ["", f"`models/model.onnx` takes `image`, any number of images of {size}, and gives `pred`."]
    return "\n".join(
        [
            *textwrap.wrap(
                f"In the bundle's folder. Inference needs {needed} (other versions may serve), and fire for these "
                f"commands; {more}. `OUT` is a folder outside of the bundle, as what is written there names patients.",
                WIDTH,
                break_on_hyphens=False,
            ),
            "",
            "```",
            "python -m monai.bundle run --config_file configs/inference.json --dataset_dir DIR --output_dir OUT",
            "python -m monai.bundle run --config_file \"['configs/train.json','configs/evaluate.json']\" "
            "--dataset_dir DIR --output_dir OUT",
            *(
                f"python -m monai.bundle run --config_file configs/{stage}.json --dataset_dir DIR "
                f"--output_dir OUT/{stage} --ckpt_dir OUT/models"
                for stage in metadata["train_stages"][:-1]
            ),
            "python -m monai.bundle run --config_file configs/train.json --dataset_dir DIR --output_dir OUT "
            f"--ckpt_dir OUT/models --pretrained models/model.pt{kind.whole}",
            "```",
            "",
            *textwrap.wrap(f"{kind.serves} {kind.begins}", WIDTH),
            "",
            *hashes,
        ]
    )
