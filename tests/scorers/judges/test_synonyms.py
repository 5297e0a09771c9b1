"""Synonyms from WordNet's files: a database of two synsets, in the layout that nltk reads."""

from pathlib import Path

import pytest

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.judges.synonyms import WordNetSynonyms

HEADER = "  1 WordNet 3.0 Copyright, a line of the licence\n"


def wordnet(folder: Path) -> Path:
    """Write the nouns settee = sofa_bed = couch, and kettle."""
    data, places = HEADER, {}
    for number, lemmas in enumerate((("settee", "sofa_bed", "couch"), ("kettle",))):
        offset = len(data)
        places |= dict.fromkeys(lemmas, offset)
        words = " ".join(f"{lemma} 0" for lemma in lemmas)
        data += f"{offset:08d} 06 n {len(lemmas):02x} {words} 000 | thing {number}\n"
    index = HEADER + "".join(f"{lemma} n 1 0 1 0 {places[lemma]:08d}\n" for lemma in sorted(places))
    (folder / "lexnames").write_text("".join(f"{i:02d}\tnoun.kind{i}\t1\n" for i in range(45)))
    for part in ("noun", "verb", "adj", "adv"):
        (folder / f"data.{part}").write_text(data if part == "noun" else HEADER)
        (folder / f"index.{part}").write_text(index if part == "noun" else HEADER)
        (folder / f"{part}.exc").write_text("")
    return folder


def test_phrases_with_a_common_lemma(tmp_path: Path) -> None:
    synonyms = WordNetSynonyms(str(wordnet(tmp_path)))
    assert synonyms.common("couch", "sofa bed")
    assert synonyms.common("couches", "settee")  # morphy
    assert not synonyms.common("couch", "kettle")
    assert not synonyms.common("couch", "no such word")
    assert synonyms.signature() == f"{tmp_path.name}:{(tmp_path / 'data.noun').stat().st_size}"


def test_a_folder_without_wordnet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"-J wordnet=.*: holds no index\.noun"):
        WordNetSynonyms(str(tmp_path))
