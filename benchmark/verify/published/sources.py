"""Published result files with printed values, by where they are. Nothing of theirs ships with Eidolon."""

from dataclasses import dataclass, field
from fnmatch import fnmatch


@dataclass(frozen=True, slots=True)
class Source:
    """A repository with raw responses and printed CHAIR values."""

    name: str
    where: str
    """Address, and where the files are in it."""
    licence: str
    reading: str
    """The reading of the judge `lexicon` that is the repository's program."""
    files: tuple[str, ...]
    """Patterns of the files' names."""
    printed: dict[str, tuple[float, float]] = field(default_factory=dict)
    """File name → CHAIR_s and CHAIR_i in percent as the repository reports them. Every file also holds its own."""


SOURCES = (
    Source(
        "HALC",
        "github.com/BillChan226/HALC, commits d55e5a4 and 9418e5b, hallucination_results/chair/*/coco/",
        "MIT",
        "original",
        ("*_chair_results.json",),
    ),
    Source(
        "vlm-decoding-hal",
        "github.com/Areebol/vlm-decoding-hal, re_log/llava-1.5/",
        "none stated",
        "wordnet",
        ("regular_chair.jsonl", "deco_chair.jsonl", "vcd_chair.jsonl"),
        {
            "regular_chair.jsonl": (44.6, 12.70),
            "deco_chair.jsonl": (41.6, 10.15),
            "vcd_chair.jsonl": (54.8, 15.23),
        },
    ),
    Source(
        "middle_layers",
        "github.com/ZhangqiJiang07/middle_layers_indicating_hallucinations, log/llava-1.5/",
        "none stated",
        "wordnet",
        ("llava_1.5_7B_CHAIR.json",),
        {"llava_1.5_7B_CHAIR.json": (25.0, 6.71)},
    ),
)


def source_of(name: str) -> Source | None:
    """Return the source that has a file of this name, None for an unknown one."""
    return next((one for one in SOURCES if any(fnmatch(name, pattern) for pattern in one.files)), None)
