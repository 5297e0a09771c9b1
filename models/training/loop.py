"""The training loop of all small models: seeded, resumable, on a CPU, a GPU or several GPUs."""

import json
import math
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any, Literal, TypeAlias

import jsonlines
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from eidolon.scorers.core.errors import UserError


class Restart(BaseModel):
    """Another cosine schedule of the learning rate (Loshchilov & Hutter 2017), from `step` on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    horizon: int = Field(ge=1)
    """Steps over which the rate falls; training may end before."""
    since: int | None = Field(None, ge=0)
    """The step of the peak; None: `step`. An earlier step extends the cosine that is in progress."""

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        return _cosine(
            self.learning_rate, step - (self.step if self.since is None else self.since), self.horizon
        )


Precision: TypeAlias = Literal["no", "bf16"]


class Schedule(BaseModel, ABC):
    """Length, learning rate and other settings of a training, for any model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    learning_rate: float = Field(1.5e-3, gt=0)
    warmup: int = Field(100, ge=0)
    """Steps of linear warm-up. A cosine down to a twentieth follows."""
    weight_decay: float = Field(0.02, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    horizon: int | None = Field(None, ge=1)
    """Steps over which the learning rate's cosine falls; None: all steps."""
    restarts: tuple[Restart, ...] = ()
    precision: Precision = "no"
    """`bf16`: matrix products in bfloat16, but weights, gradients and losses in float32."""
    save_every: int = Field(200, ge=1)

    @property
    @abstractmethod
    def steps(self) -> int:
        """Number of steps of the whole training."""

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        for restart in reversed(self.restarts):
            if step >= restart.step:
                return restart.learning_rate_at(step)
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        return _cosine(self.learning_rate, step - self.warmup, (self.horizon or self.steps) - self.warmup)


def _cosine(peak: float, step: int, steps: int) -> float:
    """Return the rate at a step of a cosine from the peak to a twentieth of it."""
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps)))))


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """Results of a training, for the model card."""

    steps: int
    seconds: float
    """Training time of all sessions."""
    loss: float
    """Mean loss of the last 100 steps, in nats per learned token."""
    parameters: int
    is_main_process: bool


class DivergedError(RuntimeError):
    """The loss of a step is not a finite number."""

    def __init__(self, step: int, seconds: float, parameters: int) -> None:
        super().__init__(f"the loss of step {step} is not a finite number")
        self.step, self.seconds, self.parameters = step, seconds, parameters


def train_loop(
    trainee: nn.Module,
    batch: Callable[[int, int, int], dict[str, Tensor]],
    config: Schedule,
    folder: Path,
    *,
    arguments: Callable[[int], Sequence[float]] = lambda step: (),
    reported: str = "language",
    stop_at: int | None = None,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
    stop: Callable[[int], bool] = lambda step: False,
    identity: Mapping[str, Any] | None = None,
) -> TrainingReport:
    """Train `trainee` in place, from where an earlier session in `folder` stopped.

    `trainee(batch(step, rank, world), *arguments(step))` returns losses by name, including `total`. The report has the
    loss with the name `reported`. `folder/state` is the state at the last save, `folder/log.jsonl` has the losses.
    With `stop_at` the training saves and stops after that number of steps, counted from the very first, and with
    `stop` after the step for which it returns true. `identity` is JSON:
    everything beside `config` that determines the weights.

    Raises:
        UserError: the folder has a training with another configuration or identity.
        DivergedError: a loss is not a finite number. Nothing of that step is saved.
    """
    # It logs at every save that tied weights are saved once.
    getLogger("accelerate.utils.other").setLevel(ERROR)
    accelerator = Accelerator(
        mixed_precision=config.precision,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in trainee.parameters() if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in trainee.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
    )
    wrapped, optimizer = accelerator.prepare(trainee, optimizer)
    state = folder / "state"
    made_by = {"config": config.model_dump(mode="json"), "identity": dict(identity or {})}
    step, seconds = _resume(accelerator, state, made_by)
    log = folder / "log.jsonl"
    if accelerator.is_main_process:
        _trim_log(log, step)
    wrapped.train()
    began = time.monotonic()
    last = min(config.steps, stop_at or config.steps)
    while step < last:
        inputs = batch(step, accelerator.process_index, accelerator.num_processes)
        inputs = {name: tensor.to(accelerator.device) for name, tensor in inputs.items()}
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate_at(step)
        losses = wrapped(inputs, *arguments(step))
        accelerator.backward(losses["total"])
        accelerator.clip_grad_norm_(wrapped.parameters(), config.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        values = {name: float(value.detach()) for name, value in losses.items()}
        if accelerator.is_main_process:
            _log(log, {"step": step, "seconds": seconds + time.monotonic() - began, **values})
            on_step(step, values)
        if not math.isfinite(values["total"]):
            parameters = sum(p.numel() for p in trainee.parameters())
            raise DivergedError(step, seconds + time.monotonic() - began, parameters)
        if stop(step):
            last = step
        if step % config.save_every == 0 or step == last:
            _save(accelerator, state, made_by, step, seconds + time.monotonic() - began)
    total = seconds + time.monotonic() - began
    accelerator.end_training()
    return TrainingReport(
        steps=step,
        seconds=total,
        loss=_last_loss(log, reported),
        parameters=sum(p.numel() for p in trainee.parameters()),
        is_main_process=accelerator.is_main_process,
    )


def _log(path: Path, line: dict[str, float]) -> None:
    with path.open("a") as file:
        file.write(
            json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in line.items()}) + "\n"
        )


def _read_log(path: Path) -> list[dict[str, float]]:
    """Return the lines of the log, without a line that was cut by a kill."""
    if not path.exists():
        return []
    with jsonlines.open(path) as file:
        return list(file.iter(type=dict, skip_invalid=True))


def _trim_log(path: Path, step: int) -> None:
    """Remove the steps after the last save, which will be repeated."""
    kept = [line for line in _read_log(path) if line["step"] <= step]
    with jsonlines.open(path, "w") as file:
        file.write_all(kept)


def _last_loss(path: Path, name: str) -> float:
    values = [line[name] for line in _read_log(path)[-100:] if name in line]
    return sum(values) / len(values) if values else math.nan


def _save(
    accelerator: Accelerator, state: Path, made_by: Mapping[str, Any], step: int, seconds: float
) -> None:
    """Write the new state beside the last one and swap them, so that a kill always leaves a complete one."""
    fresh = state.with_name("state.new")
    accelerator.save_state(str(fresh))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        progress = {"step": step, "seconds": seconds, **made_by}
        (fresh / "progress.json").write_text(json.dumps(progress))
        old = state.with_name("state.old")
        shutil.rmtree(old, ignore_errors=True)
        if state.exists():
            os.replace(state, old)
        os.replace(fresh, state)
        shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()


def _resume(accelerator: Accelerator, state: Path, made_by: Mapping[str, Any]) -> tuple[int, float]:
    if not state.exists() and state.with_name("state.old").exists():
        os.replace(state.with_name("state.old"), state)
    if not state.exists():
        return 0, 0.0
    progress = json.loads((state / "progress.json").read_text())
    if any(progress.get(name) != made for name, made in made_by.items()):
        raise UserError(
            f"{state}: is the training of another configuration; give another --out, or remove it"
        )
    accelerator.load_state(str(state))
    return int(progress["step"]), float(progress["seconds"])
