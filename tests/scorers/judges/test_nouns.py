"""Free nouns, found by the tagger and by a spaCy pipeline, and the options of open-vocabulary judges."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import OpenJudge
from eidolon.scorers.core.language_model import LanguageModel
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.matcher_options import Concreteness
from eidolon.scorers.judges.mentions import NO_RESPONSE, NOT_ENGLISH
from eidolon.scorers.judges.noun_readers import ParsedNouns, Phrases, TaggedNouns
from eidolon.scorers.judges.nouns import NounsJudge
from eidolon.scorers.text.lexicon import load_lexicon

COCO = load_lexicon("coco80")


def same(nouns: str) -> dict[str, str]:
    """Nouns whose singular occurs in the text."""
    return {noun: noun for noun in nouns.split()}


def response(text: str | None, **fields: object) -> Response:
    return Response.model_validate({"sample_id": "s", "image_id": 1, "response": text, **fields})


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("Two dogs and a red ball.", {"dogs": "dog", "ball": "ball"}),
        # The tagger is wrong about the verb. The dogs are found all the same.
        ("Two dogs chase a red ball.", {"dogs": "dog", "chase": "chase", "ball": "ball"}),
        ("A wedding cake next to fire hydrants.", {"cake": "cake", "fire hydrants": "fire hydrant"}),
        ("A kitchen fire hydrant.", {"fire hydrant": "fire hydrant"}),
        ("A group of people on the left side of the image.", {"people": "person"}),
        ("The bus stands near women with glasses.", {"bus": "bus", "women": "woman", "glasses": "glass"}),
        ("It is empty.", {}),
        # Singulars are words.
        (
            "The police cut a slice of pizza near pasta.",
            {"police": "police", "slice": "slice"} | same("pizza pasta"),
        ),
        # Possessors are things too; "it's" is none.
        ("A man's hat. It's the bus\u2019s door.", same("man hat bus door")),
        # Terms of the lexicon that the tagger takes for verbs and adjectives.
        ("There is a sink under the mirror.", same("sink mirror")),
        ("A painted bear and a remote on the table.", same("bear remote table")),
        ("The kitchen sink is white.", same("sink")),
        ("An orange cat sits near the orange.", same("cat orange")),
        ("A tub, sink, and mirror. They can bear the sun.", same("tub sink mirror sun")),
        # A verb that looks like a plural.
        ("The image features a dog.", same("dog")),
        ("A plate sits on the counter.", same("plate counter")),
        # What is no thing.
        ("In addition, each other, a touch of happiness and the presence of a fox.", same("fox")),
    ],
)
def test_nouns_by_the_tagger(text: str, nouns: dict[str, str]) -> None:
    found = TaggedNouns(COCO).read(text)
    assert {text[noun.start : noun.end]: noun.lemma for noun in found} == nouns


def test_mentions_have_their_places() -> None:
    (judgement,) = NounsJudge().judge([response("A tree.\nTwo hot dogs.", token_ends=[6, 7, 12, 16, 21])])
    assert [m.model_dump() for m in judgement.mentions] == [
        {"category": "tree", "text": "tree", "start": 2, "end": 6, "word": 1, "token": 0}
        | {"verdict": None, "votes": None},
        {"category": "hot dog", "text": "hot dogs", "start": 12, "end": 20, "word": 3, "token": 3}
        | {"verdict": None, "votes": None},
    ]


@pytest.mark.parametrize(
    ("text", "fields", "unscored"),
    [
        (None, {}, NO_RESPONSE),
        (None, {"error": "timeout"}, "timeout"),
        ("Un perro y un gato en la calle con el hombre.", {}, NOT_ENGLISH),
        ("", {}, None),
        ("I'm sorry, I cannot see the image.", {}, None),
    ],
)
def test_what_cannot_be_judged(text: str | None, fields: dict[str, str], unscored: str | None) -> None:
    (judgement,) = NounsJudge().judge([response(text, **fields)])
    assert judgement.mentions == ()
    assert judgement.unscored == unscored


def test_longest_phrase_first() -> None:
    phrases = Phrases(COCO)
    assert phrases.at(["hot", "dogs", "here"]) == (2, "hot dog")
    assert phrases.at(["dogs", "here"]) is None
    assert phrases.at([]) is None


PARSE = [
    # text, part of speech, head, relation, lemma
    ("Two", "NUM", 2, "nummod", "two"),
    ("fire", "NOUN", 2, "compound", "fire"),
    ("hydrants", "NOUN", 3, "nsubj", "hydrant"),
    ("face", "VERB", 3, "ROOT", "face"),
    ("the", "DET", 6, "det", "the"),
    ("left", "ADJ", 6, "amod", "left"),
    ("side", "NOUN", 3, "dobj", "side"),
    ("of", "ADP", 6, "prep", "of"),
    ("him", "PRON", 7, "pobj", "he"),
    ("and", "CCONJ", 3, "cc", "and"),
    ("trees", "NOUN", 3, "dobj", "tree"),
    (".", "PUNCT", 3, "punct", "."),
]


class Parsed(Language):
    """A pipeline with one fixed parse, since a test may not download a trained one."""

    lang = "en"
    Defaults = spacy.blank("en").Defaults

    def pipe(self, texts: Iterable[str], **_: object) -> Iterator[Doc]:  # type: ignore[override]
        return map(self, texts)

    def __call__(self, text: str | Doc, **_: object) -> Doc:
        words, tags, heads, relations, lemmas = (list(column) for column in zip(*PARSE, strict=True))
        return Doc(
            self.vocab,
            words=words,
            spaces=[word != "trees" and word != "." for word in words],
            pos=tags,
            heads=heads,
            deps=relations,
            lemmas=lemmas,
        )


def test_heads_of_noun_chunks() -> None:
    text = "Two fire hydrants face the left side of him and trees."
    reader = ParsedNouns(Parsed(meta={"lang": "en", "name": "hand", "version": "1.2"}), COCO)
    assert [(text[n.start : n.end], n.lemma) for n in reader.read_all([text])[0]] == [
        ("fire hydrants", "fire hydrant"),
        ("trees", "tree"),
    ]
    assert reader.signature() == "spacy:en_hand-1.2/2"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("en_core_web_sm_of_nobody", "no folder; python -m spacy download en_core_web_sm_of_nobody"),
        ("not/a name", "no folder; python -m spacy download en_core_web_sm"),
        ("numpy", "this package is no spaCy pipeline: it holds no meta.json"),
        ("json", "this package is no spaCy pipeline"),
        ("{folder}", "the folder is no spaCy pipeline: it holds no config.cfg"),
    ],
)
def test_a_pipeline_that_is_none(tmp_path: Path, name: str, message: str) -> None:
    name = name.format(folder=tmp_path)
    with pytest.raises(UserError, match=re.escape(f"-J pipeline={name}: ") + f".*{message}"):
        NounsJudge(pipeline=name)


def test_a_folder_that_spacy_cannot_load(tmp_path: Path) -> None:
    (tmp_path / "config.cfg").write_text("[nlp]\nlang = 'xx-none'\n")
    with pytest.raises(UserError, match="cannot be loaded as a spaCy pipeline"):
        NounsJudge(pipeline=str(tmp_path))


def test_a_pipeline_without_a_parser(tmp_path: Path) -> None:
    spacy.blank("en").to_disk(tmp_path)
    with pytest.raises(UserError, match=r"has no tagger and parser to find nouns with \(it has nothing"):
        NounsJudge(pipeline=str(tmp_path))


def test_concrete_nouns_only(tmp_path: Path) -> None:
    table = tmp_path / "ratings.txt"
    table.write_text("Word\tBigram\tConc.M\ndog\t0\t4.85\nidea\t0\t1.61\nball\t0\t4.5\nHot Dogs\t1\t4.9\n")
    judge = NounsJudge(concreteness=str(table))
    (judgement,) = judge.judge([response("Dogs with an idea, a ball, a tree.")])
    assert [m.category for m in judgement.mentions] == ["dog"]
    assert "hot-dogs" in Concreteness(str(table))
    assert "concreteness=>4.5:ratings#" in judge.signature()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("noun,score\ndog,4\n", r":1: needs the columns 'Word' and 'Conc.M'.* found noun, score"),
        ("", r":1: needs the columns .* found nothing"),
        ("word,concreteness\ndog,4\ncat,high\n", ":3: concreteness must be a number, found 'high'"),
        ("word,concreteness\ndog\n", ":2: concreteness must be a number, found None"),
        (b"word,concreteness\n\xff,4\n", "is not UTF-8"),
        (None, "no such file"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    table = tmp_path / "table.csv"
    if content is not None:
        table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        Concreteness(str(table))


class Fake:
    name = "fake"

    def signature(self) -> str:
        return "fake#1"

    def reply(self, prompts: object, **_: object) -> list[object]:
        raise AssertionError("nothing is asked here")


def test_signatures_and_readers() -> None:
    judge = NounsJudge()
    assert judge.signature() == "nouns(reader=textblob/2,match=names/2+coco80,concreteness=all)"
    assert isinstance(judge, OpenJudge)
    assert judge.reader is judge
    model: LanguageModel = Fake()  # type: ignore[assignment]
    asking = NounsJudge(match="lm", models=[model])
    assert asking.signature() == "nouns(reader=textblob/2,match=lm:fake#1,concreteness=all)"
    assert asking.reader is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"match": "llm"}, "-J match=llm: .* did you mean 'lm'"),
        ({"match": "lm"}, "exactly one language model, found 0"),
        ({"match": "lm", "embeddings": "x"}, "-J embeddings=x: is not for -J match=lm"),
        ({"match": "lm", "threshold": "0.5"}, "-J threshold=0.5: is not for -J match=lm"),
        ({"threshold": "0.5"}, "add -J embeddings=MODEL"),
        ({"embeddings": "x", "threshold": "2"}, "threshold '2' must be a number from 0 to 1"),
        ({"lexicon": "cocoa"}, "unknown lexicon 'cocoa'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        NounsJudge(**options)  # type: ignore[arg-type]
