"""Ground truth joined with the objects that reference captions name, and images found in it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from eidolon.benchmark.data.coco_format import Truth
from eidolon.benchmark.data.samples import Sample
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.image_ids import ImageIds
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge, OpenJudge, VotingJudge
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.types import ImageId, Response
from eidolon.scorers.judges.matching import join


def objects_in(captions: Mapping[ImageId, Iterable[str]], judge: Judge) -> Truth:
    """Return the categories that the judge finds in the captions of each image; none in one that it cannot judge.

    Captions are short and many, so a judge with several votes reads them with its lexicon. A judge with an open
    vocabulary uses its reader for captions; without one the result is empty.
    """
    reader: Judge | None = judge
    if isinstance(judge, VotingJudge):
        reader = judge.reader() or judge
    elif isinstance(judge, OpenJudge):
        reader = judge.reader
    if reader is None:
        return {}
    texts = [(image_id, caption) for image_id, found in captions.items() for caption in found]
    responses = (
        Response(sample_id=str(index), image_id=image_id, response=caption)
        for index, (image_id, caption) in enumerate(texts)
    )
    named: dict[ImageId, set[str]] = {image_id: set() for image_id in captions}
    for (image_id, _), judgement in zip(texts, reader.judge(responses), strict=True):
        named[image_id].update(mention.category for mention in judgement.mentions)
    return {image_id: frozenset(names) for image_id, names in named.items()}


def sources_of(judge: Judge, objects: Collection[str], named: Collection[str]) -> Sources | None:
    """Return the sources of an image's ground truth: its annotated objects, and those that its captions name.

    None for a judge with an open vocabulary, where a noun may be another name for an annotated object.
    """
    return None if isinstance(judge, OpenJudge) else Sources(frozenset(objects), frozenset(named))


def join_references(samples: Sequence[Sample], judge: Judge) -> tuple[Sample, ...]:
    """Return the samples with the objects that the judge finds in their references added to the ground truth.

    This is the ground truth of CHAIR (Rohrbach et al. 2018). Samples without references stay unchanged.
    """
    captions: dict[ImageId, tuple[str, ...]] = {s.sample_id: s.references for s in samples if s.references}
    named = objects_in(captions, judge) if captions else {}
    return tuple(
        replace(
            sample,
            objects=tuple(sorted(join(judge, sample.objects, named[sample.sample_id]))),
            sources=sources_of(judge, sample.objects, named[sample.sample_id]),
        )
        if sample.sample_id in named
        else sample
        for sample in samples
    )


def find_image(
    ids: ImageIds,
    image_id: ImageId,
    where: str,
    path: Path,
    fix: str = "a response needs the objects of its image",
) -> ImageId:
    """Return the id of an image in a file. Raises UserError, with `where` and `fix`, if the file does not have it."""
    found = ids.find(image_id, where)
    if found is None:
        raise UserError(f"{where}: image {excerpt(image_id)} is not in {path}; {fix}")
    return found
