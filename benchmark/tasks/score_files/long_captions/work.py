"""The values of each caption: agreement of its graph with references, or coverage of an annotated graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan

from eidolon.benchmark.data.caption_layouts import ParsedCaption, PublishedRatings
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.judges.caption_graphs import CaptionParser
from eidolon.scorers.judges.graph_coverage import (
    AnnotatedObject,
    GraphCoverage,
    pixel_coverage,
    rate_all,
    rated,
)
from eidolon.scorers.judges.graph_matching import GraphMatcher
from eidolon.scorers.judges.phrase_raters import PhraseRater
from eidolon.scorers.metrics.benchmarks.captions import CaptionSample

Values = Mapping[str, float | None]


def agreement(matcher: GraphMatcher, parsed: ParsedCaption) -> Values:
    """Return the values of a caption, each the mean over the references for which it is defined."""
    found = [matcher.compare(parsed.said, reference) for reference in parsed.references]
    return {name: _mean([one[name] for one in found if not isnan(one[name])]) for name in found[0]}


@dataclass(frozen=True)
class CaptureWork:
    """Captions with their references, or graphs of both. What is slow is done when it is needed."""

    matcher: GraphMatcher
    parser: CaptionParser
    references: Mapping[str, Sequence[str]]
    captions: Mapping[str, str]
    graphs: Mapping[str, ParsedCaption] | None = None

    @cached_property
    def samples(self) -> list[CaptionSample]:
        """The values of each caption."""
        parsed = self._parsed() if self.graphs is None else self.graphs
        self.matcher.prepare(graph for one in parsed.values() for graph in (one.said, *one.references))
        return [CaptionSample(name, name, agreement(self.matcher, one)) for name, one in parsed.items()]

    def _parsed(self) -> dict[str, ParsedCaption]:
        said = self.parser.parse([self.captions[name] for name in self.references])
        texts = [text for given in self.references.values() for text in given]
        others = iter(self.parser.parse(texts))
        return {
            name: ParsedCaption(graph, tuple(next(others) for _ in self.references[name]))
            for name, graph in zip(self.references, said, strict=True)
        }


@dataclass(frozen=True)
class CompreCapWork:
    """Captions with annotated graphs. What is slow is done when it is needed."""

    coverage: GraphCoverage
    rater: PhraseRater
    annotated: Mapping[str, Sequence[AnnotatedObject]]
    captions: Mapping[str, str]

    @cached_property
    def samples(self) -> list[CaptionSample]:
        """The values of each caption."""
        names = [*self.annotated]
        covered = self.coverage.cover_all(
            [self.captions[name] for name in names], [self.annotated[name] for name in names]
        )
        return [
            CaptionSample(
                name,
                name,
                covered_values(
                    [*found.objects.values()],
                    attributes,
                    relations,
                    self.annotated[name],
                ),
            )
            for name, found, (attributes, relations) in zip(
                self.annotated, covered, rate_all(self.rater, covered), strict=True
            )
        ]


@dataclass(frozen=True)
class RatedWork:
    """Annotated graphs with the ratings of the released program."""

    annotated: Mapping[str, Sequence[AnnotatedObject]]
    ratings: Mapping[str, PublishedRatings]

    @cached_property
    def samples(self) -> list[CaptionSample]:
        """The values of each caption."""
        return [
            CaptionSample(
                name,
                name,
                covered_values(
                    [*found.objects.values()],
                    [found.attributes[item.description] for item in self.annotated[name]],
                    [found.relations[one] for item in self.annotated[name] for one in item.relations],
                    self.annotated[name],
                ),
            )
            for name, found in self.ratings.items()
        ]


def check_ratings(
    annotated: Mapping[str, Sequence[AnnotatedObject]], ratings: Mapping[str, PublishedRatings], place: str
) -> None:
    """Compare the ratings of the released program with the annotations.

    Raises:
        UserError: an image is not annotated, or an object, description or relation has no rating.
    """
    for name, found in ratings.items():
        if name not in annotated:
            raise UserError(f"{place}: {excerpt(name)} is none of the {len(annotated)} annotated images")
        for item in annotated[name]:
            for kind, phrases, known in (
                ("object", (item.category,), found.objects),
                ("attribute", (item.description,), found.attributes),
                ("relation", item.relations, found.relations),
            ):
                for phrase in phrases:
                    if phrase not in known:
                        raise UserError(f"{place}: {name}: has no rating of the {kind} {excerpt(phrase)}")


def covered_values(
    objects: Sequence[float],
    attributes: Sequence[float | None],
    relations: Sequence[float | None],
    annotated: Sequence[AnnotatedObject],
) -> Values:
    """Return the values of a caption."""
    replies = [*attributes, *relations]
    masks = [item.mask for item in annotated if item.mask is not None]
    pixels = pixel_coverage(masks, attributes) if len(masks) == len(annotated) else None
    return {
        "object_coverage": sum(objects) / len(objects),
        "pixel_coverage": pixels,
        "attribute_score": rated(attributes),
        "relation_score": rated(relations),
        "unread": sum(one is None or one < 0 for one in replies) / len(replies),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
