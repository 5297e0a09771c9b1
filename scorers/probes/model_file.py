"""The file of learned probes: vocabulary and tensors. JSON, so that reading it runs no code."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final, Literal

from pydantic import ConfigDict, Field

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import read_bytes
from eidolon.scorers.core.model_files import StoredTensor, parse_model_file, read_tensors
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.core.types import Record
from eidolon.scorers.probes.network import ProbeNetwork

SCHEMA: Final = "eidolon/probes/1"


class ProbeFile(Record):
    """The content of a file of learned probes."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/probes/1"] = Field(alias="schema")
    vocabulary: tuple[str, ...]
    images: int
    """Images that the graph held."""
    inventions: int
    """Pairs of an image and an object that was named and is not in it."""
    contrast: bool
    seed: int
    tensors: dict[str, StoredTensor]


@dataclass(frozen=True, slots=True)
class ProbeModel:
    """Learned probes, ready for use."""

    label: str
    """The file's name with a hash."""
    vocabulary: tuple[str, ...]
    network: ProbeNetwork

    def unknown(self, categories: Collection[str]) -> tuple[str, ...]:
        """Return the categories that the model does not know, sorted."""
        return tuple(sorted(set(categories) - set(self.vocabulary)))

    def ranking(self, present: Collection[str]) -> list[str]:
        """Return all categories, the likeliest to be invented beside those present first, by name where equal.

        Raises a KeyError for a category that the model does not know.
        """
        number = {name: i for i, name in enumerate(self.vocabulary)}
        scores = self.network.scores([number[name] for name in present])
        return sorted(self.vocabulary, key=lambda name: (-scores[number[name]], name))


def write_probe_file(
    vocabulary: Sequence[str],
    network: ProbeNetwork,
    *,
    images: int,
    inventions: int,
    contrast: bool,
    seed: int,
) -> str:
    """Return the text of a file of learned probes."""
    content = ProbeFile(
        schema=SCHEMA,
        vocabulary=tuple(vocabulary),
        images=images,
        inventions=inventions,
        contrast=contrast,
        seed=seed,
        tensors={name: StoredTensor.of(values) for name, values in asdict(network).items()},
    )
    return content.model_dump_json(by_alias=True, indent=1) + "\n"


def load_probe_model(path: Path) -> ProbeModel:
    """Return the learned probes of a file.

    Raises:
        UserError: the file cannot be read, or holds no learned probes.
    """
    content, refusal = read_bytes(path), f"{path}: not a file of eidolon probes"
    found = parse_model_file(content, ProbeFile, refusal)
    network = ProbeNetwork(**read_tensors(found.tensors, [one.name for one in fields(ProbeNetwork)], refusal))
    if not _fits(network, len(found.vocabulary)):
        raise UserError(f"{refusal}: vocabulary and tensors differ in size")
    return ProbeModel(hashed(path.stem, content), found.vocabulary, network)


def _fits(network: ProbeNetwork, v: int) -> bool:
    if network.objects.ndim != 3 or network.themes.ndim != 3 or not v or not network.themes.shape[1]:
        return False
    layers, _, d = network.objects.shape
    m = network.themes.shape[1]
    deep = (layers - 1, d, d), (layers - 1, d)
    return (
        network.objects.shape == (layers, v, d)
        and network.themes.shape == (layers, m, d)
        and network.theme_centres.shape == (m, v)
        and network.image.shape == (d,)
        and (network.relation_maps.shape, network.relations.shape) == ((2, d, d), (2, d))
        and (network.sum_weight.shape, network.sum_bias.shape) == deep
        and (network.product_weight.shape, network.product_bias.shape) == deep
        and network.bias.shape == (v,)
    )
