"""Compares a round of ReFusion's meta-learning with the way published meta-learning code computes it.

A round is the inner update of the fusion module, the evaluator's own step, and the outer update of the loss proposal
module with Adam; `refusion.meta` on the default networks. All variants compute the same outer loss and the same
gradient of the proposal module; the script checks this in float64, on images of 16x16, and exits with 1 otherwise. In
float32 the order of summation affects the gradient, which is a second derivative; the script prints by how much.

- ``published``: the reference, in `benchmarks/plain_refusion.py`. Its plain layers hold every parameter twice. The
  inner loss runs ``backward(create_graph=True)``, which builds graphs for the gradients of all parameters, including
  those of the proposal module, which are never differentiated; a loop over the layers then takes the step. The outer
  loss runs ``backward()``, which computes the gradients of all three networks and discards two of them.
- ``plugin, released``: `refusion.meta` with ``arithmetic: released``, the same order of operations inside the layers.
  It shows the gain from the form of the algorithm alone.
- ``plugin, fused``: `refusion.meta` with its defaults.

Rounds are interleaved. Ratios, which depend less on the machine, are computed from medians and from minima. ``CPU
time`` is that of all threads of the process; other work on the machine affects it least. Peak memory is what one round
adds in a separate process: to the largest resident set on a CPU, to the allocated memory on a GPU.

Run: python benchmarks/meta_step.py [--size N] [--batch N] [--inner-steps N] [--repeats N] [--threads N]
     [--device DEVICE] [--profile]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from typing import Any, Literal, Protocol

import plain_refusion as plain
import torch
from times import TIMES_HEAD, times_beside
from torch import Tensor, nn

from fusekit.interfaces import Batch, BuildContext, LossProposal, Sources
from fusekit.model.assembly import Builder
from fusekit.model.system import FusionSystem
from fusekit.recipe.schema import TrainSection
from fusekit.training.fusion_loss import FusionLoss, gradient_strength
from fusekit.training.trainer import Trainer
from fusekit_refusion.config import MetaConfig, NetworkConfig, ProposerConfig, ReconstructionConfig
from fusekit_refusion.meta import MetaLearning
from fusekit_refusion.network import FusionNetwork
from fusekit_refusion.proposer import LossProposalModule
from fusekit_refusion.reconstruction import ReconstructionModule

RATE = 1e-3  # learning rate of the inner step, the evaluator's step and Adam
ROLES = ("infrared", "visible")
REFERENCE = "published"
TOLERANCE = 1e-5  # largest relative difference of outer loss and gradient
EXACT_SIZE = 16  # height and width of the images in float64, whose convolutions are slow

Arithmetic = Literal["fused", "released"]


class Images:
    """Placeholder data that the trainer is constructed with; rounds are given their batches directly."""

    batches_per_epoch = 1

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        raise NotImplementedError


class Way(Protocol):
    """A variant that computes rounds; ``gradient`` is the proposal module's gradient in the last round."""

    gradient: Tensor

    def round(self, meta_train: Batch, meta_test: Batch) -> float:
        """Computes a round and returns the outer loss."""
        ...


def networks(arithmetic: Arithmetic, device: torch.device, dtype: torch.dtype) -> FusionSystem:
    """The three networks at their default sizes, with initial weights from a fixed seed."""
    torch.manual_seed(0)
    context = BuildContext(roles=ROLES)
    return FusionSystem(
        FusionNetwork(NetworkConfig(arithmetic=arithmetic)),
        proposer=LossProposalModule(ProposerConfig(arithmetic=arithmetic), context),
        reconstruction=ReconstructionModule(ReconstructionConfig(arithmetic=arithmetic), context),
        roles=ROLES,
    ).to(device, dtype)


class Plugin:
    """The variant that runs `refusion.meta`."""

    def __init__(self, arithmetic: Arithmetic, inner_steps: int, device: torch.device, dtype: torch.dtype) -> None:
        strategy = MetaLearning(MetaConfig(inner_steps=inner_steps), Builder(ROLES, None).context)
        section = TrainSection.model_validate(
            {"strategy": {"use": "refusion.meta"}, "optimiser": {"name": "adam", "lr": RATE}}
        )
        trainer = Trainer(networks(arithmetic, device, dtype), strategy, Images(), section, device=device)
        strategy.setup(trainer)
        self.strategy = strategy
        self.plan = trainer.plan[0]
        self.gradient = watch(strategy.update_proposer.optimiser, self)

    def round(self, meta_train: Batch, meta_test: Batch) -> float:
        return self.strategy.step(self.plan, [meta_train, meta_test]).losses["outer"]


class Published:
    """The reference: two copies of every parameter, and backward passes over all networks."""

    def __init__(self, inner_steps: int, device: torch.device, dtype: torch.dtype) -> None:
        source = networks("released", device, dtype)
        self.inner_steps = inner_steps
        self.fusion_loss = FusionLoss(MetaConfig().loss, Builder(ROLES, None).context)
        self.fusion = plain.FusionNetwork(NetworkConfig()).to(device, dtype)
        self.proposer = plain.Proposer(ProposerConfig(), len(ROLES)).to(device, dtype)
        self.evaluator = plain.Reconstruction(ReconstructionConfig(), len(ROLES)).to(device, dtype)
        self.all = (self.fusion, self.proposer, self.evaluator)
        for copy, part in zip(self.all, (source.backbone, source.proposer, source.reconstruction), strict=True):
            assert part is not None
            plain.copy_weights(part, copy)
        self.optimiser = torch.optim.Adam(self.proposer.parameters(), lr=RATE)
        self.gradient = watch(self.optimiser, self)

    def round(self, meta_train: Batch, meta_test: Batch) -> float:
        # The inner update.
        proposal = LossProposal(self.proposer(meta_train.sources))
        images = []
        for _ in range(self.inner_steps):
            images.append(self.fusion(meta_train.sources))
            self.fusion_loss(images[-1], meta_train.sources, proposal).total.backward(create_graph=True)
            for layer in plain.doubled(self.fusion):
                layer.adapt(RATE, graph=True)
        # The evaluator's step. Its parameters do not change, so that `reset` restores it.
        self.evaluator_loss(images[0].detach(), meta_train.sources).backward()
        for layer in plain.doubled(self.evaluator):
            layer.adapt(RATE, graph=False)
        self.forget_gradients()
        # The outer update.
        outer = self.evaluator_loss(self.fusion(meta_test.sources), meta_test.sources)
        outer.backward()
        self.optimiser.step()
        self.forget_gradients()
        for network in self.all:
            for layer in plain.doubled(network):
                layer.reset()
        return outer.item()

    def evaluator_loss(self, fused: Tensor, sources: Sources) -> Tensor:
        """L_rec of the reconstruction objective."""
        total = fused.new_zeros(())
        for found, source in zip(self.evaluator(fused), sources, strict=True):
            total = total + ((found - source) ** 2).mean()
            total = total + (gradient_strength(found) - gradient_strength(source)).abs().mean()
        return total

    def forget_gradients(self) -> None:
        """Releases the gradients, and with them the graphs of the inner update's gradients."""
        for network in self.all:
            network.zero_grad(set_to_none=True)


def watch(optimiser: torch.optim.Optimizer, way: Way) -> Tensor:
    """Copies the gradient of every optimiser step to ``way.gradient``; returns its initial value, an empty tensor."""

    def keep(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        parameters: list[nn.Parameter] = [p for group in optimiser.param_groups for p in group["params"]]
        way.gradient = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])

    optimiser.register_step_pre_hook(keep)
    return torch.empty(0)


def make(name: str, inner_steps: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Way:
    """The variant of the given name."""
    if name == REFERENCE:
        return Published(inner_steps, device, dtype)
    return Plugin("fused" if name == "plugin, fused" else "released", inner_steps, device, dtype)


NAMES = (REFERENCE, "plugin, released", "plugin, fused")


def batches(size: int, batch: int, device: torch.device, dtype: torch.dtype = torch.float32) -> tuple[Batch, Batch]:
    """Meta-train and meta-test batch: random images, the same for all data types."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, len(ROLES), batch, 1, size, size, generator=generator).to(device, dtype)
    return Batch(tuple(images[0])), Batch(tuple(images[1]))


def largest_difference(options: argparse.Namespace, size: int, device: torch.device, dtype: torch.dtype) -> float:
    """Prints the differences between the variants on images of the given size, and returns the largest one."""
    data = batches(size, options.batch, device, dtype)
    reference = make(REFERENCE, options.inner_steps, device, dtype)
    expected = reference.round(*data)
    differences = []
    for name in NAMES[1:]:
        way = make(name, options.inner_steps, device, dtype)
        loss = abs(way.round(*data) / expected - 1)
        gradient = float((way.gradient - reference.gradient).norm() / reference.gradient.norm())
        what = f"{str(dtype)[6:]}, {size}x{size}"
        print(f"  {what:<18} {name:<18} outer loss {loss:.1e}   proposal module's gradient {gradient:.1e}")
        differences += [loss, gradient]
    return max(differences)


def wait_for(device: torch.device) -> None:
    """Waits until a GPU has finished; returns at once for a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


Times = dict[str, list[float]]
"""Seconds of every round, by variant."""


def seconds(options: argparse.Namespace, device: torch.device) -> tuple[Times, Times]:
    """Wall time and CPU time of every variant, interleaved, after one warm-up round each."""
    data = batches(options.size, options.batch, device)
    ways = {name: make(name, options.inner_steps, device) for name in NAMES}
    wall: Times = {name: [] for name in NAMES}
    cpu: Times = {name: [] for name in NAMES}
    for repeat in range(options.repeats + 1):
        for name, way in ways.items():
            wait_for(device)
            began, used = time.perf_counter(), time.process_time()
            way.round(*data)
            wait_for(device)
            if repeat > 0:
                wall[name].append(time.perf_counter() - began)
                cpu[name].append(time.process_time() - used)
    return wall, cpu


def resident_peak() -> int:
    """Largest resident set of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def print_peak(options: argparse.Namespace, device: torch.device) -> None:
    """Prints how many bytes the first round of this size adds to peak memory; runs in a separate process."""
    way = make(options.peak_of, options.inner_steps, device)
    way.round(*batches(16, options.batch, device))  # warm-up: libraries load their code and allocate their buffers
    data = batches(options.size, options.batch, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        way.round(*data)
        print(torch.cuda.max_memory_allocated(device) - before)
    else:
        before = resident_peak()
        way.round(*data)
        print(resident_peak() - before)


def peak_memory(name: str, arguments: list[str]) -> int:
    """Peak memory of a variant, in bytes."""
    command = [sys.executable, __file__, *arguments, "--peak-of", name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_profile(options: argparse.Namespace, device: torch.device) -> None:
    """Prints the operators that take most time in a round of each variant."""
    data = batches(options.size, options.batch, device)
    for name in NAMES:
        way = make(name, options.inner_steps, device)
        way.round(*data)
        with torch.profiler.profile() as profile:
            way.round(*data)
        print(f"\n{name}")
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=16, max_name_column_width=48))


def main() -> None:
    """Compares the results, then prints time and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=2, help="images per batch")
    parser.add_argument("--inner-steps", type=int, default=1, help="steps of the inner update")
    parser.add_argument("--repeats", type=int, default=9, help="timed rounds of each variant")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads on the CPU")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--profile", action="store_true", help="print the operators that take most time")
    parser.add_argument("--peak-of", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device: torch.device = options.device
    if options.peak_of is not None:
        print_peak(options, device)
        return

    # Memory is measured first, because on Linux a child's largest resident set starts at its parent's.
    arguments = [f"--size={options.size}", f"--batch={options.batch}", f"--inner-steps={options.inner_steps}"]
    arguments += [f"--device={device}", f"--threads={options.threads}"]
    peaks = {name: peak_memory(name, arguments) for name in NAMES}

    parts = networks("fused", device, torch.float32).parts()
    print(f"a round: batch {options.batch}, {options.size}x{options.size}, inner steps {options.inner_steps}; ", end="")
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    print("parameters: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items()))
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, {options.repeats} repeats")

    print(f"\nrelative differences from {REFERENCE}")
    largest_difference(options, options.size, device, torch.float32)
    difference = largest_difference(options, EXACT_SIZE, device, torch.float64)

    wall, cpu = seconds(options, device)
    columns = f"{TIMES_HEAD} {'peak memory':>13} {'ratio':>7}"
    print(f"\n{'':<18} {columns}")
    for name in NAMES:
        print(
            f"{times_beside(REFERENCE, name, wall, cpu)} "
            f"{peaks[name] / 2**20:9.0f} MiB {peaks[name] / peaks[REFERENCE]:7.2f}"
        )
    if options.profile:
        print_profile(options, device)
    if difference > TOLERANCE:
        sys.exit(f"\nthe variants differ by {difference:.1e}, more than {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
