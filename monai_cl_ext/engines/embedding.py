# SPDX-License-Identifier: Apache-2.0
"""The evaluator of a pre-training stage: embeds held-out slices for the probes."""

from __future__ import annotations

from typing import Any

from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents
from torch import Tensor

from monai_cl_ext.methods import Method


class EmbeddingEvaluator(SupervisedEvaluator):
    """MONAI's evaluator whose output is the embedding of each slice beside its tags.

    ``engine.state.output`` is ``{"embeddings": (B,D), "projections": (B,P), "volume": (B,), "position": (B,),
    "partition": (B,)}``, on the device. Metrics of ``monai_cl_ext.metrics`` read it; MONAI's take an
    ``output_transform``.

    Args:
        method: its ``embed`` and ``project`` are evaluated, in evaluation mode and without gradient.
        kwargs: everything else that ``monai.engines.SupervisedEvaluator`` takes (device, val_data_loader, ...). Of what
            ``prepare_batch`` gives, the first is the image; by default that of the batch.
    """

    def __init__(self, method: Method, **kwargs: Any) -> None:
        super().__init__(network=method, decollate=False, **kwargs)

    def _iteration(self, engine: EmbeddingEvaluator, batchdata: dict[str, Tensor]) -> dict[str, Tensor]:
        """Embeddings and tags of one batch."""
        tags = {name: batchdata[name].to(engine.state.device) for name in ("volume", "position", "partition")}
        image, *_ = engine.prepare_batch(batchdata, engine.state.device, engine.non_blocking, **engine.to_kwargs)
        with engine.mode(engine.network):
            embeddings = engine.network.embed(image)
            projections = engine.network.project(embeddings)
        engine.state.output = {"embeddings": embeddings, "projections": projections, **tags}
        engine.fire_event(IterationEvents.FORWARD_COMPLETED)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output
