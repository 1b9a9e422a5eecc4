# SPDX-License-Identifier: Apache-2.0
"""The bundles of SwAV and DeSD, whose views are crops: their settings, pre-training on a small phantom, and resume."""

from pathlib import Path

import pytest
import torch
from monai.networks.nets import BasicUNet
from workflows import SMALL, copy_bundle, parsed, run, workflow

from monai_cl_ext.data import write_phantom
from monai_cl_ext.methods import DeSD, SwAV
from monai_cl_ext.transforms import GaussianBlur

KINDS = {"swav_segmentation": SwAV, "desd_segmentation": DeSD}
SETTINGS = {
    "swav_segmentation": {"prototypes": 8, "head_width": 12, "features": 6, "queue_size": 8, "queue_start": 1},
    "desd_segmentation": {"out_dim": 16, "head_width": 12, "bottleneck": 8},
}
SETTINGS = {name: {**SMALL, "batch_size": 4, "local_size": [16, 16], **own} for name, own in SETTINGS.items()}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder / "data", patients=9, seed=0)
    return str(folder / "data")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, phantom) -> dict[str, Path]:
    """Each bundle after its pre-training."""
    roots = {name: copy_bundle(name, tmp_path_factory.mktemp(name)) for name in KINDS}
    for name, root in roots.items():
        run(root, ["pretrain"], dataset_dir=phantom, **SETTINGS[name])
    return roots


@pytest.mark.parametrize("name", KINDS)
def test_the_method_is_the_bundles(name):
    parser = parsed(name, "pretrain")
    method = parser.get_parsed_content("method")
    assert type(method) is KINDS[name]
    sizes = [policy.size for policy in parser.get_parsed_content("policies")]
    if name == "swav_segmentation":
        assert sizes == [(96, 96)] * 2 + [(48, 48)] * 4
        assert method.prototypes.weight.shape == (100, 128) and len(method.queues) == 2
        assert len(method.queues[0].rows) == 360 and method.queue_start == 200 and method.loss.temperature == 0.1
        chances = [
            [each.probability for each in policy.operations if isinstance(each, GaussianBlur) and each.high == 2]
            for policy in parser.get_parsed_content("policies")
        ]
        assert chances == [[0.5]] * 6
    else:
        assert sizes == [(96, 96)] * 2
        assert method.widths == (32, 64, 128, 128) and len(method.level_heads) == 3
        heads = [*method.level_heads, method.student.head, method.teacher.network.head]
        assert all(isinstance(head.layers[1], torch.nn.BatchNorm1d) for head in heads)
    loss = (
        parsed("swav_segmentation", "pretrain", epsilon=0.03, sinkhorn_iterations=5).get_parsed_content("method").loss
    )
    assert (loss.epsilon, loss.iterations) == (0.03, 5)
    assert not parsed("swav_segmentation", "pretrain", queue_size=0).get_parsed_content("method").queues


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("overlay", ["policy_strong", "policy_weak", "policy_weak_med"])
def test_crops_are_made_of_any_view_policy(name, overlay):
    policies = parsed(name, "pretrain", overlay).get_parsed_content("policies")
    strong = overlay == "policy_strong"
    areas = [policy.operations[0].area for policy in policies]
    assert areas[:2] == [(0.4, 1.0) if strong else (0.5, 1.0)] * 2
    assert areas[2:] == [(0.05, 0.4) if strong else (0.2, 0.5)] * (4 if name == "swav_segmentation" else 0)
    for policy in policies:
        policy({"image": torch.rand(2, 1, 96, 96)}, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", KINDS)
def test_pretraining_leaves_weights_curves_and_a_batch(name, pretrained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root = pretrained[name]
    state = torch.load(root / "models" / "model_pretrain.pt", weights_only=True)
    assert set(state) == set(BasicUNet(2, 1, 4, features=[4, 8, 8, 8, 8, 4], norm="batch").state_dict())
    events = EventAccumulator(str(root / "eval" / "pretrain"))
    events.Reload()
    assert {"train_loss", "partition_probe", "effective_rank_score"} <= set(events.Tags()["scalars"])
    views = torch.load(root / "eval" / "pretrain" / "batch.pt", weights_only=True)["views"]
    local = [(16, 16)] * 4 if name == "swav_segmentation" else []
    assert [tuple(view.shape[2:]) for view in views] == [(32, 32)] * 2 + local


@pytest.mark.parametrize("name", KINDS)
def test_an_unchanged_run_is_resumed(name, pretrained, phantom):
    flow = workflow(pretrained[name], ["pretrain"], dataset_dir=phantom, resume=True, **SETTINGS[name])
    assert flow.trainer.state.epoch == 2
    method = flow.parser.get_parsed_content("method")
    if name == "swav_segmentation":
        assert all(queue.place == 6 * 4 % 8 for queue in method.queues)  # of six steps of four rows
    else:
        assert method.loss.center.any()


@pytest.mark.parametrize("name", KINDS)
def test_prototypes_and_last_layers_are_still_in_the_first_epoch(name, phantom, tmp_path):
    flow = workflow(copy_bundle(name, tmp_path), ["pretrain"], dataset_dir=phantom, **SETTINGS[name])
    method, optimizer = (flow.parser.get_parsed_content(key) for key in ("method", "optimizer"))
    if name == "swav_segmentation":
        still = [method.prototypes]
    else:
        still = [head.last_layer for head in (*method.level_heads, method.student.head)]
    start, seen = [layer.weight.detach().clone() for layer in still], []

    def note(*_):
        seen.append([torch.equal(layer.weight, before) for layer, before in zip(still, start, strict=True)])

    optimizer.register_step_post_hook(note)
    flow.run()
    assert seen == [[True] * len(still)] * 3 + [[False] * len(still)] * 3
