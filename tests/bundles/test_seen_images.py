# SPDX-License-Identifier: Apache-2.0
"""Images that weights were trained on are told wherever a stage validates or scores by them."""

import warnings
from pathlib import Path

import monai
import pytest
import torch
from workflows import SMALL, copy_bundle, read, run

from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.data import find_cases, split_patients, write_phantom
from monai_cl_ext.handlers import SaveWeights, SeenImagesWarning
from monai_cl_ext.networks.weight_notes import images_noted_in

NAME = "simclr_segmentation"
SETTINGS = {**SMALL, "batch_size": 4, "epochs": 1, "validation_patients": 1, "test_patients": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A plain folder of nine patients; four of them have a label, in a folder of their own."""
    root = tmp_path_factory.mktemp("plain")
    write_phantom(root / "phantom", patients=9, seed=0)
    for kind in ("images", "labels"):
        (root / kind).mkdir()
    for number, case in enumerate(find_cases(root / "phantom")):
        (root / "images" / Path(case["image"]).name).symlink_to(case["image"])
        if number % 2:
            (root / "labels" / Path(case["label"]).name).symlink_to(case["label"])
    return root


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, folder) -> dict[bool, Path]:
    """The bundle after its pre-training, without and with the folder of labels."""
    roots = {}
    for known in (False, True):
        roots[known] = copy_bundle(NAME, tmp_path_factory.mktemp(NAME))
        run(roots[known], ["pretrain"], **SETTINGS, **given(folder, known))
    return roots


def given(folder: Path, labels: bool = True) -> dict:
    return {"dataset_dir": str(folder / "images"), **({"cases#label_dir": str(folder / "labels")} if labels else {})}


def told(*arguments, **settings) -> list[str]:
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        run(*arguments, **settings)
    return [str(found.message) for found in record if "trained on" in str(found.message)]


def test_a_start_that_has_seen_patients_held_out_later_is_told_by_training_and_by_evaluation(pretrained, folder):
    every = find_cases(folder / "images", folder / "labels")
    seen = {case["image"] for case in split_patients([{**case, "label": None} for case in every], 1, 1)["pretrain"]}
    splits = {seed: split_patients(every, 1, 1, seed) for seed in range(9)}
    held = {seed: [split[part][0]["image"] for part in ("validation", "test")] for seed, split in splits.items()}
    seed = next(seed for seed, images in held.items() if seen.issuperset(images))
    root, settings = pretrained[True], {**SETTINGS, **given(folder), "split_seed": seed}
    for stages, part, weights in (
        (["train"], "validation", f"{pretrained[False]}/models/model_pretrain.pt"),
        (["train", "evaluate"], "test", f"{root}/models/model.pt"),
    ):
        (case,) = splits[seed][part]
        (message,) = told(root, stages, **settings, pretrained=f"{pretrained[False]}/models/model_pretrain.pt")
        assert message.startswith(f"{weights}: trained on 1 of the 1 images that are validated or scored here")
        assert f"of {case['patient']!r}, so their scores are too good" in message and "one split for all" in message


def test_one_split_for_all_stages_is_in_order_and_another_one_is_not(pretrained, folder):
    root, settings = pretrained[True], {**SETTINGS, **given(folder)}
    assert told(root, ["train"], **settings, pretrained=f"{root}/models/model_pretrain.pt") == []
    assert told(root, ["train", "evaluate"], **settings) == []
    every = find_cases(folder / "images", folder / "labels")
    tested = split_patients(every, 1, 1)
    held = [case["patient"] for part in ("validation", "test") for case in tested[part]]
    seeds = (seed for seed in range(9) if split_patients(every, 1, 1, seed)["test"][0]["patient"] not in held)
    (message,) = told(root, ["train", "evaluate"], **settings, split_seed=next(seeds))
    assert "models/model.pt: trained on 1 of the 1 images" in message


def test_the_notes_are_marks_and_no_names(pretrained, folder):
    content = (pretrained[True] / "models" / "model_pretrain.pt").read_bytes()
    assert not any(case["patient"].encode() in content for case in find_cases(folder / "images"))
    state = torch.load(pretrained[True] / "models" / "model_pretrain.pt", weights_only=True)
    marks = state._metadata[""]["trained_images"]
    assert len(marks) == 7 and all(len(mark) == 16 for mark in marks)


def test_weights_without_notes_and_no_weights_are_no_matter(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "plain.pt")
    (tmp_path / "none.pt").write_text("no checkpoint")
    files = [tmp_path / name for name in ("plain.pt", "none.pt", "absent.pt")]
    assert all(images_noted_in(weights) == set() for weights in (files, ["", None], "", None))


@pytest.mark.parametrize("name", bundle_names())
def test_every_stage_notes_its_images_and_those_of_its_start(name):
    for stage in read(name, "metadata")["train_stages"] + read(name, "metadata").get("pretrain_stages", []):
        config = read(name, stage)
        handlers = [*config["train"]["handlers"], *config["validate"]["handlers"]]
        saving = [handler for handler in handlers if handler["_target_"].endswith("SaveWeights")]
        assert saving and all(handler["data"] == "@train#dataset" for handler in saving), stage
        if "pretrained" in config:
            assert {handler["start"] for handler in saving} <= {"@pretrained", "@starting_weights"}, stage


def test_a_network_with_a_plain_state_and_data_of_cases_are_noted_too(tmp_path):
    class Plain(torch.nn.Linear):
        def state_dict(self, *args, **kwargs):
            return dict(super().state_dict(*args, **kwargs))

    paths = [tmp_path / f"{number}.nii" for number in range(2)]
    for path in paths:
        path.write_text(path.name)
    data = monai.data.Dataset([{"image": str(path), "patient": path.stem} for path in paths])
    save = SaveWeights(Plain(2, 2), str(tmp_path / "model.pt"), data=data, start=[None, str(tmp_path / "before.pt")])
    save._note_images(None)
    save.save(None)
    torch.nn.Linear(2, 2).load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert len(images_noted_in(tmp_path / "model.pt")) == 2
    with pytest.warns(UserWarning, match="trained on 1 of the 1 images .*, of '0', so their"):
        SeenImagesWarning(str(tmp_path / "model.pt"), data.data[:1])._warn(None)
