# SPDX-License-Identifier: Apache-2.0
"""What the model zoo checks of a bundle."""

from __future__ import annotations

import json
from pathlib import Path

from monai.bundle import ConfigParser, verify_metadata, verify_net_in_out
from monai.bundle.properties import InferProperties, TrainProperties
from monai.utils import BundleProperty, BundlePropertyConfig

from monai_cl_ext.extras import found
from monai_cl_ext.packing.references import refuse_incomplete

SCHEMA = Path(__file__).with_name("schema") / "meta_schema_20240725.json"
FILES = (
    "LICENSE", "configs/metadata.json", "configs/inference.json", "configs/train.json", "configs/evaluate.json",
    "configs/logging.conf", "docs/README.md", "docs/data_license.txt", "models/model.pt",
)  # fmt: skip


def check_bundle(folder: Path) -> list[str]:
    """The zoo's checks: files, changelog, schema, network, and the properties of workflows; and all references.

    Args:
        folder: of a bundle with weights.

    Returns:
        What was checked, a line each.

    Raises:
        ValueError: names what does not hold.
    """
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        raise ValueError(f"{folder}: found no {', '.join(missing)}, which the model zoo asks for")
    metadata = folder / "configs" / "metadata.json"
    content = json.loads(metadata.read_text(encoding="utf-8"))
    if content["version"] not in content["changelog"]:
        raise ValueError(f"{metadata}: found version {content['version']}, which its changelog does not tell of")
    told = [f"files: {len(FILES)} that the zoo asks for", f"changelog: has version {content['version']}"]
    if found("jsonschema"):
        verify_metadata(str(metadata), filepath=str(SCHEMA))
        told.append(f"metadata: fits {SCHEMA.name}")
    else:
        told.append("metadata: not checked by its schema, pip install 'monai-cl-ext[share]'")
    inference = str(folder / "configs" / "inference.json")
    verify_net_in_out("network_def", meta_file=str(metadata), config_file=inference, device="cpu")
    told.append("network: takes and gives what metadata.json says")
    for name, properties in (("train", TrainProperties), ("inference", InferProperties)):
        config = folder / "configs" / f"{name}.json"
        parser = ConfigParser(ConfigParser.load_config_file(str(config)))
        parser.read_meta(content)
        required = [
            each[BundlePropertyConfig.ID] for each in properties.values() if each.get(BundleProperty.REQUIRED, False)
        ]
        lacking = [each for each in required if each not in parser]
        if lacking:
            raise ValueError(f"{config}: lacks {', '.join(lacking)}, which MONAI asks of a workflow")
        told.append(f"{name}.json: has the {len(required)} properties that MONAI asks of a workflow")
        try:
            looked_at = refuse_incomplete(parser, "initialize", "run")
        except ValueError as error:
            raise ValueError(f"{config} would not run: {error}") from error
        told.append(f"{name}.json: {looked_at} ids that a run needs are there, each component with its arguments")
    return told
