"""The claims that are read in texts of Scenes, against those that the writer of the texts made."""

from collections import Counter

import pytest

from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene
from eidolon.benchmark.scenes.text import describe
from eidolon.benchmark.tasks.plugins import make_judge
from eidolon.scorers.core.metric import Depiction
from eidolon.scorers.core.types import Mention, Response
from eidolon.scorers.metrics.attributes import holds
from eidolon.scorers.text.claims import KINDS, find_claims
from tests.benchmark.scenes.claims_oracle import Said, sentences


def mentions(texts: list[str]) -> list[tuple[Mention, ...]]:
    judge = make_judge("lexicon", {})
    responses = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(texts)]
    return [judgement.mentions for judgement in judge.judge(responses)]


def depicted(scene: Scene) -> dict[str, Depiction]:
    return {thing.category: Depiction(thing.boxes, thing.colour) for thing in scene.things}


def test_precision_and_recall_of_every_kind_of_claim() -> None:
    labelled = sentences(900)
    right, read, said = Counter[str](), Counter[str](), Counter[str]()
    for sentence, found in zip(labelled, mentions([s.text for s in labelled]), strict=True):
        claims: Counter[Said] = Counter(
            (c.kind, c.mention.category, c.value, c.other.category if c.other else "")
            for c in find_claims(sentence.text, found)
        )
        true = Counter(sentence.said)
        right.update(kind for kind, *_ in (claims & true).elements())
        read.update(kind for kind, *_ in claims.elements())
        said.update(kind for kind, *_ in true.elements())
    for kind in KINDS:
        assert said[kind] > 100
        assert right[kind] / read[kind] >= 0.97, (kind, right, read)
        assert right[kind] / said[kind] >= 0.97, (kind, right, said)


def test_every_claim_of_a_true_description_holds() -> None:
    scenes = [make_scene(5, index, Dials(plural=0.4)) for index in range(60)]
    texts = [describe(scene, scene.rng("claims")) for scene in scenes]
    checked = 0
    for scene, text, found in zip(scenes, texts, mentions(texts), strict=True):
        truth = depicted(scene)
        for claim in find_claims(text, [m for m in found if m.category in truth]):
            true = holds(claim, truth)
            assert true is not False, (text, claim)
            checked += true is True
    assert checked > 500


@pytest.mark.parametrize("kind", KINDS)
def test_a_false_scene_is_found_out(kind: str) -> None:
    """The same text about a mirrored, recoloured and multiplied scene: most of its claims are false."""
    scenes = [make_scene(5, index, Dials(plural=0.4)) for index in range(60)]
    texts = [describe(scene, scene.rng("claims")) for scene in scenes]
    verdicts = Counter[bool]()
    for scene, text, found in zip(scenes, texts, mentions(texts), strict=True):
        truth = {
            name: Depiction(
                tuple((1 - x1, 1 - y1, 1 - x0, 1 - y0) for x0, y0, x1, y1 in shown.boxes + shown.boxes[:1]),
                shown.colour and f"not {shown.colour}",
            )
            for name, shown in depicted(scene).items()
        }
        for claim in find_claims(text, [m for m in found if m.category in truth]):
            if claim.kind == kind and (true := holds(claim, truth)) is not None:
                # The middle stays the middle in a mirror.
                verdicts[true or claim.value == "middle"] += claim.value != "middle"
    assert verdicts[False] > 20
    assert verdicts[True] <= 0.12 * verdicts[False]
