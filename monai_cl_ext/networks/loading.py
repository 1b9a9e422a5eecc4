# SPDX-License-Identifier: Apache-2.0
"""Loads pre-trained weights into a network, and checks that they arrived."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from monai_cl_ext.arguments import one_of, probability
from monai_cl_ext.names import first_names
from monai_cl_ext.networks.checkpoint import WRAPPERS, equal_tensors, read_state, refuse_not_finite
from monai_cl_ext.networks.published import Published, published_weights
from monai_cl_ext.networks.stages import stages
from monai_cl_ext.networks.weight_notes import noted_trained_blocks

logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)

REMEDY = (
    "check that the network is built with the arguments of the pre-trained one, name a prefix of the file's names in"
    " prefixes, or lower minimum"
)


@dataclass(frozen=True)
class LoadReport:
    """What a load found, tensor by tensor, for the part of the network that was asked for.

    Attributes:
        matched: the network's tensors that were loaded.
        missing: those that the source does not hold.
        shapes: for each mismatched tensor its shape in the source and in the network.
        unused: the source's tensors that went nowhere.
        left_out: published tensors that the network has no use for, such as heads; this and the rest belong to presets.
        inflated: first convolutions that were changed to the network's channels, and how.
        interpolated: position embeddings that were changed to the network's grid, and how.
        notes: what else was changed.
        differences: what the network computes otherwise than the published one, though all tensors fit.
    """

    matched: list[str]
    missing: list[str]
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    unused: list[str]
    left_out: list[str] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)
    interpolated: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def mismatched(self) -> list[str]:
        """The tensors that the source holds in another shape; they were left alone."""
        return list(self.shapes)

    @property
    def fraction(self) -> float:
        """Matched tensors over all tensors of the part, 0 to 1."""
        return len(self.matched) / max(1, len(self.matched) + len(self.missing) + len(self.mismatched))

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing) + len(self.mismatched)
        shapes = [f"{name} {found} for {expected}" for name, (found, expected) in self.shapes.items()]
        lists = {
            "missing": self.missing, "of another shape": shapes, "unused": self.unused, "left out": self.left_out,
            "inflated": self.inflated, "interpolated": self.interpolated,
        }  # fmt: skip
        parts = [f"{len(names)} {kind} ({first_names(names)})" for kind, names in lists.items() if names]
        return "; ".join([f"{len(self.matched)} of {total} tensors matched", *parts, *self.notes, *self.differences])


def load_pretrained(
    net: nn.Module,
    path_or_state: str | Path | Mapping[str, Any],
    *,
    part: str = "all",
    blocks: int | None = 0,
    prefixes: Mapping[str, str] | Collection[str] = WRAPPERS,
    exclude: Collection[str] = (),
    buffers: bool = True,
    minimum: float = 1.0,
    preset: str = "",
) -> LoadReport:
    """Copies weights into ``net`` where names and shapes agree; nothing is written unless enough of them do.

    A name of the source that the network does not have is tried again without its leading ``prefixes``. The counter
    ``num_batches_tracked`` of batch normalization is loaded when there, and never counted.

    Args:
        net: the network; of a DataParallel, DistributedDataParallel or compiled one, what it wraps is loaded into.
        path_or_state: checkpoint file, or state_dict; wrappings such as ``{"model": ...}`` are opened.
        part: ``"all"``, or ``"encoder"`` as :func:`~monai_cl_ext.networks.stages.stages` knows it.
        blocks: with ``"encoder"``, also the first ``blocks`` decoder blocks, counted from the bottleneck; None takes
            those that the file says were pre-trained (``SaveWeights(blocks=...)`` notes them), none where it does not.
        prefixes: prefixes of the source's names to take off, again and again; or a mapping to what replaces each.
        exclude: submodules or tensors of the network that are left alone and not counted, such as its last layer.
        buffers: whether running statistics are loaded; without, they are left alone and not counted (GCL's release).
        minimum: fraction of the part's tensors that must match.
        preset: kind of published file, a name of ``PRESETS``; empty for the network's own names. Only what such
            files hold counts. Channels of the first convolution and grids of position embeddings may differ.

    Returns:
        The report, which is also logged; as a warning where it is not whole, or the network computes otherwise.

    Raises:
        FileNotFoundError, ImportError: see :func:`~monai_cl_ext.networks.checkpoint.read_content`.
        TypeError: when the class of ``net`` is unknown, to ``part`` or to ``preset``.
        ValueError: when the file cannot be read or is not of ``preset``, ``exclude`` names nothing, two tensors fit one
            name, none or fewer than ``minimum`` match, one is not finite or of integers, or ``net`` is on "meta".
    """
    net, minimum = _unwrapped(net), probability("minimum", minimum)
    where = "the given state" if isinstance(path_or_state, Mapping) else str(path_or_state)
    published = published_weights(net, path_or_state, preset) if preset else None
    source = read_state(path_or_state) if published is None else published.state
    if blocks is None:
        blocks = noted_trained_blocks(source) if part == "encoder" else 0
        logger.info("%s: %d decoder blocks were pre-trained", where, blocks)
    wanted = _wanted(net, _part_prefixes(net, part, blocks), _listed(exclude), buffers, published)
    renamed = _renamed(source, net.state_dict().keys(), _mapping(prefixes, preset), where)
    fitting = {name: [renamed[alias] for alias in aliases if alias in renamed] for name, aliases in wanted.items()}
    report = _compare(net.state_dict(), source, fitting, published)
    if not report.matched or report.fraction < minimum:
        raise ValueError(
            f"{where} does not fit {type(net).__name__} (part {part!r}): {report}; at least {minimum:.0%} must match:"
            f" {REMEDY if published is None else published.remedy}; name what is meant to differ in exclude"
        )
    chosen = {name: names[0] for name, names in fitting.items() if names and name not in report.shapes}
    _copy(source, net, chosen, where)
    level = logging.INFO if report.fraction == 1 and not report.differences else logging.WARNING
    logger.log(level, "%s -> %s (part %r): %s", where, type(net).__name__, part, report)
    return report


def with_pretrained(
    net: Network, path: str | Path | None, load: Callable[..., object] = load_pretrained, **arguments: Any
) -> Network:
    """The network with the weights of ``path`` loaded, or untouched where ``path`` is empty; for use in a config.

    Args:
        net: the network.
        path: checkpoint file; None or an empty string loads nothing.
        load: called with both; ``load_backbone`` reads other files. It says what else is raised.
        arguments: its others.

    Raises:
        ValueError: when a ``preset`` is named and no file.
    """
    if path is None or not str(path).strip():
        if arguments.get("preset"):
            raise ValueError(
                f"preset {arguments['preset']!r} (weights in a bundle) says how a file is read, and no file is named:"
                " give its path (pretrained in a bundle), or leave the preset out"
            )
        logger.info("%s: no pre-trained weights asked for", type(net).__name__)
    else:
        load(net, path, **arguments)
    return net


def _copy(source: Mapping[str, Tensor], net: nn.Module, chosen: Mapping[str, str], where: str) -> None:
    """Writes the chosen tensors, of each the network's name and the source's; none where one is not finite."""
    own = net.state_dict()
    whole = [name for name, alias in chosen.items() if _is_real(own[name]) and not _is_real(source[alias])]
    if whole:
        raise ValueError(
            f"{where}: expected floats, found {source[chosen[whole[0]]].dtype} in {first_names(whole)}; nothing was "
            "loaded. These are no weights, or quantized ones: take the file that was saved before quantization"
        )
    refuse_not_finite(where, {alias: _as_loaded(source[alias], own[name]) for name, alias in chosen.items()})
    with torch.no_grad():
        for name, alias in chosen.items():
            own[name].copy_(source[alias])


def _as_loaded(tensor: Tensor, own: Tensor) -> Tensor:
    """In the network's number type, in which large numbers may overflow; an integer would hide that it was NaN."""
    return tensor.to(own.dtype) if _is_real(own) else tensor


def _is_real(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _unwrapped(net: nn.Module) -> nn.Module:
    """The network itself, out of the wrappers of torch that put a prefix before its names; none on the meta device."""
    inner = net.module if isinstance(net, (nn.DataParallel, DistributedDataParallel)) else None
    inner = getattr(net, "_orig_mod", inner)  # torch.compile's, whose class takes seconds to import
    if isinstance(inner, nn.Module):
        return _unwrapped(inner)
    empty = [name for name, tensor in net.state_dict().items() if isinstance(tensor, Tensor) and tensor.is_meta]
    if empty:
        raise ValueError(
            f"{type(net).__name__} is on the meta device, which holds no values, in {first_names(empty)}: build it on "
            "another, or call net.to_empty(device='cpu') before"
        )
    return net


def _part_prefixes(net: nn.Module, part: str, blocks: int) -> list[str] | None:
    """Names of the submodules of a part; None for the whole network."""
    if one_of("part", part, ("all", "encoder")) == "all":
        if blocks:
            raise ValueError(f"blocks belongs to part='encoder', found {blocks!r} with part='all'")
        return None
    seen = stages(net)
    if not 0 <= blocks <= len(seen.block_prefixes):
        raise ValueError(f"blocks must be from 0 to {len(seen.block_prefixes)}, found {blocks!r}")
    return [*seen.encoder_prefixes, *(name for names in seen.block_prefixes[:blocks] for name in names)]


def _wanted(
    net: nn.Module, prefixes: list[str] | None, exclude: Collection[str], buffers: bool, published: Published | None
) -> dict[str, list[str]]:
    """The tensors to load: the first name of each, with all its names (DynUNet registers its blocks twice)."""
    state = {name: tensor for name, tensor in net.state_dict(keep_vars=True).items() if isinstance(tensor, Tensor)}
    for entry in exclude:
        if not any(_within(name, [entry]) for name in state):
            raise ValueError(
                f"exclude names {entry!r}, which {type(net).__name__} does not have; it has {first_names(state, 8)}"
            )
    names: dict[int, list[str]] = {}
    for name, tensor in state.items():
        if buffers or isinstance(tensor, nn.Parameter):
            names.setdefault(id(tensor), []).append(name)
    return {
        aliases[0]: aliases
        for aliases in names.values()
        if (prefixes is None or any(_within(name, prefixes) for name in aliases))
        and not any(_within(name, exclude) for name in aliases)
        and (published is None or published.filled.intersection(aliases))
    }


def _mapping(prefixes: Mapping[str, str] | Collection[str], preset: str) -> Mapping[str, str]:
    """What is put for each prefix; a preset has renamed the tensors already."""
    if preset:
        if prefixes is not WRAPPERS:
            raise ValueError(
                f"preset {preset!r} knows the prefixes of its files: leave prefixes out, found {prefixes!r}"
            )
        return {}
    return prefixes if isinstance(prefixes, Mapping) else dict.fromkeys(_listed(prefixes), "")


def _renamed(
    source: Mapping[str, Tensor], own: Collection[str], mapping: Mapping[str, str], where: str
) -> dict[str, str]:
    """For each of the network's names that the source holds, the source's name of it."""
    found: dict[str, str] = {}
    for name, tensor in source.items():
        target = _own_name(name, own, mapping)
        if target is None:
            continue
        if target in found and not equal_tensors(source[found[target]], tensor):
            raise ValueError(
                f"{where}: both {found[target]!r} and {name!r} of the source fit {target!r}:"
                " give prefixes that leave one of them, such as {'student.': ''}"
            )
        found[target] = name
    return found


def _own_name(name: str, own: Collection[str], mapping: Mapping[str, str]) -> str | None:
    if name in own:
        return name
    for old, new in mapping.items():
        if old != new and name.startswith(old):
            # what only takes off may act again; a replacement acts once, or it could go round for ever
            rest = {key: value for key, value in mapping.items() if key != old} if new else mapping
            target = _own_name(new + name[len(old) :], own, rest)
            if target is not None:
                return target
    return None


def _compare(
    own: Mapping[str, Tensor],
    source: Mapping[str, Tensor],
    fitting: Mapping[str, list[str]],
    published: Published | None,
) -> LoadReport:
    counted = [name for name in fitting if not name.endswith("num_batches_tracked")]
    present = [name for name in counted if fitting[name]]
    shapes = {name: (tuple(source[fitting[name][0]].shape), tuple(own[name].shape)) for name in present}
    shapes = {name: (found, expected) for name, (found, expected) in shapes.items() if found != expected}
    report = LoadReport(
        matched=[name for name in present if name not in shapes],
        missing=[name for name in counted if not fitting[name]],
        shapes=shapes,
        unused=sorted(source.keys() - set(chain.from_iterable(fitting.values()))),
    )
    if published is None:
        return report
    changes = {
        name: getattr(published, name) for name in ("left_out", "inflated", "interpolated", "notes", "differences")
    }
    return replace(report, **changes)


def _within(name: str, prefixes: Collection[str]) -> bool:
    return any(name == prefix or name.startswith(prefix.rstrip(".") + ".") for prefix in prefixes)


def _listed(names: Collection[str]) -> Collection[str]:
    return [names] if isinstance(names, str) else names
