# SPDX-License-Identifier: Apache-2.0
"""Memory and time of a store of prepared volumes, beside MONAI's CacheDataset and PersistentDataset.

    python benchmarks/store.py --folder /tmp/store_benchmark

The volumes are 128 x 128 x 128 voxels. The store's 200, 2,000 and 20,000 entries are hard links to the arrays of eight
real ones, under keys that this script makes, so that the disk holds eight; a process cannot tell. Private memory (USS)
is what a process has for itself and the system cannot take back, unlike pages of mapped files: what grows from its
start, with the data set made and 300 items read. It is told as it stands and, since the C library keeps blocks of
patches that were freed (up to tens of MB, which differ from run to run), once more when those have been handed back:
what grows with the number of volumes is reckoned from the latter. Run it with OMP_NUM_THREADS=1, which the workers of
a DataLoader have too.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np

SIDE, PATCH, REAL, READ = 128, 96, 8, 300
COUNTS = (200, 2000, 20000)


def private_kilobytes() -> int:
    """USS of this process without the pages of files that are mapped."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def hand_back() -> None:
    """Give freed blocks that the C library keeps back to the system."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)


def write_volumes(folder: Path, count: int) -> list[dict[str, str]]:
    """Real NIfTI volumes of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for number in range(count):
        path = folder / f"volume{number:02d}.nii.gz"
        if not path.is_file():
            voxels = np.random.default_rng(number).integers(0, 1000, (SIDE,) * 3, dtype=np.int16)
            nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
        cases.append({"image": str(path), "patient": f"patient{number:02d}"})
    return cases


def transform():
    """The preparation of all data sets."""
    from monai.transforms import Compose, LoadImaged, ScaleIntensityRangePercentilesd

    return Compose(
        [
            LoadImaged("image", image_only=True, ensure_channel_first=True),
            ScaleIntensityRangePercentilesd("image", 1, 99, 0.0, 1.0),
        ]
    )


def fill(store: Path, sources: Path, cases: list[dict[str, str]], count: int) -> None:
    """Entries of many volumes that are links to those of a few."""
    from monai_cl_ext.data.store import Store
    from monai_cl_ext.data.store.content import case_content

    keeper = Store(store, transform(), 2, None)
    for place, case in enumerate(cases):
        keeper.keep(place, case)
    sources.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = sources / f"volume{number:05d}.nii.gz"
        if not path.is_file():
            path.write_text(f"volume {number}")
        content = case_content({"image": str(path)}, keeper.store / "files")
        entry, real = keeper.folder / content, keeper.folder / keeper.kept[number % len(cases)][0]
        if entry.is_dir():
            continue
        entry.mkdir()
        os.link(real / "image.npy", entry / "image.npy")
        facts = json.loads((real / "volume.json").read_text()) | {"files": [str(path)]}
        (entry / "volume.json").write_text(json.dumps(facts))


def listed(sources: Path, count: int) -> list[dict[str, str]]:
    """The cases of a store that was filled."""
    return [
        {"image": f"{sources}/volume{number:05d}.nii.gz", "patient": f"patient{number:05d}"} for number in range(count)
    ]


def opened(kind: str, cases: list[dict[str, str]], store: str | None):
    """A data set of slices or patches."""
    from monai_cl_ext.data import PatchDataset, RandomPatches, SliceDataset

    if kind == "slices":
        return SliceDataset(cases, transform(), store=store, progress=False)
    return PatchDataset(cases, RandomPatches(PATCH), transform(), store=store, progress=False)


def timed_items(dataset, number: int = READ) -> float:
    """Milliseconds an item, at random, after one pass over the same items that warms the page cache."""
    rows = np.random.default_rng(0).integers(len(dataset), size=number).tolist()
    for row in rows:
        dataset[row]
    start = time.perf_counter()
    for row in rows:
        dataset[row]
    return (time.perf_counter() - start) / number * 1e3


def child(kind: str, store: str, sources: str, count: int) -> None:
    """One process of a measurement; prints what it found."""
    import monai_cl_ext.data  # noqa: F401  # imports are not counted

    transform()
    cases = listed(Path(sources), count)
    hand_back()
    before, start = private_kilobytes(), time.perf_counter()
    dataset = opened(kind, cases, store)
    seconds = time.perf_counter() - start
    milliseconds = timed_items(dataset)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()  # until all processes are here
    found = {"as it stands": private_kilobytes() - before, "seconds": seconds, "milliseconds": milliseconds}
    hand_back()
    found["kept"] = private_kilobytes() - before
    print(json.dumps(found), flush=True)
    sys.stdin.readline()


def together(processes: int, *arguments: str) -> list[dict[str, float]]:
    """What processes that run at the same time find."""
    command = [sys.executable, "-W", "ignore", __file__, "--child", *arguments]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for step in range(2):
        lines = [process.stdout.readline() for process in started]
        if step == 0:
            for process in started:
                process.stdin.write("measure\n")
                process.stdin.flush()
    for process in started:
        process.communicate("end\n")
    return [json.loads(line) for line in lines]


def peers(cases: list[dict[str, str]], folder: Path) -> None:
    """MONAI's data sets of the same volumes, with a random crop of the same size."""
    from monai.data import CacheDataset, PersistentDataset
    from monai.transforms import Compose, RandSpatialCropd

    # flat, since MONAI's caches end at a nested Compose, which they take for random
    steps = Compose([*transform().transforms, RandSpatialCropd("image", (PATCH,) * 3, random_size=False)])
    print("\n| data set | private memory, KB a volume | ms a 96^3 patch |\n|---|---|---|")
    for name, make in (
        ("this store", lambda: opened("patches", cases, str(folder / "store"))),
        ("this package in memory", lambda: opened("patches", cases, None)),
        ("MONAI CacheDataset", lambda: CacheDataset(cases, steps, progress=False)),
        ("MONAI PersistentDataset", lambda: PersistentDataset(cases, steps, cache_dir=folder / "persistent")),
    ):
        make()  # prepared before, where it can be
        before = private_kilobytes()
        dataset = make()
        milliseconds = timed_items(dataset, 100)
        print(f"| {name} | {(private_kilobytes() - before) / len(cases):.0f} | {milliseconds:.2f} |")
        del dataset


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", default="/tmp/store_benchmark")
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--processes", type=int, nargs="*", default=(1, 4))
    parser.add_argument("--child", nargs=4)
    given = parser.parse_args()
    if given.child:
        return child(*given.child[:3], int(given.child[3]))
    folder = Path(given.folder)
    cases = write_volumes(folder / "volumes", REAL)
    store, sources = folder / "store", folder / "sources"
    print("| volumes | processes | cut | opened again, s | private memory, KB | of it kept | ms an item |")
    print("|---|---|---|---|---|---|---|")
    found: dict[tuple[str, int, int], float] = {}
    for count in given.counts:
        fill(store, sources, cases, count)
        for kind in ("slices", "patches"):
            for processes in given.processes:
                results = together(processes, kind, str(store), str(sources), str(count))
                largest = {name: max(result[name] for result in results) for name in results[0]}
                found[kind, processes, count] = largest["kept"]
                print(
                    f"| {count} | {processes} | {kind} | {largest['seconds']:.2f} | {largest['as it stands']:.0f} | "
                    f"{largest['kept']:.0f} | {largest['milliseconds']:.3f} |",
                    flush=True,
                )
    first, last = min(given.counts), max(given.counts)
    if last > first:
        for kind, processes in product(("slices", "patches"), given.processes):
            growth = found[kind, processes, last] - found[kind, processes, first]
            print(f"{kind}, {processes} process(es): {growth / (last - first):.2f} KB more for each more volume")
    peers(cases, folder)
    size = subprocess.run(["du", "-sh", str(folder)], capture_output=True, text=True, check=False).stdout.split()
    print(f"\ndisk: {size[0] if size else 'unknown'}")
    shutil.rmtree(folder / "persistent", ignore_errors=True)


if __name__ == "__main__":
    main()
