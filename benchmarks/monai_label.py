# SPDX-License-Identifier: Apache-2.0
"""Starts MONAI Label's server on loopback with a packed bundle and asks it what a user's viewer would.

    python benchmarks/monai_label.py --server SERVER --app APP --bundle BUNDLE --data DATA

SERVER is the command ``monailabel`` of an environment that has MONAI Label and this package (docs/monai_label.md),
APP its sample app ``monaibundle``, BUNDLE what ``bundle pack`` wrote, DATA a folder with imagesTr and labelsTr. Each
answer is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PATIENCE = 600


class Server:
    """A server's address, and its answers."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    def ask(self, path: str, content: Any = None) -> bytes:
        """The answer to a GET, or to a POST of JSON."""
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read()

    def wait(self, process: subprocess.Popen) -> None:
        """Until it answers."""
        end = time.time() + PATIENCE
        while time.time() < end:
            if process.poll() is not None:
                raise SystemExit(f"the server ended with status {process.returncode}")
            try:
                self.ask("/info/")
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(2)
        raise SystemExit(f"the server did not answer within {PATIENCE} s")


def studies_of(data: Path, folder: Path, labelled: int) -> list[str]:
    """A folder of images as the server wants it, with final labels of the first ones; names of all images."""
    images = sorted((data / "imagesTr").glob("*.nii.gz"))[: labelled + 2]
    (folder / "labels" / "final").mkdir(parents=True)
    for number, image in enumerate(images):
        shutil.copy(image, folder)
        if number < labelled:
            shutil.copy(data / "labelsTr" / image.name, folder / "labels" / "final")
    return [image.name.removesuffix(".nii.gz") for image in images]


def talk(server: Server, model: str, images: list[str], output: Path) -> None:
    """Info, the next image, its label map, and an epoch of training."""
    info = json.loads(server.ask("/info/"))
    print("info: models", json.dumps({name: each["labels"] for name, each in info["models"].items()}))
    print("info: trainers", sorted(info["trainers"]))
    chosen = json.loads(server.ask("/activelearning/random", {}))
    print("activelearning: next image", chosen["id"])
    label_map = server.ask(f"/infer/{model}?image={images[-1]}&output=image", {"device": "cpu"})
    (output / "label.nii.gz").write_bytes(label_map)
    print(f"infer: {images[-1]}, {len(label_map)} bytes")
    started = time.time()
    told = {"max_epochs": 1, "val_split": 0.34, "device": "cpu", "tracking": "None", "multi_gpu": False}
    result = json.loads(server.ask(f"/train/{model}?run_sync=true", told))
    print("train:", json.dumps(result)[:200], f"in {time.time() - started:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("server", "app", "bundle", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    bundle = given.bundle.resolve()
    with tempfile.TemporaryDirectory() as place, socket.socket() as free:
        root = Path(place)
        app = Path(shutil.copytree(given.app, root / "app"))
        shutil.copytree(bundle, app / "model" / bundle.name)
        images = studies_of(given.data, root / "studies", labelled=3)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [str(given.server), "start_server", "--app", str(app), "--studies", str(root / "studies"),
                   "--conf", "models", bundle.name, "--conf", "sam2", "false", "--conf", "zoo_source", "local",
                   "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
        path = os.pathsep.join([str(given.server.parent), os.environ["PATH"]])  # it starts "python"
        with (root / "server.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "PATH": path})
        try:
            server = Server(port)
            server.wait(process)
            talk(server, bundle.name, images, root)
            record = json.loads((app / "model" / bundle.name / "eval" / "run_train.json").read_text())
            print("the bundle's record: completed", record["completed"], "epochs", record["epochs"])
        except BaseException:
            print((root / "server.log").read_text(errors="replace")[-6000:])
            raise
        finally:
            process.terminate()
            process.wait(60)


if __name__ == "__main__":
    main()
