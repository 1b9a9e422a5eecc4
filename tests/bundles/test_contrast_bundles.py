# SPDX-License-Identifier: Apache-2.0
"""The bundles of contrastive methods that pre-train in one stage: every stage and variant on a small phantom."""

from pathlib import Path

import nibabel as nib
import pytest
import torch
from monai.networks.nets import BasicUNet
from workflows import SMALL, copy_bundle, parsed, run, workflow

from monai_cl_ext.csv_files import read_rows
from monai_cl_ext.data import write_phantom
from monai_cl_ext.methods import BYOL, PCL, WCL, MoCo, MoCoV3, PartitionContrast, SimCLR, SimSiam, SimTriplet, SuperCL
from monai_cl_ext.transforms import GaussianBlur, Solarization

SMALL = {**SMALL, "batch_size": 4}
KINDS = {
    "simclr_segmentation": SimCLR,
    "moco_segmentation": MoCo,
    "moco_v3_segmentation": MoCoV3,
    "byol_segmentation": BYOL,
    "simsiam_segmentation": SimSiam,
    "simtriplet_segmentation": SimTriplet,
    "pcl_segmentation": PCL,
    "wcl_segmentation": WCL,
    "supercl_segmentation": SuperCL,
}
WITHOUT_PAIRS = {
    "moco_segmentation", "moco_v3_segmentation", "byol_segmentation", "simsiam_segmentation", "simtriplet_segmentation"
}  # fmt: skip
"""What repels is no image of the batch, or nothing does."""


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder / "data", patients=9, seed=0)
    return folder / "data"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, phantom) -> dict[str, Path]:
    """Each bundle after its pre-training."""
    roots = {name: copy_bundle(name, tmp_path_factory.mktemp(name)) for name in KINDS}
    for root in roots.values():
        run(root, ["pretrain"], dataset_dir=str(phantom), **SMALL)
    return roots


@pytest.mark.parametrize("name", KINDS)
def test_the_method_is_the_bundles(name):
    assert type(parsed(name, "pretrain").get_parsed_content("method")) is KINDS[name]


@pytest.mark.parametrize("name", KINDS)
def test_pretraining_leaves_weights_curves_and_a_batch(name, pretrained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root = pretrained[name]
    state = torch.load(root / "models" / "model_pretrain.pt", weights_only=True)
    assert set(state) == set(BasicUNet(2, 1, 4, features=[4, 8, 8, 8, 8, 4], norm="batch").state_dict())
    events = EventAccumulator(str(root / "eval" / "pretrain"))
    events.Reload()
    parts = {"wcl": ["train_view", "train_graph"], "supercl": ["train_instance", "train_intra", "train_inter"]}
    expected = {"train_loss", "partition_probe", "effective_rank_score", *parts.get(name.split("_")[0], [])}
    assert expected <= set(events.Tags()["scalars"])
    batch = torch.load(root / "eval" / "pretrain" / "batch.pt", weights_only=True)
    views = 4 if name.startswith("supercl") else 2
    assert len(batch["views"]) == views
    assert ("positive" in batch) == (name not in WITHOUT_PAIRS)
    assert name in WITHOUT_PAIRS or batch["positive"].shape == (views * 4, views * 4)
    assert ("superpixels" in batch) == name.startswith("supercl")


@pytest.mark.parametrize("name, momentum, area", [
    ("byol_segmentation", 0.996, 0.08), ("moco_v3_segmentation", 0.99, 0.2)
])  # fmt: skip
def test_the_momentum_rises_to_1_and_the_views_differ(name, momentum, area, pretrained, phantom):
    flow = workflow(pretrained[name], ["pretrain"], dataset_dir=str(phantom), **SMALL)
    method, seen = flow.parser.get_parsed_content("method"), []
    flow.parser.get_parsed_content("optimizer").register_step_post_hook(lambda *_: seen.append(method.momentum))
    flow.run()
    assert len(seen) == 6 and seen[0] == pytest.approx(momentum) and 0.999 < seen[-1] < 1
    assert all(first < second for first, second in zip(seen, seen[1:], strict=False))
    policies = flow.parser.get_parsed_content("train#views").policies
    chances = [
        [each.probability for each in policy.operations if isinstance(each, (GaussianBlur, Solarization))]
        for policy in policies
    ]
    assert chances == [[1.0], [0.1, 0.2]] and all(policy.operations[0].area == (area, 1.0) for policy in policies)


def test_simtriplets_batches_are_pairs_of_adjacent_slices(phantom, tmp_path):
    root = copy_bundle("simtriplet_segmentation", tmp_path)
    flow = workflow(root, ["pretrain"], dataset_dir=str(phantom), **SMALL)
    dataset, sampler = (flow.parser.get_parsed_content(f"train#{name}") for name in ("dataset", "sampler"))
    batches = list(sampler)
    assert len(batches) == 3 and all(len(batch) == 4 for batch in batches)
    for first, second in (pair for batch in batches for pair in zip(batch[::2], batch[1::2], strict=True)):
        assert second == first + 1 and dataset.volume[first] == dataset.volume[second]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_the_pretrained_encoder_is_trained_scored_and_served(name, pretrained, phantom):
    root, file = pretrained[name], f"{pretrained[name]}/models/model_pretrain.pt"
    settings = {"dataset_dir": str(phantom), **SMALL}
    flow = workflow(root, ["train"], **settings, seed=1, pretrained=file)
    before, start = torch.load(file, weights_only=True), flow.parser.get_parsed_content("initial_network").state_dict()
    anew = {key.split(".")[0] for key, value in before.items() if not torch.equal(value, start[key])}
    assert anew == {"upcat_1", "upcat_2", "upcat_3", "upcat_4", "final_conv"}
    flow.run()
    flow.finalize()
    tested = run(root, ["train", "evaluate"], **settings).parser.get_parsed_content("split")["test"]
    rows = read_rows(root / "eval" / "metrics.csv")
    assert len(rows) == len(tested) * 3 and all(0 <= float(row["dice"]) <= 1 for row in rows)
    sizes = {key: SMALL[key] for key in ("device", "image_size", "pixdim", "network_def#features")}
    images = [case["image"] for case in tested]
    run(root, ["inference"], "infer", dataset_dir=str(phantom), datalist=images, **sizes)
    for image in images:
        (served,) = (root / "eval").rglob(f"{Path(image).name.split('.')[0]}_trans.nii.gz")
        assert nib.load(served).shape == nib.load(image).shape and (nib.load(served).get_fdata() < 4).all()


@pytest.mark.parametrize("overlays, weights, kind", [
    (["no_ilcp"], (0, 0.5), PCL), (["no_igcp"], (1, 0), PCL), (["no_ilcp", "no_igcp"], (0, 0), PCL),
    (["instance_wcl"], (1, 0.5), WCL), (["instance_wcl", "no_igcp"], (1, 0), WCL),
    (["instance_view"], (1, 0.5), SimCLR), (["instance_partition"], (1, 0.5), PartitionContrast),
    (["network_pcl"], (1, 0.5), PCL),
])  # fmt: skip
def test_ablations_are_overlays(overlays, weights, kind):
    small = {} if "network_pcl" in overlays else {"network_def#features": SMALL["network_def#features"]}
    method = parsed("supercl_segmentation", "pretrain", *overlays, **small).get_parsed_content("method")
    assert type(method.instance) is kind and (method.intra_weight, method.inter_weight) == weights
    assert method.collapse_causes == method.instance.collapse_causes


def test_superpixels_may_be_made_of_each_view(phantom, tmp_path):
    root = copy_bundle("supercl_segmentation", tmp_path)
    short = {**SMALL, "epochs": 1, "batches_per_epoch": 1}
    flow = run(root, ["pretrain", "superpixels_per_view"], dataset_dir=str(phantom), **short)
    (losses,) = flow.trainer.state.output
    assert set(losses) == {"loss", "instance", "intra", "inter"}
    assert "superpixel" not in flow.parser.get_parsed_content("train#dataset")[0]


@pytest.mark.parametrize("overlay", ["positives_view", "positives_partition"])
def test_pcl_contrasts_by_view_or_partition_too(overlay):
    method = parsed("pcl_segmentation", "pretrain", overlay).get_parsed_content("method")
    assert type(method) is {"positives_view": SimCLR, "positives_partition": PartitionContrast}[overlay]
    assert ("batches of one partition" in method.collapse_causes) == (overlay == "positives_partition")
    assert method.head[-1].out_features == 512


@pytest.mark.parametrize("overlays", [[], ["positives_view"], ["positives_partition"]])
def test_pcls_paper_multiplies_the_loss_whatever_is_positive(overlays):
    for configs in (["paper_pretrain", *overlays], [*overlays, "paper_pretrain"]):
        method = parsed("pcl_segmentation", "pretrain", *configs).get_parsed_content("method")
        assert method.loss.factor == pytest.approx(0.1 / 0.07)


@pytest.mark.parametrize("overlays", [[], ["instance_view"], ["instance_partition"]])
def test_supercls_paper_multiplies_each_loss(overlays):
    parser = parsed("supercl_segmentation", "pretrain", "paper_pretrain", *overlays)
    method = parser.get_parsed_content("method")
    losses = (method.instance.loss, method.intra_loss, method.inter_loss)
    assert [loss.factor for loss in losses] == pytest.approx([0.1 / 0.07] * 3)
