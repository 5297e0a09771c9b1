"""Doctor and `--task forget` on tiny random checkpoints of every hybrid family of the installed transformers.

`test_architectures` loads the same checkpoints, and compares answers alone with answers in a padded batch.
"""

import math
from typing import Any

import pytest

from tests.models.beside_torchvision import beside_torchvision
from tests.models.tiny_hybrids import HYBRIDS

NAMES = [architecture.name for architecture in HYBRIDS]
WITHOUT_RECURRENT_STATE = ("lfm2_vl", "inkling")
"""Their recurrent layers are short convolutions, which keep inputs and no sum."""
INVARIANCE = ("length", "determinism", "batch", "padding", "image order", "image", "seeds")
SCENES = 2


@pytest.fixture(scope="session")
def examined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return beside_torchvision("tests.models.hybrid_checks", NAMES, tmp_path_factory)


@pytest.fixture
def found(name: str, examined: dict[str, Any]) -> dict[str, Any]:
    assert "failed" not in examined[name], examined[name]["failed"]
    one: dict[str, Any] = examined[name]
    return one


def test_every_hybrid_is_examined(examined: dict[str, Any]) -> None:
    assert list(examined) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_doctor_finds_what_the_page_says(name: str, found: dict[str, Any]) -> None:
    checks = {check["name"]: check for check in found["doctor"]["checks"]}
    assert {checks[check]["verdict"] for check in INVARIANCE} == {"ok"}
    for check in ("batch", "padding"):
        assert checks[check]["equal"] == checks[check]["n"] == SCENES
        assert checks[check]["figures"]["noise"] < 1e-4
    states = "none" if name in WITHOUT_RECURRENT_STATE else "float32"
    assert checks["precision"]["figures"] == {"weights": "float32", "states": states}
    assert checks["prefix cache"]["verdict"] == "not applicable"


@pytest.mark.parametrize("name", NAMES)
def test_doctor_sees_that_the_connector_is_random(name: str, found: dict[str, Any]) -> None:
    weights = next(check for check in found["doctor"]["checks"] if check["name"] == "weights")
    assert weights["figures"] == {"unused": 0}
    assert (weights["verdict"], found["doctor_code"]) == ("differs", 3)
    assert "looks untrained" in weights["detail"]


@pytest.mark.parametrize("name", NAMES)
def test_forget_measures_all_that_it_asks(name: str, found: dict[str, Any]) -> None:
    assert found["forget_code"] == 0, found["forget_error"]
    assert found["run"]["status"] == "success"
    assert not found["run"]["usage"], "no batch had to be taken apart"
    stages = found["stages"]
    assert set(stages) == {"responses", "retention", "pdm", "orders", "attention"}
    assert [row["error"] for row in stages["responses"]] == [None] * SCENES
    [retention] = found["retention"]
    # Noise names no object, and may be shorter than 8 tokens when it is read again.
    reasons = {one["condition"]: one["reason"] for one in retention["missing"]}
    assert reasons.pop("other").startswith("no other description is long enough and names")
    assert reasons in ({}, {"own": "the description is shorter"})
    asked = {(context["condition"], context["n"]) for context in stages["retention"]}
    assert asked == {(None, 0), ("own", 8), ("filler", 8), ("before", 8)}
    answers = [answer for context in stages["retention"] for answer in context["answers"]]
    assert answers
    assert all(math.isfinite(answer[key]) for answer in answers for key in ("log_yes", "log_no"))
    assert len(stages["pdm"]) == SCENES
    assert all(0 < value <= 1 for row in stages["pdm"] for value in row["hellinger"])
    assert all(row["response"].startswith(row["given"]) for row in stages["orders"])


@pytest.mark.parametrize("name", NAMES)
def test_attention_on_the_picture_is_read_or_left_out_with_a_reason(name: str, found: dict[str, Any]) -> None:
    rows = found["stages"]["attention"]
    assert len(rows) == SCENES
    if name == "inkling":
        assert all("its attention does not reach over the whole text" in row["left_out"] for row in rows)
    else:
        assert all(row["mass"] and row["picture_tokens"] > 0 for row in rows)
        assert all(0 < mass < 1 for row in rows for mass in row["mass"])
