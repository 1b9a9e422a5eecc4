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
from monai_cl_ext.packing.pack import LEFT_OUT, TEXTS
from monai_cl_ext.packing.weights import hashes

NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


def write_pull_request(bundle: str, url: str, output: str) -> list[Path]:
    """Writes ``models/NAME`` without weights but with large_files.yml, and ``ci/unit_tests/test_NAME.py``.

    Nothing but what a pack has by itself is taken, see :func:`left_out`.

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
    weights: dict[str, str] = known["weights_sha256"]
    found = hashes(source)
    changed = [file for file, digest in weights.items() if found.get(file) != digest]
    if changed:
        raise ValueError(
            f"{source}: {', '.join(changed)} is not the file whose SHA-256 configs/metadata.json has, so scores and "
            "exports would be those of other weights; a training in this folder has replaced it, or it was removed: "
            "pack the run again, and train on with a --ckpt_dir of its own"
        )
    folder, test = zoo / "models" / name, zoo / "ci" / "unit_tests" / f"test_{name}.py"
    for path in (folder, test):
        if path.exists():
            raise FileExistsError(f"{path}: exists already; remove it, or give another output")
    folder.mkdir(parents=True)
    for part in (source / name for name in TEXTS):
        if part.is_dir():
            shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        elif part.is_file():
            shutil.copy(part, folder)
    lines = ["large_files:"]
    for file, digest in weights.items():
        lines += [f'  - path: "{file}"', f'    url: "{url.rstrip("/")}/{Path(file).name}"',
                  f'    hash_val: "{digest}"', '    hash_type: "sha256"']  # fmt: skip
    write_text(folder / "large_files.yml", "\n".join(lines) + "\n")
    test.parent.mkdir(parents=True, exist_ok=True)
    template = Path(__file__).with_name(KINDS[known["network_data_format"]["outputs"]["pred"]["format"]].unit_test)
    write_text(test, template.read_text(encoding="utf-8").replace("BUNDLE_NAME", name))
    return [folder, folder / "large_files.yml", test]


def left_out(bundle: str) -> list[str]:
    """What lies in a packed bundle's folder and is no part of it, such as eval: it may hold names of patients."""
    source = Path(bundle)
    own = {*TEXTS, "models", *_metadata(source)["weights_sha256"]}
    paths = [*source.iterdir(), *(source / "models").iterdir()]
    return sorted(name for name in (path.relative_to(source).as_posix() for path in paths) if name not in own)


def _metadata(source: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((source / "configs" / "metadata.json").read_text(encoding="utf-8"))
        return content | {"weights_sha256": dict(content["weights_sha256"])}
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{source}: expected a folder that bundle pack wrote, found none ({error!r})") from error
