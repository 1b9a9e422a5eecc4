# SPDX-License-Identifier: Apache-2.0
"""What to do with a bundle that was packed."""

from __future__ import annotations

import shlex

from monai_cl_ext.packing.pack import Packed


def next_steps(packed: Packed) -> str:
    """The commands that share a packed bundle and try it; what is tried is written elsewhere, as it names patients."""
    folder, name = shlex.quote(str(packed.folder)), packed.folder.name
    parent, zipped, bundle = str(packed.folder.parent), shlex.quote(f"{name}.zip"), shlex.quote(name)
    push = f"from monai.bundle import push_to_hf_hub; push_to_hf_hub({f'USER/{name}'!r}, {name!r}, {parent!r})"
    tried = shlex.quote(str(packed.folder.with_name(f"{name}_tried")))
    lines = {
        "share a file": f"cd {shlex.quote(parent)} && python -m zipfile -c {zipped} {bundle}",
        "which others get by": f"python -m monai.bundle download --name {bundle} --url URL/{zipped} --bundle_dir .",
        "share on Hugging Face": f"python -c {shlex.quote(push)}",
        "share in the model zoo": f"python -m monai_cl_ext bundle zoo {folder} --url URL --output model-zoo",
        "try it": f"cd {folder} && python -m monai.bundle run --config_file configs/inference.json --dataset_dir DIR "
        f"--output_dir {tried}",
    }
    if packed.unscored:
        lines["no scores"] = (
            f"{packed.unscored}; run train.json with evaluate.json under the options of the training, then pack again"
        )
    return "\n".join(f"{title}: {line}" for title, line in lines.items())
