"""The world that the environment describes, and the exit code for the ends of the processes."""

import signal
from collections.abc import Mapping

import pytest
import torch

from eidolon.benchmark.engine.launch import ProcessWorld, end, find_world, is_follower
from eidolon.models.base.devices import choose_device
from eidolon.scorers.core.errors import UserError
from tests.benchmark.conftest import Cli

ACCELERATE = {"ACCELERATE_MIXED_PRECISION": "no"}


@pytest.mark.parametrize(
    ("environment", "asked", "world"),
    [
        ({}, None, ProcessWorld(0, 1, launched=False)),
        ({}, 3, ProcessWorld(0, 3, launched=False)),
        ({"WORLD_SIZE": "2", "RANK": "1"}, None, ProcessWorld(1, 2, launched=True)),
        ({"WORLD_SIZE": "2", "RANK": "0"}, 2, ProcessWorld(0, 2, launched=True)),
        ({"WORLD_SIZE": "1", "RANK": "0"}, None, ProcessWorld(0, 1, launched=True)),
        (ACCELERATE, None, ProcessWorld(0, 1, launched=True)),
        (ACCELERATE, 1, ProcessWorld(0, 1, launched=True)),
        ({"MASTER_PORT": "29500"}, None, ProcessWorld(0, 1, launched=False)),
    ],
)
def test_the_world_comes_from_the_environment_or_the_flag(
    environment: Mapping[str, str], asked: int | None, world: ProcessWorld
) -> None:
    assert find_world(asked, environment) == world
    assert is_follower(environment) == (world.rank > 0)


@pytest.mark.parametrize(
    ("environment", "asked", "message"),
    [
        ({"WORLD_SIZE": "2", "RANK": "1"}, 3, "--processes 3: the launcher started 2"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, 1, "--processes 1: the launcher started 2"),
        ({"WORLD_SIZE": "1", "RANK": "0"}, 2, "--processes 2: the launcher started 1"),
        (ACCELERATE, 2, "--processes 2: the launcher started 1"),
        (
            {**ACCELERATE, "MASTER_PORT": "1"},
            None,
            "accelerate launch: was told several processes and started",
        ),
        ({**ACCELERATE, "MASTER_PORT": "1"}, 2, "accelerate launch: was told several processes and started"),
        ({"WORLD_SIZE": "2"}, None, "environment variable RANK: expected a number"),
        ({"WORLD_SIZE": "two", "RANK": "0"}, None, "environment variable WORLD_SIZE: expected a number"),
    ],
)
def test_a_world_of_another_size_than_the_flag_is_refused(
    environment: Mapping[str, str], asked: int | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        find_world(asked, environment)


TERMINATED = 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("codes", "code", "message"),
    [
        ({0: 2}, 2, ""),
        ({0: 3, 1: -signal.SIGTERM}, 3, ""),
        ({1: -signal.SIGKILL, 0: TERMINATED}, 137, "error: process 1 of 3 was killed (SIGKILL); "),
        ({0: -signal.SIGKILL, 1: -signal.SIGTERM}, 137, "error: process 0 of 3 was killed (SIGKILL); "),
        ({2: 7, 0: TERMINATED}, 7, "error: process 2 of 3 ended with exit code 7; "),
        ({0: TERMINATED, 1: -signal.SIGTERM}, TERMINATED, ""),
    ],
)
def test_the_exit_code_is_that_of_the_failed_process(
    codes: dict[int, int], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end(codes, 3) == code
    err = capsys.readouterr().err
    assert err.startswith(message)
    assert err.count("\n") == bool(message)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("replay/{file}", "--processes 2: --model replay/"),
        ("openai/m@http://127.0.0.1:1/v1", "-M concurrency=N sends it more requests at once"),
        ("vllm/scenes-small", "-M tensor_parallel_size=N lets N GPUs share it"),
    ],
)
def test_models_that_need_no_processes_refuse_them(
    model: str, message: str, cli: Cli, replay_file: str
) -> None:
    done = cli("run", "--model", model.format(file=replay_file), "--processes", 2)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_number_of_processes_below_one_is_refused(cli: Cli) -> None:
    done = cli("run", "--processes", 0)
    assert done.code == 2
    assert "--processes 0: must be at least 1" in done.err


def test_each_process_of_a_machine_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "empty", lambda *size, device: None)
    assert str(choose_device("auto", "-M")) == "cuda"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert str(choose_device("auto", "-M")) == "cuda:1"
    assert chosen == [1]
    assert str(choose_device("cpu", "-M")) == "cpu"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(UserError, match=r"-M device=auto: 3 processes find 2 CUDA device\(s\) here"):
        choose_device("auto", "-M")
