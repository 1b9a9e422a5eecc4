# SPDX-License-Identifier: Apache-2.0
"""A batch script of Slurm that pre-trains or trains a bundle on several nodes through torchrun."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cl_ext.arguments import positive_integer

MULTI_GPU = "multi_gpu_train"
PORT = "$((10000 + SLURM_JOB_ID % 20000))"
"""What a shell takes for the port of a job's processes: that of another job on the node is most likely another."""

NODE_STORE = 'export MONAI_CL_EXT_STORE="${MONAI_CL_EXT_STORE:-${SLURM_TMPDIR:-/tmp}/monai_cl_ext_store_$(id -un)}"'
"""Line of a shell: a store on the disk of the node, where the environment names none."""


@dataclass(frozen=True)
class Allocation:
    """What a job asks Slurm for.

    Args:
        nodes: their number.
        gpus_per_node: processes on each node, one a GPU.
        cpus_per_gpu: cores of each process.
        hours: after which Slurm ends the job.
        options: more options of sbatch by name, such as {"partition": "gpu"}.
    """

    nodes: int = 2
    gpus_per_node: int = 8
    cpus_per_gpu: int = 8
    hours: int = 24
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("nodes", "gpus_per_node", "cpus_per_gpu", "hours"):
            positive_integer(name, getattr(self, name))


def batch_script(
    bundle: str | Path, configs: Sequence[str], allocation: Allocation, settings: Mapping[str, Any] | None = None
) -> str:
    """The script, for sbatch; submitted again, or requeued by Slurm, it goes on where it stopped.

    Each node prepares volumes into a store of its own, below SLURM_TMPDIR where that is set, else below /tmp.

    Args:
        bundle: its folder.
        configs: names of the config files in it without suffix, the stage's first; that for several processes is added.
        allocation: what the job asks for.
        settings: of ``monai.bundle run``, by id.

    Raises:
        FileNotFoundError: when the bundle has no such config.
    """
    folder = Path(bundle).absolute()
    files = [folder / "configs" / f"{name}.json" for name in (*configs, MULTI_GPU)]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: found no such config; give a bundle's folder and names of its configs")
    cores = allocation.gpus_per_node * allocation.cpus_per_gpu
    options = {
        "job-name": re.sub(r"\W", "_", f"{folder.name}_{configs[0]}"),
        "nodes": allocation.nodes,
        "ntasks-per-node": 1,
        "gpus-per-node": allocation.gpus_per_node,
        "cpus-per-task": cores,
        "time": f"{allocation.hours}:00:00",
        "requeue": None,
        **allocation.options,
    }
    shown = [f"#SBATCH --{name}" + ("" if value is None else f"={value}") for name, value in options.items()]
    run = {"bundle_root": folder, "resume": True, **(settings or {})}
    arguments = " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in run.items())
    config_files = shlex.quote(str([str(file) for file in files]))
    return "\n".join(
        [
            "#!/bin/bash",
            *shown,
            "set -euo pipefail",
            f"export OMP_NUM_THREADS={allocation.cpus_per_gpu}",
            NODE_STORE,
            'mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")',
            'srun torchrun --nnodes="$SLURM_JOB_NUM_NODES" \\',
            f'    --nproc_per_node={allocation.gpus_per_node} --rdzv_id="$SLURM_JOB_ID" --rdzv_backend=c10d \\',
            f'    --rdzv_endpoint="${{hosts[0]}}:{PORT}" -m monai.bundle run \\',
            f"    --config_file {config_files} \\",
            f"    {arguments}",
            "",
        ]
    )
