"""POPE's questions, built from any annotated dataset (Li et al., EMNLP 2023).

About each image as many objects are asked that are there as that are not, in turn. Those that are there are
drawn, and the same in all splits. Those that are not are the first of a ranking of the dataset's categories,
and the splits differ in the ranking alone:

    random       drawn
    popular      in most images first
    adversarial  in most images together with the object asked about just before
    look-alike   the most similar name first; not of POPE, and on request only: it asks what signs read
    learned      the likeliest to be invented first, by a file of `eidolon probes`; not of POPE, on request only

Draws are orders by hash: they depend on the seed, the sample and the category, not on the order of the samples.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from eidolon.benchmark.data.samples import Sample
from eidolon.benchmark.settings.fields import PAIRS
from eidolon.benchmark.tasks.rows import LEARNED, LOOK_ALIKE, SPLITS, QuestionRow, Split, YesNo
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.probes.model_file import ProbeModel
from eidolon.scorers.text.name_similarity import most_similar


@dataclass(frozen=True, slots=True)
class Annotations:
    """In how many images each category is, and how often each occurs with another."""

    images: Counter[str]
    beside: dict[str, Counter[str]]
    popular: list[str]
    """The categories, those in most images first, by name where that is equal."""

    def beside_most(self, category: str) -> list[str]:
        """Return the categories, those most often beside this one first, by popularity where that is equal."""
        beside = self.beside[category]
        return sorted(self.popular, key=lambda name: -beside[name])


@dataclass(frozen=True, slots=True)
class Built:
    """The questions of a dataset, image by image and split by split, and which sample each is about."""

    rows: tuple[QuestionRow, ...]
    samples: dict[str, Sample]
    """By question id."""
    images: int
    left_out: int
    """Images with too few objects, or with all objects there are."""


def count(objects: Iterable[Collection[str]]) -> Annotations:
    """Count categories over images, each once an image."""
    images: Counter[str] = Counter()
    beside: dict[str, Counter[str]] = defaultdict(Counter)
    for names in map(set, objects):
        images.update(names)
        for name in names:
            beside[name].update(names - {name})
    return Annotations(images, dict(beside), sorted(images, key=lambda name: (-images[name], name)))


def wording(category: str) -> str:
    """Return the question in POPE's words: the category as it is named, plural or not, behind a or an."""
    article = "an" if category[0].lower() in "aeiou" else "a"
    return f"Is there {article} {category} in the image?"


def sign_wording(name: str) -> str:
    """Return the question whether a sign bears a name."""
    return f"Does the sign read {name}?"


def build(
    samples: Sequence[Sample],
    *,
    splits: Sequence[Split] = SPLITS,
    pairs: int = PAIRS,
    min_objects: int | None = None,
    seed: int = 0,
    name: str = "",
    probes: ProbeModel | None = None,
) -> Built:
    """Build the questions about every image with `min_objects` objects or more, by default with `pairs`.

    An image has fewer than `pairs` pairs where it holds fewer objects, or where fewer of the dataset's
    categories are absent. `probes` rank for the split learned. Raises UserError, naming the dataset `name`, where no
    question can be asked, or where the probes do not know a category of the dataset.
    """
    images = _images(samples, name)
    least = pairs if min_objects is None else min_objects
    annotations = count(sample.objects for sample in images)
    beside_most = cache(annotations.beside_most)
    if probes is not None:
        _check_probes(probes, annotations, name)
    look_alikes = cache(lambda name: most_similar(name, annotations.popular))

    def rankings(split: Split, sample: Sample, present: Sequence[str]) -> list[list[str]]:
        """Return from which ranking the absent object beside each present one is taken."""
        if split == "random":
            return [_drawn(annotations.popular, seed, "absent", sample.sample_id)] * len(present)
        if split == "popular":
            return [annotations.popular] * len(present)
        if split == LEARNED and probes is not None:
            learned = [name for name in probes.ranking(sample.objects) if name in annotations.images]
            return [learned] * len(present)
        if split == LOOK_ALIKE:
            return [look_alikes(name) for name in present]
        return [beside_most(category) for category in present]

    rows: list[QuestionRow] = []
    about: dict[str, Sample] = {}
    asked_about = 0
    for sample in images:
        if len(sample.objects) < least:
            continue
        present = _drawn(sample.objects, seed, "present", sample.sample_id)[:pairs]
        asked = [
            row
            for split in splits
            for row in _rows(
                sample,
                split,
                present,
                choose_absent(rankings(split, sample, present), {*sample.objects, *sample.unsure}),
            )
        ]
        rows += asked
        about |= {row.question_id: sample for row in asked}
        asked_about += bool(asked)
    if not rows:
        _complain(images, least, name)
    return Built(tuple(rows), about, asked_about, len(images) - asked_about)


def _images(samples: Sequence[Sample], name: str) -> list[Sample]:
    """Return the first sample of every image."""
    images: dict[ImageId, Sample] = {}
    for sample in samples:
        if not all(category.strip() for category in sample.objects):
            raise UserError(f"--dataset {name}: sample {sample.sample_id!r}: 'objects' holds an empty name")
        first = images.setdefault(sample.image_id, sample)
        if first.objects != sample.objects:
            raise UserError(
                f"--dataset {name}: samples {first.sample_id!r} and {sample.sample_id!r} are of one image, "
                f"{sample.image_id!r}, and have different objects; give both the same"
            )
    return list(images.values())


def _drawn(names: Iterable[str], seed: int, purpose: str, sample_id: str) -> list[str]:
    """Return the names in an order in which each permutation is equally likely, the same for the same four."""

    def place(name: str) -> bytes:
        return hashlib.sha256("\0".join((str(seed), purpose, sample_id, name)).encode()).digest()

    return sorted(names, key=place)


def choose_absent(rankings: Sequence[Sequence[str]], present: Collection[str]) -> list[str]:
    """Return the first category of each ranking that is neither present nor taken; fewer where they run out."""
    taken: list[str] = []
    for ranking in rankings:
        found = next((name for name in ranking if name not in present and name not in taken), None)
        if found is not None:
            taken.append(found)
    return taken


def _rows(
    sample: Sample, split: Split, present: Sequence[str], absent: Sequence[str]
) -> Iterator[QuestionRow]:
    """Yield present and absent in turn, as many of each: where one runs out, so does the other."""
    labels: tuple[YesNo, YesNo] = ("yes", "no")
    pairs = zip(present, absent, strict=False)
    turns = ((category, label) for pair in pairs for category, label in zip(pair, labels, strict=True))
    for number, (category, label) in enumerate(turns, 1):
        yield QuestionRow(
            question_id=f"{sample.sample_id}:{split}:{number}",
            image=sample.image_id,
            text=sign_wording(category) if split == LOOK_ALIKE else wording(category),
            label=label,
            category=category,
            split=split,
        )


def _check_probes(probes: ProbeModel, annotations: Annotations, name: str) -> None:
    if unknown := probes.unknown(annotations.images):
        raise UserError(
            f"--split learned: {excerpt(unknown[0])}, a category of --dataset {name}, is not one of the "
            f"{len(probes.vocabulary)} of {probes.label}; learn the probes from runs on this dataset"
        )


def _complain(images: Sequence[Sample], least: int, name: str) -> None:
    most = max(len(sample.objects) for sample in images)
    if most == 0:
        raise UserError(f"--dataset {name}: no image holds an object; there is nothing to ask about")
    if most < least:
        raise UserError(
            f"--min-objects {least}: no image of --dataset {name} holds so many objects; the most is {most}: "
            f"give --min-objects {most} or less"
        )
    raise UserError(
        f"--dataset {name}: every image holds every category of the dataset, so that nothing absent can be "
        "asked about; take more images"
    )
