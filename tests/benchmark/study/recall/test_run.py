"""`eidolon memory mqar`: models learn, resume and are measured, and memories are compared."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from jsonschema import validate
from scipy import stats

from eidolon.benchmark import json_schemas
from eidolon.benchmark.cli import invoke
from eidolon.benchmark.study.recall import model as recall_model
from eidolon.benchmark.study.recall import run as mqar
from eidolon.benchmark.study.recall.detail import (
    KindRecall,
    MemorySummary,
    MqarDetail,
    TrainedRecallModel,
    contrast,
    summarise,
)
from eidolon.benchmark.study.recall.model import find_right, make_batch, make_model, make_test, train_model
from eidolon.benchmark.study.recall.plot import mqar_figure
from eidolon.benchmark.study.recall.recipe import RecallCell, RecallRecipe, RecallTraining, study_cells
from eidolon.benchmark.study.recall.run import choose_cells, run_cell, run_mqar
from eidolon.benchmark.study.recall.task import RecallEstimate, Task, measure_recall
from eidolon.scorers.core.errors import UserError

TINY = RecallRecipe(
    task=Task(keys=8, values=8, filler_tokens=4),
    pairs=(1, 2),
    fillers=("none", "predictable"),
    width=16,
    inner=16,
    window=4,
    batch_size=8,
    steps=6,
    test_sequences=5,
)
BM = RecallCell.model_validate({"layout": "BM", "store": 3, "selection": "innovation", "seed": 0})


def attention(seed: int = 0) -> RecallCell:
    return RecallCell.model_validate({"layout": "*", "seed": seed})


def test_attention_learns_to_recall(tmp_path: Path) -> None:
    recipe = TINY.model_copy(
        update={
            "pairs": (2,),
            "fillers": ("none",),
            "width": 32,
            "batch_size": 32,
            "steps": 250,
            "learning_rate": 1e-2,
        }
    )
    model = make_model(recipe, recipe.memory(attention()), 0)
    test = make_test(recipe.task, 2, "none", 100)
    before = measure_recall(find_right(model, test))
    train_model(model, recipe, recipe.training(0), tmp_path)
    after = measure_recall(find_right(model, test))
    assert before is not None
    assert after is not None
    assert before.value < 0.3
    assert after.value > 0.9


def test_a_training_that_was_killed_ends_at_the_same_weights(tmp_path: Path) -> None:
    training = RecallTraining(length=9, save_every=4, warmup=2, learning_rate=5e-3)

    class KilledError(Exception):
        pass

    def kill(step: int, losses: dict[str, float]) -> None:
        if step == 6:
            raise KilledError

    whole = make_model(TINY, TINY.memory(BM), 0)
    train_model(whole, TINY, training, tmp_path / "whole")
    with pytest.raises(KilledError):
        train_model(make_model(TINY, TINY.memory(BM), 0), TINY, training, tmp_path / "cut", kill)
    resumed = make_model(TINY, TINY.memory(BM), 0)
    train_model(resumed, TINY, training, tmp_path / "cut")
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_the_answers_are_the_likeliest_tokens_after_the_queries() -> None:
    model = make_model(TINY, TINY.memory(BM), 3)
    test = make_test(TINY.task, 2, "predictable", 7)
    found = find_right(model, test, batch_size=3)
    for i, tokens in enumerate(torch.from_numpy(test.tokens)):
        for j, query in enumerate(test.queries[i]):
            # The tokens up to the query, read alone.
            logits, _ = model.answer(tokens[None, : query + 1], torch.tensor([[query]]))
            assert found[i, j] == (int(logits.argmax()) == int(tokens[query + 1]))


@pytest.mark.parametrize("layout", ["*", "M2", "GDN", "GKA", "BMF"])
def test_memories_start_with_similarity_matching(layout: str) -> None:
    model = make_model(TINY, TINY.memory(RecallCell.model_validate({"layout": layout})), 0)
    block = model.language.model.layers[0].memory
    if block.attends:
        assert torch.equal(block.query.weight, block.key_value.weight[:16])
    if block.fading is not None:
        convolved = block.fading.convolution
        x = torch.randn(1, 6, convolved.weight.shape[0])
        assert torch.equal(convolved(x, None, None)[0], torch.nn.functional.silu(x))


def test_losses_are_of_the_answers_and_of_the_predictors() -> None:
    model = make_model(TINY, TINY.memory(BM), 0)
    batch = make_batch(TINY, 0)
    losses = model(batch)
    logits, prediction = model.answer(batch["tokens"], batch["queries"])
    expected = -np.mean(
        [
            float(logits[i, j].detach().log_softmax(-1)[batch["tokens"][i, query + 1]])
            for i in range(len(batch["tokens"]))
            for j, query in enumerate(batch["queries"][i].tolist())
        ]
    )
    assert losses["language"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["total"].item() == pytest.approx(expected + 0.01 * prediction.item(), rel=1e-5)
    losses["total"].backward()
    predictor = model.language.model.layers[0].memory.predictor.convolution.weight
    assert predictor.grad is not None
    assert predictor.grad.abs().sum() > 0
    assert "prediction" not in make_model(TINY, TINY.memory(attention()), 0)(batch)


def test_a_window_alone_cannot_answer_from_beyond_it() -> None:
    cell = RecallCell.model_validate({"layout": "SWA", "seed": 0})
    model = make_model(TINY, TINY.memory(cell), 0)
    tokens = torch.arange(20)[None] % TINY.task.vocabulary
    query = torch.tensor([[19]])
    logits, _ = model.answer(tokens, query)
    # The oldest token of the window, 16, also has the embedding of 15. Token 14 is out of reach.
    for place, reached in ((14, False), (15, True)):
        changed = tokens.clone()
        changed[0, place] = 7
        assert (not torch.equal(model.answer(changed, query)[0], logits)) == reached


def test_all_models_see_the_same_batches_of_every_kind() -> None:
    recipe = TINY.model_copy(update={"steps": 40, "growing": 0.5})
    shapes = [tuple(make_batch(recipe, step)["tokens"].shape) for step in range(40)]
    assert set(shapes[:10]) == {(8, 4), (8, 8)}, "one pair at first"
    assert set(shapes[10:]) == {(8, 4), (8, 8), (8, 16)}
    assert recipe.model_copy(update={"growing": 0.0}).pairs_at(0) == (1, 2)
    for name, tensor in make_batch(TINY, 5).items():
        assert torch.equal(tensor, make_batch(TINY, 5)[name])


def test_state_bytes_count_the_cache() -> None:
    sizes = {
        layout: make_model(TINY, TINY.memory(RecallCell.model_validate({"layout": layout})), 0).state_bytes
        for layout in ("*", "SWA", "GDN")
    }
    # Keys and values of 2 heads of 8 numbers in 4 bytes, a byte for padding, and a count.
    assert sizes["*"](10) == 10 * (2 * 2 * 8 * 4 + 1) + 8
    assert sizes["SWA"](10) == sizes["SWA"](100) == 4 * (2 * 2 * 8 * 4 + 1) + 8
    assert sizes["GDN"](10) == sizes["GDN"](100) == 2 * 8 * 8 * 4 + 3 * 3 * 16 * 4 + 8


COMMAND = [
    "memory",
    "mqar",
    "--layout",
    "SWA",
    "--layout",
    "BM",
    "--store",
    "4",
    "--seed",
    "0",
    "--seed",
    "1",
]


def test_the_command_writes_results_and_repeats_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqar, "RecallRecipe", lambda: TINY)
    out = tmp_path / "out"
    command = [*COMMAND, "--steps", "3", "--sequences", "4", "--out", str(out)]
    assert invoke([*command[:10], *command[12:]]) == 0
    partial = json.loads((out / "mqar.json").read_text())
    assert invoke(command) == 0
    found = json.loads((out / "mqar.json").read_text())
    validate(found, json_schemas.read("mqar"))
    assert len(found["models"]) == 4
    assert partial != found
    assert [(model["layout"], model["store"], model["seed"]) for model in found["models"]] == [
        (["SWA"], None, 0), (["SWA"], None, 1), (["BM"], 4, 0), (["BM"], 4, 1),
    ]  # fmt: skip
    for model in found["models"]:
        assert [(kind["filler"], kind["pairs"]) for kind in model["kinds"]] == [
            ("none", 1), ("none", 2), ("predictable", 1), ("predictable", 2),
        ]  # fmt: skip
    (row,) = [
        row for row in found["summary"] if (row["label"], row["filler"], row["pairs"]) == ("SWA", "none", 2)
    ]
    values = [model["kinds"][1]["recall"]["value"] for model in found["models"][:2]]
    assert (row["lowest"], row["highest"]) == (min(values), max(values))
    assert row["mean"] == pytest.approx(sum(values) / 2, abs=1e-4)
    assert {row["label"] for row in found["summary"]} == {"SWA"}, (
        "after three steps a predictor predicts nothing"
    )
    assert (out / "mqar.png").read_bytes().startswith(b"\x89PNG")

    def fail(*arguments: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(recall_model, "train_model", fail)
    before = (out / "mqar.json").read_bytes()
    assert invoke(command) == 0
    assert (out / "mqar.json").read_bytes() == before
    assert invoke([*COMMAND, "--steps", "5", "--sequences", "4", "--out", str(out)]) == 2


def test_a_training_that_diverges_ends_alone(tmp_path: Path) -> None:
    """It is not reported and not trained again, and the others are."""
    wild = TINY.model_copy(update={"learning_rate": 1e30})
    run_cell(wild, attention(), tmp_path / "runs" / attention().slug)
    detail = run_mqar(tmp_path, ["*"], None, None, [0], recipe=wild)
    (one,) = detail.models
    assert (one.loss, one.kinds, detail.summary) == (None, (), ())
    assert one.refused is not None
    assert one.refused.endswith("is not a finite number")
    assert (tmp_path / "mqar.png").exists()


@pytest.mark.parametrize(
    ("label", "best"),
    [("*", "SWA recalls 0.50"), ("GDN-*", "SWA recalls 0.50"), ("GDN-GDN", "GDN-GDN recalls 1.00")],
)
def test_only_memories_without_full_attention_are_bounded(label: str, best: str) -> None:
    row = MemorySummary(label=label, seeds=(0,), filler="none", pairs=2, mean=1, lowest=1, highest=1)
    rows = (row, row.model_copy(update={"label": "SWA", "mean": 0.5}))
    figure = mqar_figure(MqarDetail.model_construct(recipe=TINY, summary=rows))
    texts = [text.get_text() for text in figure.texts]
    assert any(f"Of 2 pairs, {best}, the most of the memories of bounded size" in text for text in texts), (
        texts
    )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"{}"])
def test_an_unreadable_run_is_reported(tmp_path: Path, content: bytes) -> None:
    run_cell(TINY.model_copy(update={"steps": 1}), BM, tmp_path / "runs" / BM.slug)
    (tmp_path / "runs" / BM.slug / "result.json").write_bytes(content)
    with pytest.raises(UserError, match=r"BM-3-0: cannot be read; remove it"):
        run_mqar(tmp_path, ["BM"], [3], None, [0], steps=1, recipe=TINY)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--layout", "GDM"], "--layout 'GDM': symbol 0 of 'GDM' is 'GDM', which is not a memory"),
        (["--layout", "GDN", "--store", "4"], "--store: no layout has a store; name one with BM"),
        (["--layout", "*", "--selection", "random"], "--selection: no layout has a store; name one with BM"),
        (["--selection", "latest"], "--selection 'latest': unknown; known: innovation, random, recent"),
        (["--selection", "recnt"], "--selection 'recnt': unknown"),
        (["--seed", "-1"], "--seed -1: must be at least 0; see eidolon memory mqar --help"),
        (
            ["--seed=99999999999"],
            "--seed 99999999999: must be at most 4294967295; see eidolon memory mqar --help",
        ),
        (["--store", "1e3"], "--store 1e3: must be an integer; see eidolon memory mqar --help"),
        (["--layout", "BM", "--store", "99999999"], "--store 99999999: must be at most 16384"),
    ],
)
def test_mistakes_are_reported_before_training(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["memory", "mqar", *options, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_a_user_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert invoke(["memory", "mqar", "--out", str(tmp_path / "file" / "out")]) == 2
    assert "Not a directory" in capsys.readouterr().err


def test_the_options_choose_the_cells() -> None:
    assert choose_cells(None, None, None, None) == study_cells()
    assert len({cell.slug for cell in study_cells()}) == len(study_cells()) == 36
    asked = choose_cells(["GDN-BM", "*"], [4, 8], ["innovation", "recent"], [1])
    assert [cell.label for cell in asked] == [
        "GDN-BM 4", "GDN-BM 4 recent", "GDN-BM 8", "GDN-BM 8 recent", "*",
    ]  # fmt: skip
    assert [cell.label for cell in choose_cells(None, None, ["random"], [0])] == ["BM 16 random"]
    assert study_cells((0,))[0].slug == "attention-0"


def _trained(
    layout: str, store: int | None, seed: int, recall: float, r_squared: float | None = 0.5
) -> TrainedRecallModel:
    value = RecallEstimate(value=recall + seed / 1000, ci=None, queries=1)
    return TrainedRecallModel.model_validate(
        {
            "layout": layout, "store": store, "selection": "innovation" if store else None, "seed": seed,
            "parameters": 1, "state_bytes": 1, "loss": 0.0,
            "predictor_r_squared": (r_squared,) if store and r_squared is not None else None,
            "kinds": [
                KindRecall(filler=filler, pairs=pairs, recall=value, by_distance=())
                for filler in TINY.fillers for pairs in TINY.pairs
            ],
        }
    )  # fmt: skip


def test_a_claim_is_decided_by_t_over_at_least_five_seeds() -> None:
    models = [
        *(_trained("GDN", None, seed, 0.5) for seed in range(5)),
        *(_trained("BMF", None, seed, 0.1 + seed**2 / 500) for seed in range(5)),
        *(_trained("BM", 4, seed, 0.5 + (seed - 2) / 10) for seed in range(5)),
    ]
    found = {(row.claim, row.filler): row for row in contrast(TINY, models)}
    assert {claim for claim, _ in found} == {"BMF over GDN", "BM 4 over BMF", "BM 4 over GDN"}
    row = found["BM 4 over BMF", "none"]
    differences = [0.4 + (seed - 2) / 10 - seed**2 / 500 for seed in range(5)]
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (row.said, row.seeds, row.pairs, row.reason) == ("holds", (0, 1, 2, 3, 4), 2, None)
    assert row.by_seed == pytest.approx(differences, abs=1e-4)
    assert row.ci == pytest.approx((interval.low, interval.high), abs=1e-4)
    assert found["BMF over GDN", "none"].said == "reversed"
    assert found["BM 4 over GDN", "none"].said == "undecided"
    three = [model for model in models if model.seed < 3]
    for row in contrast(TINY, three):
        assert (row.said, row.ci, row.reason) == ("undecided", None, "3 seeds, and 5 are needed")


def test_a_claim_about_a_store_that_is_not_filled_by_surprise_is_undecided() -> None:
    models = [
        *(_trained("BMF", None, seed, 0.1) for seed in range(5)),
        *(_trained("BM", 4, seed, 0.9, r_squared=0.1 if seed == 3 else 0.9) for seed in range(5)),
    ]
    for row in contrast(TINY, models):
        assert (row.said, row.by_seed, row.difference, row.ci) == ("undecided", (), None, None)
        assert row.reason is not None
        assert "R² below 0.2" in row.reason
    assert {row.label for row in summarise(models)} == {"BMF"}
