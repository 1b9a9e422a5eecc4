# SPDX-License-Identifier: Apache-2.0
"""NT-Xent by the contrastive kernel, by one matmul with cross-entropy, and by MONAI: time and peak extra memory.

Run ``python benchmarks/contrastive_kernel.py`` (``--json FILE`` also writes the figures). One call is forward and
backward on N = 2B rows of D features in float32.

- Time: after one call to warm up, the forms take turns, so that a busy machine slows all of them; medians are shown.
  Other busy processes still distort them: threads that wait for each other lose their turn (OMP_WAIT_POLICY=passive
  softens it). Take figures for the record on an idle machine.
- Memory: each case has a process of its own, warmed up on 32 rows; the highest resident memory during one call, less
  the resident memory before it (Linux resets that mark through /proc/self/clear_refs). On a GPU: the allocator's peak.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cl_ext.losses import NTXentLoss

TEMPERATURE = 0.1
MONAI_UP_TO = 1024  # its (N, N, D) intermediate grows past a workstation's memory beyond
TARGETS = {
    "time at N=8192 / matmul form": (lambda r: ratio(r, 8192, "kernel", "matmul", "seconds"), "<=", 1.05),
    "memory at N=8192 / matmul form": (lambda r: ratio(r, 8192, "kernel", "matmul", "mebibytes"), "<=", 0.15),
    "speed at B=512 over MONAI": (lambda r: ratio(r, 1024, "monai", "kernel", "seconds"), ">=", 100),
    "memory of MONAI at B=512 / kernel": (lambda r: ratio(r, 1024, "monai", "kernel", "mebibytes"), ">=", 20),
}


def matmul_form(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """What a few lines of torch give: all similarities at once."""
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = z @ z.T / temperature
    logits.fill_diagonal_(-torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z), device=z.device).roll(len(z1)))


def form(name: str, temperature: float = TEMPERATURE) -> Callable[[Tensor, Tensor], Tensor]:
    if name == "kernel":
        return NTXentLoss(temperature)
    if name == "matmul":
        return lambda z1, z2: matmul_form(z1, z2, temperature)
    from monai.losses import ContrastiveLoss

    return ContrastiveLoss(temperature=temperature)


def embeddings(rows: int, features: int, device: str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(rows // 2, features, generator=generator).to(device).requires_grad_(),
        torch.randn(rows // 2, features, generator=generator).to(device).requires_grad_(),
    ]


def call(loss: Callable[[Tensor, Tensor], Tensor], views: list[Tensor]) -> tuple[float, float]:
    """Loss and gradient norm of one forward and backward pass."""
    for view in views:
        view.grad = None
    value = loss(*views)
    value.backward()
    return value.item(), torch.cat([view.grad for view in views]).norm().item()  # type: ignore[misc]


def times(names: list[str], rows: int, options: argparse.Namespace) -> dict[str, float]:
    """Median seconds of each form, the forms taking turns until the repeats or the patience are used up."""
    views = embeddings(rows, options.features, options.device)
    losses = {name: form(name) for name in names}
    spent: dict[str, list[float]] = {name: [] for name in names}
    values = {name: call(loss, views) for name, loss in losses.items()}
    reference = values["matmul"]
    for name, value in values.items():
        if not torch.allclose(torch.tensor(value), torch.tensor(reference), rtol=1e-3):
            raise RuntimeError(f"{name} gives loss and gradient norm {value} at {rows} rows, matmul gives {reference}")
    for _ in range(options.repeats):
        for name, loss in losses.items():
            if sum(spent[name]) < options.patience:
                start = time.perf_counter()
                call(loss, views)
                spent[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in spent.items()}


def resident(field: str) -> float:
    """A figure of /proc/self/status in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def peak_of_this_process(name: str, rows: int, options: argparse.Namespace) -> float:
    """MiB that one call needs beyond the embeddings."""
    loss = form(name)
    call(loss, embeddings(32, options.features, options.device))
    views = embeddings(rows, options.features, options.device)
    if options.device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call(loss, views)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    call(loss, views)
    return resident("VmHWM") - before


def peak(name: str, rows: int, options: argparse.Namespace) -> float:
    arguments = ["--features", options.features, "--threads", options.threads, "--device", options.device]
    command = [sys.executable, __file__, "--peak-of", name, "--rows", rows, *arguments]
    return float(subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout)


def finite_at_low_temperature(name: str, options: argparse.Namespace) -> bool:
    loss, gradient = call(form(name, 0.005), embeddings(256, options.features, options.device))
    return loss < float("inf") and gradient < float("inf")


def ratio(results: list[dict], rows: int, above: str, below: str, figure: str) -> float | None:
    by_name = {result["form"]: result[figure] for result in results if result["rows"] == rows}
    return by_name[above] / max(by_name[below], 1 / 1024) if above in by_name and below in by_name else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192, 16384])
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--patience", type=float, default=30, help="seconds after which a form is not repeated again")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--peak-of", choices=["kernel", "matmul", "monai"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak_of:
        print(peak_of_this_process(options.peak_of, options.rows[0], options))
        return

    results = []
    load = os.getloadavg()[0]
    print(
        f"{options.device}, {options.threads} threads; {load:.1f} processes were busy on {os.cpu_count()} cores before"
    )
    print(f"{'rows':>6} {'form':>7} {'ms':>10} {'MiB':>9}")
    for rows in options.rows:
        names = ["kernel", "matmul"] + ["monai"] * (rows <= MONAI_UP_TO)
        seconds = times(names, rows, options)
        for name in names:
            results.append(
                {"rows": rows, "form": name, "seconds": seconds[name], "mebibytes": peak(name, rows, options)}
            )
            print(f"{rows:6} {name:>7} {seconds[name] * 1e3:10.2f} {results[-1]['mebibytes']:9.1f}", flush=True)
    finite = {name: finite_at_low_temperature(name, options) for name in ("kernel", "matmul", "monai")}
    print("finite at temperature 0.005:", finite)
    targets = {}
    for question, (answer, sense, bound) in TARGETS.items():
        value = answer(results)
        if value is not None:
            met = value <= bound if sense == "<=" else value >= bound
            targets[question] = {"value": value, "target": f"{sense} {bound}", "met": met}
            print(f"{question}: {value:.3g} (target {sense} {bound}) {'met' if met else 'MISSED'}")
    if options.json:
        machine = torch.cuda.get_device_name() if options.device == "cuda" else f"{platform.machine()} CPU"
        about = {
            "machine": machine,
            "torch": torch.__version__,
            "threads": options.threads,
            "features": options.features,
        }
        options.json.write_text(
            json.dumps(about | {"results": results, "finite": finite, "targets": targets}, indent=2)
        )


if __name__ == "__main__":
    main()
