"""Signs: names that look alike, their drawings, and the dataset; the default Scenes stay as they were."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.benchmark.scenes.sign_dataset import SignDials, load_sign_scenes, make_sign_scene
from eidolon.benchmark.scenes.sign_drawing import TYPEFACES, crop, draw_sign
from eidolon.benchmark.scenes.sign_names import FAMILIES, MEMBERS, PARTS, names_of, sign_names
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.text.name_similarity import name_distance, name_similarity


def test_no_name_and_no_family_is_in_two_parts() -> None:
    names = sign_names()
    assert len({name.name for name in names}) == len(names) == MEMBERS * sum(FAMILIES.values())
    for part in PARTS:
        families = {name.family for name in names_of(part)}
        others = {name.family for name in names if name.part != part}
        assert len(families) == FAMILIES[part]
        assert not families & others


def test_families_look_alike_in_their_own_way() -> None:
    families: dict[int, list[str]] = {}
    kinds = {}
    for name in sign_names():
        families.setdefault(name.family, []).append(name.name)
        kinds[name.family] = name.kind
    assert len(set(Counter(kinds.values()).values())) == 1
    for family, names in families.items():
        first = names[0]
        match kinds[family]:
            case "beginning":
                assert len({name[:4] for name in names}) == 1
            case "letter":
                assert {name_distance(first, name) for name in names[1:]} == {1}
            case "order":
                assert {tuple(sorted(name)) for name in names} == {tuple(sorted(first))}
        if kinds[family] != "alone":
            assert min(name_similarity(first, name) for name in names[1:]) >= 0.7


def test_a_sign_is_drawn_the_same_twice_and_in_many_ways() -> None:
    def draw(seed: int) -> bytes:
        return draw_sign("VELTRA", np.random.default_rng(seed), 24).tobytes()

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(12)}) == 12
    assert crop("VELTRA", np.random.default_rng(0)).mode == "RGB"
    assert len(TYPEFACES) == len(set(TYPEFACES)) >= 10


def test_signs_are_where_the_truth_says() -> None:
    dials = SignDials(part="validation", min_signs=3, max_signs=3)
    rows = load_sign_scenes(3, 5, dials)
    known = {name.name for name in names_of("validation")}
    for index, row in enumerate(rows):
        scene = make_sign_scene(5, index, dials)
        assert row["objects"] == [sign.name.name for sign in scene.signs] == sorted(row["objects"])
        assert set(row["objects"]) <= known
        bare = np.asarray(render(scene.scene), dtype=int)
        changed = np.abs(np.asarray(row["image"], dtype=int) - bare).sum(-1) > 0
        inside = np.zeros_like(changed)
        for (box,) in row["boxes"]:
            x0, y0, x1, y1 = (round(value * 256) for value in box)
            inside[y0 : y1 + 2, x0 : x1 + 2] = True
        assert not (changed & ~inside).any()
        assert changed[inside].mean() > 0.8


def test_mistakes_cost_one_line() -> None:
    with pytest.raises(UserError, match="-D sign=2: Signs has no dial 'sign'"):
        load_dataset("signs", limit=1, seed=0, options={"sign": "2"})
    with pytest.raises(UserError, match=r"-D min_signs=4, max_signs=2.*min_signs=4 is more than max_signs=2"):
        load_dataset("signs", limit=1, seed=0, options={"min_signs": "4", "max_signs": "2"})


def test_default_scenes_have_the_bytes_that_they_had_before_signs() -> None:
    """The digest was taken before signs were added. Another Pillow may draw shapes a little differently."""
    from PIL import __version__

    digest = hashlib.sha256()
    for index in range(4):
        digest.update(render(make_scene(0, index, Dials())).tobytes())
    if __version__ == "13.0.0":
        assert digest.hexdigest() == DIGEST
    assert "signs" not in Dials.model_fields


DIGEST = "909d6ad400840a4f103df7b957dbd24deb1b3e9f3e582373d21c8d02ee41f4af"
