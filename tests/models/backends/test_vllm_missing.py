"""If vLLM is not installed, or broken, the error is one line."""

import sys

import pytest

from eidolon.models.backends.registry import load_model
from eidolon.scorers.core import distribution
from eidolon.scorers.core.errors import UserError


def test_vllm_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"--model vllm/.*: needs the package vllm; pip install 'eidolon-bench\[vllm\]'"
    ):
        load_model("vllm/scenes-small")


def test_vllm_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match="the installed vllm cannot be imported"):
        load_model("vllm/scenes-small")


def test_a_name_is_checked_before_anything_is_loaded() -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_model("vllm/no/such/folder")
