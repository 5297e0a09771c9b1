"""`eidolon memory bench` on two untrained checkpoints, from measurements to table, and how it finds checkpoints."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jsonschema import validate
from PIL import Image
from rich.console import Console

from eidolon.benchmark import json_schemas
from eidolon.benchmark.scenes.memory_training import memory_recipe
from eidolon.benchmark.scenes.scene import make_scene, render
from eidolon.benchmark.scenes.text import describe
from eidolon.benchmark.study.memory import bench, measure
from eidolon.benchmark.study.memory.archive import SUFFIX, write_archive
from eidolon.benchmark.study.memory.bench import other_rules, run_bench
from eidolon.benchmark.study.memory.checkpoints import find_checkpoints, variant_name
from eidolon.benchmark.study.memory.cost import attention_length, bytes_per_sequence, measure_cost
from eidolon.benchmark.study.memory.measurements import BenchSettings, folder_name
from eidolon.benchmark.study.memory.plots import PLOTS
from eidolon.benchmark.study.memory.records import MemoryStudy
from eidolon.benchmark.study.memory.table import show
from eidolon.benchmark.tasks.forget.dependency.series import spell
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Request
from eidolon.models.base.shipped import EYE, MEMORY_CHECKPOINTS
from eidolon.models.memory.building import MemoryArchitecture, make_memory_model
from eidolon.models.memory.configuration import MemoryTextConfig
from eidolon.models.memory.layout import Memory, Symbol
from eidolon.models.memory.modeling import MemoryTextModel
from eidolon.models.probing.teacher_forcing import leading_space
from eidolon.scorers.core.errors import UserError
from tests.benchmark.conftest import Cli

SETTINGS = BenchSettings(
    limit=9, descriptions=12, lengths=(16, 40), max_new_tokens=24, usual_words=(20, 30), long_words=(40, 50)
)


def save(folder: Path, symbol: Symbol, seed: int) -> Path:
    """A random model of one layer, with a recipe of the study."""
    memory = Memory(layout=(symbol,), window=12, store=4, heads=2)
    model, processor = make_memory_model(
        MemoryArchitecture(memory=memory, layer_parameters=90_000), MEMORY_CHECKPOINTS / EYE, seed
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "recipe.json").write_text(memory_recipe(memory, seed).model_dump_json())
    return folder


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trainings")
    save(folder / "attention-1" / "checkpoint", "*", 1)
    save(folder / "bm-1" / "checkpoint", "BM", 1)
    (folder / "batches").mkdir()
    return folder


@pytest.fixture(scope="module")
def study(trainings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MemoryStudy]:
    out = tmp_path_factory.mktemp("study")
    return out, run_bench([str(trainings)], out, SETTINGS, resamples=100)


def test_the_file_matches_its_schema(study: tuple[Path, MemoryStudy]) -> None:
    out, found = study
    told = json.loads((out / "memory.json").read_text())
    validate(told, json_schemas.read("memory"))
    assert MemoryStudy.model_validate(told) == found
    assert "scenes(objects=3-10,size=96,seed=0)" in found.signature
    assert found.registered == 9


def test_every_variant_has_a_row(study: tuple[Path, MemoryStudy]) -> None:
    _, found = study
    labels = [variant.variant for variant in found.variants]
    assert labels == ["*", "BM(window=12,store=4)", *labels[2:]]
    assert [variant.filled_by for variant in found.variants] == [None, None, "random", "recent"]
    attention, bm, *others = found.variants
    for variant in (attention, bm):
        assert variant.trained_tokens is not None
        assert variant.size is not None
        assert variant.size.parameters_match
        assert {p.condition for p in variant.retention} >= {"filler", "before"}
    assert [text.whole.nats.value is None for text in attention.texts] == [False] * 3
    assert set(attention.scores) == {"precision", "recall", "f05", "chair_i", "chair_s", "words", "truncated"}
    assert bm.not_reported is not None, "its untrained predictor predicts nothing"
    assert (bm.scores, bm.texts) == ({}, ())
    for variant in others:
        assert variant.size is None
        assert {p.condition for p in variant.retention} == {"filler"}
        assert not variant.scores
    assert bm.size is not None
    assert attention.size is not None
    assert attention.size.attention_tokens_of_same_bytes[1024] == pytest.approx(1024)
    assert attention.size.bytes_at[8192] > 7 * attention.size.bytes_at[1024]
    assert bm.size.bytes_at[8192] == bm.size.bytes_at[1024]
    assert bm.size.bytes_per_token == 0
    assert set(bm.size.speed_to_attention) == set(bm.size.bytes_at)


def test_nats_equal_those_of_a_single_forward_pass(study: tuple[Path, MemoryStudy], trainings: Path) -> None:
    """The reference is read without a cache, and log-probabilities are summed over all tokens and over names."""
    out, _ = study
    (folder,) = (out / "checkpoints").glob("A-s1-*")
    lines = [json.loads(line) for line in (folder / "readings.jsonl").read_text().splitlines()]
    (line,) = (one for one in lines if one["image_id"] == 2 and one["generation"] == 1)
    columns = np.array(line["blocks"]).sum(axis=0)
    scene = make_scene(0, 2, SETTINGS.dials)
    text = describe(scene, scene.rng("bench reference"), SETTINGS.usual_words)
    model = TransformersModel(str(trainings / "attention-1" / "checkpoint"))
    inputs = dict(model.prepare([Request("2", 2, render(scene), SETTINGS.prompt)]))
    request = Request("2", 2, render(scene), SETTINGS.prompt)
    tokens = spell(model, text, leading_space(model, request)).tokens
    start = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([tokens])], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        logits = model.model(**inputs, use_cache=False).logits[0].double()
    nats = [-float(logits[start + i - 1].log_softmax(dim=-1)[token]) for i, token in enumerate(tokens)]
    assert columns[0] == len(tokens)
    assert columns[1] == pytest.approx(sum(nats), rel=1e-5)
    # Every object of the scene has one first mention.
    assert columns[4] == len(scene.objects)
    assert min(nats) <= columns[5] / columns[4] <= max(nats)


def test_plots_and_table(study: tuple[Path, MemoryStudy], capsys: pytest.CaptureFixture[str]) -> None:
    out, found = study
    drawn = {path.name for path in out.glob("*.png")}
    assert drawn == set(PLOTS)
    for name in drawn:
        assert Image.open(out / name).size[0] > 700
    show(found, Console(width=160))
    printed = capsys.readouterr().out
    assert "Sizes" in printed
    assert "Retention" in printed
    assert "BM(window=12,store=4)" in printed


def test_archives_give_the_same_study_without_weights(
    study: tuple[Path, MemoryStudy], trainings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, found = study
    for one in find_checkpoints([str(trainings)]):
        folders = {
            rule: out / "checkpoints" / folder_name(one, SETTINGS, rule) for rule in (None, *other_rules(one))
        }
        for name in ("first", "second"):
            (tmp_path / name).mkdir(exist_ok=True)
            write_archive(tmp_path / name / f"{one.variant[:2]}-1{SUFFIX}", one, SETTINGS, folders)
    first, second = (
        [file.read_bytes() for file in sorted((tmp_path / n).iterdir())] for n in ("first", "second")
    )
    assert first == second

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(measure._Bench, "__init__", refuse)
    again = run_bench([str(tmp_path / "first")], tmp_path / "study", SETTINGS, resamples=100)
    assert again.comparisons == found.comparisons
    assert again.versions == found.versions
    for one, other in zip(again.variants, found.variants, strict=True):
        assert one.model_copy(update={"size": None}) == other.model_copy(update={"size": None})
        if other.size is not None:
            assert one.size is not None
            assert one.size.bytes_at == other.size.bytes_at
            assert one.size.text_parameters == other.size.text_parameters
    with pytest.raises(UserError, match=r"BM-1\.measured\.zip: was measured with limit 9, not 8"):
        run_bench(
            [str(tmp_path / "first" / f"BM-1{SUFFIX}")],
            tmp_path / "other",
            SETTINGS.model_copy(update={"limit": 8}),
            resamples=100,
        )
    broken = tmp_path / f"broken{SUFFIX}"
    broken.write_bytes(first[0][:200])
    with pytest.raises(UserError, match=r"broken\.measured\.zip: is not an archive of measurements"):
        find_checkpoints([str(broken)])
    with pytest.raises(UserError, match=r"is not a folder, and its name does not end with \.measured\.zip"):
        find_checkpoints([str(trainings / "bm-1" / "checkpoint" / "config.json")])


def test_finished_measurements_are_not_repeated(
    study: tuple[Path, MemoryStudy], trainings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = study
    before = (out / "memory.json").read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(measure._Bench, "__init__", refuse)
    monkeypatch.setattr(bench, "measure_cost", refuse)
    run_bench([str(trainings)], out, SETTINGS, resamples=100)
    assert (out / "memory.json").read_bytes() == before
    with pytest.raises(AssertionError, match="measured again"):
        run_bench([str(trainings)], out, SETTINGS.model_copy(update={"seed": 1}), resamples=100)


def test_checkpoints_are_found(trainings: Path) -> None:
    found = find_checkpoints([str(trainings)])
    assert [(one.variant, one.seed, one.trained_words) for one in found] == [
        ("*", 1, 300),
        ("BM(window=12,store=4)", 1, 300),
    ]
    (named,) = find_checkpoints([f"mine={trainings / 'bm-1'}"])
    assert (named.variant, named.name) == ("mine", "mine-s1")
    with pytest.raises(UserError, match=r"BM.*seed 1: given more than once"):
        find_checkpoints([str(trainings), str(trainings / "bm-1" / "checkpoint")])
    with pytest.raises(UserError, match="holds no checkpoint"):
        find_checkpoints([str(trainings / "batches")])
    with pytest.raises(UserError, match="neither a folder nor a shipped variant"):
        find_checkpoints(["nothing-of-that-name"])
    with pytest.raises(UserError, match=r"mine: .* have different memories"):
        find_checkpoints([f"mine={trainings}"])
    odd = trainings / "a=b"
    odd.symlink_to(trainings / "bm-1")
    assert [one.variant for one in find_checkpoints([str(odd)])] == ["BM(window=12,store=4)"]
    odd.unlink()
    with pytest.raises(UserError, match="the name before = is missing"):
        find_checkpoints([f"={trainings}"])


@pytest.mark.parametrize(
    ("memory", "name"),
    [
        (Memory(layout=("*",) * 4, heads=2), "attention"),
        (Memory(layout=("BM",) * 4, heads=2), "bm"),
        (Memory(layout=("BM",) * 4, heads=2, store=64), "bm(store=64)"),
        (Memory(layout=("BM",) * 4, heads=2, selection="recent"), "bm(selection=recent)"),
        # Sizes that a layer does not have make no difference.
        (Memory(layout=("GDN",) * 4, heads=2, store=64, window=9, selection="recent"), "gdn"),
        (Memory(layout=("GDN", "GDN", "GDN", "*"), heads=2), "hybrid"),
        (Memory(layout=("GDN", "BMF"), heads=2, fading="M2"), "GDN-BMF(fading=M2)"),
    ],
)
def test_names_of_variants(memory: Memory, name: str) -> None:
    assert variant_name(memory) == name


def test_bytes_follow_the_number_of_tokens() -> None:
    memory = Memory(layout=("*", "*"), heads=2, head_dim=8, window=48)

    def model(layout: tuple[Symbol, ...]) -> MemoryTextModel:
        changed = memory.model_copy(update={"layout": layout})
        return MemoryTextModel(
            MemoryTextConfig.of(changed, hidden_size=16, intermediate_size=8, vocab_size=50)
        ).eval()

    full, window = model(("*", "*")), model(("SWA", "SWA"))
    # For each of two layers: keys and values of two heads of 8 in float32, a flag for each token, and a counter.
    assert bytes_per_sequence(full, 100) == 2 * (100 * (2 * 2 * 8 * 4 + 1) + 8)
    costs = measure_cost({"full": full, "window": window}, (32, 64, 128))
    assert costs["full"].bytes_at == {n: 2 * (n * 129 + 8) for n in (32, 64, 128)}
    assert len(set(costs["window"].bytes_at.values())) == 1
    assert attention_length(costs["window"].bytes_at[128], memory, 16, "float32") == pytest.approx(48)
    half = window.to(torch.bfloat16)
    assert attention_length(bytes_per_sequence(half, 128), memory, 16, "bfloat16") == pytest.approx(48)
    assert all(ms > 0 for cost in costs.values() for ms in cost.ms_per_token.values())


def test_wrong_options_are_reported_in_one_line(cli: Cli, tmp_path: Path) -> None:
    for arguments, told in (
        (("nowhere", "--out", tmp_path), "neither a folder nor a shipped variant"),
        (("nowhere", "--lengths", "16,x", "--out", tmp_path), "--lengths '16,x'"),
        (("nowhere", "--lengths", "100000000", "--out", tmp_path), "must be whole numbers from 1 to 100000,"),
        (
            ("gdn", "--limit", "8", "--descriptions", "7", "--out", tmp_path),
            "--descriptions 7: must be --limit (8)",
        ),
        (
            ("gdn", "--seed", "1001", "--out", tmp_path),
            "--seed 1001: gdn-s1 was trained on scenes of this seed; give another one",
        ),
    ):
        result = cli("memory", "bench", *arguments)
        assert result.code == 2
        assert told in result.err
        assert "Traceback" not in result.err


def test_more_scenes_are_described_than_asked_about(study: tuple[Path, MemoryStudy]) -> None:
    out, found = study
    folder = sorted((out / "checkpoints").glob("BM*-s1-*"))[0]

    def images(name: str) -> set[int]:
        return {json.loads(line)["image_id"] for line in (folder / name).read_text().splitlines()}

    assert images("responses.jsonl") == set(range(12))
    assert images("questions.jsonl") == images("readings.jsonl") == set(range(9))
    assert found.settings.descriptions == 12
    with pytest.raises(ValueError, match="fewer than the 9 scenes"):
        BenchSettings(limit=9, descriptions=8)


def test_a_new_process_makes_the_model_of_an_archive() -> None:
    """In this one other tests have registered the configurations."""
    archive = Path(__file__).parents[4] / f"results/memory/study/gdn-lr0.003-seed1{SUFFIX}"
    code = (
        "import sys\n"
        "from eidolon.benchmark.study.memory.archive import untrained_text_model\n"
        "from eidolon.benchmark.study.memory.checkpoints import find_checkpoints\n"
        "(trained,) = find_checkpoints(sys.argv[1:])\n"
        "print(len(untrained_text_model(trained).layers))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(archive)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr
