"""Loops that others write: Accelerate's and Lightning's take the steps of a plain loop, to the bit."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ngdnum import NGD, Gaussian
from support.networks import batch

torch.set_num_threads(1)
PRESETS = [NGD.fast, NGD.paper, NGD.sample_efficient]
likelihood = Gaussian()


@pytest.fixture
def accelerate() -> Iterator[ModuleType]:
    """Each test with a state of its own, since that of a process says how many passes make a step."""
    package = pytest.importorskip("accelerate")
    yield package
    package.state.AcceleratorState._reset_state(reset_partial_state=True)
    package.state.GradientState._reset_state()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def examples() -> DataLoader:
    return DataLoader(TensorDataset(batch(48, 4).float(), batch(48, 3, seed=1).float()), batch_size=8)


def plain(preset: Callable[..., NGD], passes: int = 1) -> tuple[nn.Module, NGD]:
    """A model after two epochs, one step for so many passes, and its optimizer."""
    model = network()
    optimizer = preset(model, likelihood)
    for _ in range(2):
        for i, (x, y) in enumerate(examples()):
            (likelihood(model(x), y) / passes).backward()
            if i % passes == passes - 1:
                optimizer.step()
                optimizer.zero_grad()
    return model, optimizer


def check_alike(model: nn.Module, optimizer: NGD, expected: tuple[nn.Module, NGD]) -> None:
    own, other = model.state_dict(), expected[0].state_dict()
    assert optimizer.steps == expected[1].steps > 0 and own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("preset", PRESETS)
def test_accelerate_takes_the_steps_of_a_plain_loop(
    preset: Callable[..., NGD], passes: int, accelerate: ModuleType
) -> None:
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=passes)
    own = network()
    ngd = preset(own, likelihood)
    model, optimizer, loader = accelerator.prepare(own, ngd, examples())
    for _ in range(2):
        for x, y in loader:
            with accelerator.accumulate(model):
                accelerator.backward(likelihood(model(x), y))
                optimizer.step()
                optimizer.zero_grad()
    check_alike(own, ngd, plain(preset, passes))


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """As if there were no torchvision: one of another build than torch cannot be imported, and Lightning would."""

    def version(name: str) -> str:
        if name == "torchvision":
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    found = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    return pytest.importorskip("lightning")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.filterwarnings("ignore")  # Lightning's own, of few workers and old names
def test_lightning_takes_the_steps_of_a_plain_loop(lightning: Any, preset: Callable[..., NGD], tmp_path: Path) -> None:
    """Its closure calls `zero_grad` and `backward` itself, after the forward pass."""

    class Digits(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = network()

        def training_step(self, rows: tuple[Tensor, Tensor], i: int) -> Tensor:
            x, y = rows
            return likelihood(self.model(x), y)

        def configure_optimizers(self) -> Any:
            return preset(self.model, likelihood)

    module = Digits()
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, examples())
    check_alike(module.model, trainer.optimizers[0], plain(preset))
