"""The recipe of the memory study, and the command that trains a model by it."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoProcessor

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.scenes import dialogue, dialogue_training
from eidolon.benchmark.scenes.dialogue import Mixture, make_dialogue
from eidolon.benchmark.scenes.dialogue_training import training_samples
from eidolon.benchmark.scenes.memory_training import LONG_WORDS, ORDER, VARIANTS, MemoryRecipe, memory_recipe
from eidolon.benchmark.scenes.scene import Dials, make_scene
from eidolon.benchmark.study.training.memory import batches_key
from eidolon.benchmark.tasks.forget.retention.lengths import trained_words
from eidolon.models.base.shipped import CHECKPOINTS, EYE, MEMORY_CHECKPOINTS
from eidolon.models.memory.layout import Memory


def test_variants_differ_only_in_their_layout() -> None:
    recipes = [memory_recipe(Memory(layout=layout), 3) for layout in VARIANTS.values()]
    shared = [
        recipe.model_dump(exclude={"name": True, "architecture": {"memory": {"layout"}}})
        for recipe in recipes
    ]
    assert all(one == shared[0] for one in shared)
    first, last = (training_samples(recipe, 6) for recipe in (recipes[0], recipes[-1]))
    assert first(1, 7).turns == last(1, 7).turns


def test_the_seed_affects_only_the_weights() -> None:
    one, other = (memory_recipe(Memory(layout="*"), seed) for seed in (1, 2))
    assert training_samples(one, 6)(0, 5).turns == training_samples(other, 6)(0, 5).turns
    assert (one.training.seed, other.training.seed) == (1, 2)
    assert one.training.order == other.training.order == ORDER


def test_batches_are_shared_by_models_with_the_same_data(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = AutoProcessor.from_pretrained(MEMORY_CHECKPOINTS / EYE)

    def key(eye: str = "eye", order: int = ORDER, seed: int = 1, steps: int = 500, **memory: object) -> str:
        sizes = Memory.model_validate({"layout": "BM", **memory})
        recipe = memory_recipe(sizes, seed, steps=(steps, 400, 500), order=order)
        return batches_key(recipe, eye, processor)

    usual = key()
    assert usual == key(seed=2) == key(layout="*") == key(window=5, selection="random")
    assert len({usual, key(eye="other"), key(order=7), key(steps=499)}) == 4
    with monkeypatch.context() as changed:
        changed.setattr(dialogue_training, "CLOSED_WEIGHT", 5.0)
        assert key() != usual, "other code makes other batches"
    # Few dialogues have such filler.
    monkeypatch.setattr(dialogue, "_scramble", lambda text, rng: text.upper())
    assert key() != usual


def test_a_shipped_model_s_recipe_can_be_trained_again(tmp_path: Path) -> None:
    recipe = MEMORY_CHECKPOINTS / "gdn" / "recipe.json"
    assert invoke(["train", str(recipe), "--out", str(tmp_path / "again"), "--steps", "1"]) == 0
    first = (tmp_path / "again" / "log.jsonl").read_text()
    command = ["train", "memory", "--layout", "gdn", "--seed", "1", "--steps", "1"]
    assert invoke([*command, "--batches", str(tmp_path / "kept"), "--out", str(tmp_path / "other")]) == 0

    def losses(text: str) -> dict[str, float]:
        told = json.loads(text)
        return {name: value for name, value in told.items() if name != "seconds"}

    assert losses(first) == losses((tmp_path / "other" / "log.jsonl").read_text())
    assert invoke([*command, "--window", "7", "--out", str(tmp_path / "other")]) == 2


def test_lists_of_names_have_as_many_absent_as_present_ones() -> None:
    mixture = Mixture(description=0, caption=0, questions=0, filler=0, other=0, names=1)
    for index in range(30):
        scene = make_scene(3, index, Dials())
        turn = make_dialogue(scene, np.random.default_rng(index), mixture)[-1]
        listed = turn.ask.removeprefix("Which of these are here: ").removesuffix("?").split(", ")
        assert [name for name, _ in turn.about] == listed
        assert {name for name, there in turn.about if there} == set(scene.objects)
        assert len(listed) == 2 * len(scene.objects) == len(set(listed))
        assert turn.answer.removesuffix(".").split(", ") == [name for name in listed if name in scene.objects]


def test_presence_is_asked_where_a_name_ends() -> None:
    sample = training_samples(memory_recipe(Memory(layout="*"), 1), 6)
    seen = 0
    for index in range(40):
        for turn in sample(0, index).turns:
            ends = [end for end, _ in turn.presence]
            assert ends == sorted(ends)
            seen += len(ends)
            for end in ends:
                assert turn.ask[end - 1].isalpha()
                assert not turn.ask[end : end + 1].isalpha()
    assert seen > 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memory"], "--layout: name a variant (attention, swa, m2, gdn, gka, bmf, bm, hybrid) or a layout"),
        (["memory", "--layout", "GDN-GND"], "symbol 1 of 'GDN-GND' is 'GND', which is not a memory"),
        (["memory", "--layout", "bm", "--selection", "best"], "--selection 'best': "),
        (["memory", "--layout", "bm", "--eye", "nowhere"], "--eye nowhere: is not a checkpoint"),
        (["memory", "--layout", "bm", "--batches", __file__], "--batches "),
        (
            ["memory", "--layout", "bm", "--eye", str(CHECKPOINTS / "scenes-base")],
            "tokens are 160 wide, the model is 96",
        ),
        (["memory", "--layout", "bm", "--precision", "fp8"], "--precision 'fp8': must be one of no, bf16"),
        (["scenes-small", "--order", "4"], "--order 4: is for the recipe memory only; leave it out"),
        (["scenes-small", "--layout", "bm"], "--layout bm: is for the recipe memory only; leave it out"),
        (["scenes-small", "--seed", "4"], "--seed 4: is for the recipe memory only; leave it out"),
    ],
)
def test_mistakes_name_their_flag(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["train", *arguments, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_longest_text_of_a_training_is_known(tmp_path: Path) -> None:
    recipe = memory_recipe(Memory(layout="BM-*"), 1)
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    assert trained_words(tmp_path) == LONG_WORDS == 300
    assert MemoryRecipe.model_validate(json.loads(recipe.model_dump_json())) == recipe


def test_scrambled_filler_has_the_same_words_in_random_order() -> None:
    scene = make_scene(3, 5, Dials())
    only = Mixture(
        description=0, caption=0, questions=0, filler=1, other=0, facts=0, min_words=60, max_words=90
    )
    plain, scrambled = (
        make_dialogue(scene, scene.rng("test"), only.model_copy(update={"scrambled": share}))[0].ask
        for share in (0.0, 1.0)
    )
    assert make_dialogue(scene, scene.rng("test"), only)[0].ask == plain
    said, found = (re.findall(r"[a-z']+", text.lower()) for text in (plain, scrambled))
    # The question follows the filler.
    words = next(n for n in range(60, len(found) + 1) if Counter(found[:n]) == Counter(said[:n]))
    assert " ".join(found[:words]) in scrambled, "in lower case and without punctuation"
    assert found[:words] != said[:words]
