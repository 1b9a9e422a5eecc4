# SPDX-License-Identifier: Apache-2.0
"""The batch script is one that a shell reads and that starts the stage on all nodes."""

import os
import pwd
import stat
import subprocess
import sys

import pytest

from monai_cl_ext.bundles import build_bundle
from monai_cl_ext.data import write_phantom
from monai_cl_ext.slurm import Allocation, batch_script


@pytest.fixture
def bundle(tmp_path):
    return build_bundle("simclr_segmentation", tmp_path / "a folder")


def test_the_script_asks_for_what_is_given_and_a_shell_reads_it(bundle, tmp_path):
    allocation = Allocation(4, 2, 6, 12, {"partition": "gpu", "exclusive": None})
    script = batch_script(bundle, ["pretrain"], allocation, {"dataset_dir": "/a folder/it's", "epochs": 3})
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash" and {
        "#SBATCH --nodes=4", "#SBATCH --gpus-per-node=2", "#SBATCH --cpus-per-task=12", "#SBATCH --time=12:00:00",
        "#SBATCH --partition=gpu", "#SBATCH --exclusive", "#SBATCH --ntasks-per-node=1",
    } <= set(lines)  # fmt: skip
    (tmp_path / "job.sh").write_text(script)
    assert subprocess.run(["bash", "-n", tmp_path / "job.sh"], check=True).returncode == 0


def test_what_is_started_on_each_node(bundle, tmp_path):
    """With programs in the place of Slurm's that print what they are given."""
    arguments = started(bundle, tmp_path, 'printf "%s\\n" "$@"', {"dataset_dir": "/a folder/it's"})
    assert arguments[:5] == [
        "torchrun", "--nnodes=2", "--nproc_per_node=2", "--rdzv_id=7", "--rdzv_backend=c10d"
    ]  # fmt: skip
    assert arguments[5:8] == ["--rdzv_endpoint=node1:10007", "-m", "monai.bundle"]
    files = arguments[arguments.index("--config_file") + 1]
    assert [os.path.basename(file) for file in eval(files)] == ["pretrain.json", "multi_gpu_train.json"]
    assert arguments[arguments.index("--dataset_dir") + 1] == "/a folder/it's"
    assert arguments[arguments.index("--resume") + 1] == "True"


def test_each_node_has_a_store_of_the_user_s_own(bundle, tmp_path, monkeypatch):
    for name in ("MONAI_CL_EXT_STORE", "SLURM_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    user = pwd.getpwuid(os.getuid()).pw_name
    shown = 'echo "$MONAI_CL_EXT_STORE"'
    assert started(bundle, tmp_path, shown, {}) == [f"/tmp/monai_cl_ext_store_{user}"]
    monkeypatch.setenv("SLURM_TMPDIR", "/local/7")
    assert started(bundle, tmp_path, shown, {}) == [f"/local/7/monai_cl_ext_store_{user}"]
    monkeypatch.setenv("MONAI_CL_EXT_STORE", "/shared/store")
    assert started(bundle, tmp_path, shown, {}) == ["/shared/store"]


def test_a_bundle_without_the_config_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"pretrain\.json: found no such config"):
        batch_script(tmp_path, ["pretrain"], Allocation())
    with pytest.raises(ValueError, match="nodes"):
        Allocation(nodes=0)


@pytest.mark.slow
def test_two_processes_pretrain(bundle, tmp_path):
    data = write_phantom(tmp_path / "data", patients=8, seed=0)
    small = {
        "dataset_dir": data, "image_size": [32, 32], "pixdim": [5.0, 5.0], "network_def#features": [4, 8, 8, 8, 8, 4],
        "validation_patients": 2, "test_patients": 2, "epochs": 1, "batches_per_epoch": 2, "batch_size": 4,
    }  # fmt: skip
    node = '"${@/--rdzv_endpoint=node1:10007/--rdzv_endpoint=localhost:0}"'
    started(bundle, tmp_path, node, small, nodes=1)
    assert (bundle / "models" / "model_pretrain.pt").is_file()


def started(bundle, tmp_path, srun, settings, nodes=2):
    """What the script's srun prints; its Slurm is two small programs."""
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    for name, text in (("srun", srun), ("scontrol", "printf 'node1\\nnode2\\n'")):
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod((programs / name).stat().st_mode | stat.S_IEXEC)
    (tmp_path / "job.sh").write_text(batch_script(bundle, ["pretrain"], Allocation(nodes, 2, 1), settings))
    python = os.path.dirname(sys.executable)
    environment = {
        **os.environ, "PATH": f"{programs}:{python}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": str(nodes), "SLURM_JOB_ID": "7",
    }  # fmt: skip
    command = ["bash", str(tmp_path / "job.sh")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
