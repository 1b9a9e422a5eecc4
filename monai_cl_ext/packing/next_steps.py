# SPDX-License-Identifier: Apache-2.0
"""What to do with a bundle that was packed."""

from __future__ import annotations

import shlex

from monai_cl_ext.packing.pack import Packed


def next_steps(packed: Packed) -> str:
    """The commands that try a packed bundle and share it."""
    folder, name = shlex.quote(str(packed.folder)), packed.folder.name
    zipped = f"cd {shlex.quote(str(packed.folder.parent))} && python -m zipfile -c {name}.zip {name}"
    served = f"python -m monai.bundle download --name {name} --url URL/{name}.zip --bundle_dir ."
    lines = {
        "try it": f"cd {folder} && python -m monai.bundle run --config_file configs/inference.json --dataset_dir DIR",
        "share a file": f"{zipped}; then: {served}",
        "share on Hugging Face": 'python -c "from monai.bundle import push_to_hf_hub; '
        f"push_to_hf_hub('USER/{name}', '{name}', '{packed.folder.parent}')\"",
        "share in the model zoo": f"python -m monai_cl_ext bundle zoo {folder} --url URL --output model-zoo",
    }
    if not packed.scored:
        lines["no scores"] = "run train.json with evaluate.json in the folder of the training, then pack again"
    return "\n".join(f"{title}: {line}" for title, line in lines.items())
