# SPDX-License-Identifier: Apache-2.0
"""A small run with every source of randomness, and what may befall it, for the tests of resuming."""

import io
import os
import resource
import signal
from pathlib import Path

import torch
import torch._dynamo  # every optimizer imports it at its first step: once for all child processes
import torch.distributed as dist
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

from monai_cl_ext.engines import MethodTrainer
from monai_cl_ext.handlers import EpochSeed, FiniteLoss, Resume, SaveWeights
from monai_cl_ext.methods import Method
from monai_cl_ext.transforms import PrepareViews, gcl_policy


class Noisy(Method):
    """A small convolutional method with dropout, so that every source of randomness matters."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Dropout(0.5), nn.Conv2d(width, 1, 3)
        )

    views = 1

    @property
    def predictor(self):
        return self.network

    def forward(self, views, tags):
        return {"loss": self.network(views[0]["image"]).square().mean()}


class Broken(Exception):
    pass


def make(folder, resume, epochs=4, rate=0.05, width=4, seed=0, states=None, **loading):
    torch.manual_seed(7)
    method = Noisy(width)
    optimizer = torch.optim.Adam(method.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(12, 1, 12, 12, generator=generator)
    data = [{"image": image, "volume": 0, "position": 0.5, "partition": 0} for image in images]
    views = PrepareViews([gcl_policy()], seed=seed)
    loader = DataLoader(data, batch_size=4, sampler=RandomSampler(data, replacement=True, num_samples=12), **loading)
    handlers = [
        EpochSeed(seed, [views]),
        FiniteLoss(),
        SaveWeights(method.network, f"{folder}/final.pt"),
        Resume(
            {"method": method, "optimizer": optimizer},
            states or f"{folder}/resume",
            resume,
            {"epochs": epochs, "rate": rate, "sizes": (12, 12)},
        ),
    ]
    return MethodTrainer(
        torch.device("cpu"), epochs, loader, method, optimizer, views, train_handlers=handlers, non_blocking=True
    )


def break_off(engine, epoch, iteration=2):
    def handler(engine):
        if engine.state.epoch == epoch and (engine.state.iteration - 1) % 3 == iteration - 1:
            raise Broken

    engine.add_event_handler(Events.ITERATION_COMPLETED, handler)


def weights(engine):
    return {name: value.clone() for name, value in engine.method.state_dict().items()}


def same(first, second) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def poison_gradients(engine, epoch, value=float("nan")):
    """The gradients of the last step of an epoch are spoilt, when its losses are known to be finite."""

    def handler(engine):
        if engine.state.epoch == epoch and engine.state.iteration % engine.state.epoch_length == 0:
            engine.method.network[0].weight.grad[0] = value

    engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, handler)


def names(folder):
    """All that lies in a folder, hidden files too."""
    return sorted(path.name for path in Path(folder).glob("*"))


def die_while_saving(folder, number, moment, epochs=6):
    """A run whose process is killed by the system while it saves for the ``number``-th time; the last is final.pt."""
    torch.set_num_threads(1)
    save, replace, saved = torch.save, os.replace, []

    def save_until_death(content, file):
        saved.append(file)
        if len(saved) == number and moment == "half written":
            buffer = io.BytesIO()
            save(content, buffer)
            file.write(buffer.getvalue()[: buffer.tell() // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        save(content, file)

    def replace_until_death(source, target):
        if len(saved) == number and moment == "not yet in place":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if len(saved) == number and moment == "in place":
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save, os.replace = save_until_death, replace_until_death
    make(folder, False, epochs).run()


def run_out_of_space(folder, epoch, size, epochs=6):
    """A run whose files may not be longer than ``size`` bytes from an epoch on; its error is written to "error"."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    engine = make(folder, False, epochs)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    engine.add_event_handler(
        Events.EPOCH_STARTED(once=epoch), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    )
    try:
        engine.run()
    except OSError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        Path(f"{folder}/error").write_text(str(error))


def one_of_two(rank, folder, states, resume, poisoned):
    """One of two processes; the epoch that it reached, or what it raised, is written to "told<rank>"."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    try:
        engine = make(folder, resume, epochs=4, states=states[rank])
        if poisoned:
            poison_gradients(engine, poisoned)
        engine.run()
        told = f"epoch {engine.state.epoch}"
    except (FloatingPointError, OSError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"
    finally:
        dist.destroy_process_group()
    Path(f"{folder}/told{rank}").write_text(told)
