# SPDX-License-Identifier: Apache-2.0
"""What a pull request to MONAI's model zoo holds of a packed bundle."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from monai_cl_ext.files import write_text
from monai_cl_ext.packing.kinds import KINDS
from monai_cl_ext.packing.weights import hashes

NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


def write_pull_request(bundle: str, url: str, output: str) -> list[Path]:
    """Writes ``models/NAME`` without weights but with large_files.yml, and ``ci/unit_tests/test_NAME.py``.

    Args:
        bundle: folder that :func:`~monai_cl_ext.packing.pack.pack` wrote; NAME is its name.
        url: address of a folder that has the files of models/.
        output: folder of the zoo.

    Returns:
        The files and folders that were written.

    Raises:
        ValueError: when the folder is no packed bundle, its name is not as the zoo's, or its weights have changed.
        FileExistsError: when one of the outputs exists.
    """
    source, zoo = Path(bundle), Path(output)
    name = source.resolve().name
    known = _metadata(source)
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{source}: expected a name of lower-case words joined by _, found {name!r}; rename the folder"
        )
    found = hashes(source)
    if found != known["weights_sha256"]:
        raise ValueError(
            f"{source}/models: found other files than those whose SHA-256 metadata.json has; pack the bundle again"
        )
    folder, test = zoo / "models" / name, zoo / "ci" / "unit_tests" / f"test_{name}.py"
    for path in (folder, test):
        if path.exists():
            raise FileExistsError(f"{path}: exists already; remove it, or give another output")
    shutil.copytree(source, folder, ignore=lambda parent, names: ["models"] if Path(parent) == source else [])
    lines = ["large_files:"]
    for weights, digest in found.items():
        lines += [f'  - path: "{weights}"', f'    url: "{url.rstrip("/")}/{Path(weights).name}"',
                  f'    hash_val: "{digest}"', '    hash_type: "sha256"']  # fmt: skip
    write_text(folder / "large_files.yml", "\n".join(lines) + "\n")
    test.parent.mkdir(parents=True, exist_ok=True)
    template = Path(__file__).with_name(KINDS[known["network_data_format"]["outputs"]["pred"]["format"]].unit_test)
    write_text(test, template.read_text(encoding="utf-8").replace("BUNDLE_NAME", name))
    return [folder, folder / "large_files.yml", test]


def _metadata(source: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((source / "configs" / "metadata.json").read_text(encoding="utf-8"))
        return content | {"weights_sha256": dict(content["weights_sha256"])}
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{source}: expected a folder that bundle pack wrote, found none ({error!r})") from error
