"""The file of a risk model: vocabulary, trees, weights, calibration. JSON, so that reading it runs no code."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import ConfigDict, Field

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import read_bytes
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.model_files import StoredTensor, parse_model_file, read_tensors
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.core.types import Judgement, Record, Response
from eidolon.scorers.risk.described import Described, describe
from eidolon.scorers.risk.network import TENSORS, RiskNetwork
from eidolon.scorers.risk.quality import PlattScaling
from eidolon.scorers.risk.trees import Trees

SCHEMA: Final = "eidolon/risk-model/1"
SHIPPED: Final = "shipped"
TREE_TABLES: Final = ("feature", "threshold", "left", "right", "value", "roots", "prior")


class RiskFile(Record):
    """The content of a risk model's file."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/risk-model/1"] = Field(alias="schema")
    vocabulary: tuple[str, ...]
    calibration: PlattScaling
    """Without history, from runs of a model that the training left out."""
    calibration_with_history: PlattScaling
    depth: int = Field(ge=0, le=64)
    start: float
    trees: dict[str, StoredTensor]
    tensors: dict[str, StoredTensor]


@dataclass(frozen=True, slots=True)
class RiskModel:
    """A risk model that is ready for use."""

    label: str
    """Its name in signatures: `shipped`, or the file's name with a hash."""
    vocabulary: tuple[str, ...]
    network: RiskNetwork
    calibration: PlattScaling
    calibration_with_history: PlattScaling

    def unknown(self, categories: Sequence[str]) -> tuple[str, ...]:
        """Return the categories that the model does not know, sorted."""
        return tuple(sorted(set(categories) - set(self.vocabulary)))

    def describe(self, response: Response, judgement: Judgement) -> Described:
        """Return the objects of a judged response. Raises a KeyError for a category that the model does not know."""
        return describe(response, judgement, {name: i for i, name in enumerate(self.vocabulary)})

    def risk(self, one: Described, history: FloatArray | None = None) -> FloatArray:
        """Return the probability that each mention is not in the picture, shape (m,).

        `history` is the vector of the model that wrote the response; None if nothing of it was judged.
        """
        if history is None:
            return self.calibration.probabilities(self.network.logits(self.network.start(), one))
        return self.calibration_with_history.probabilities(self.network.logits(history, one))


def write_risk_file(
    vocabulary: Sequence[str],
    network: RiskNetwork,
    calibration: PlattScaling,
    calibration_with_history: PlattScaling,
) -> str:
    """Return the text of a risk model's file."""
    trees = network.trees
    content = RiskFile(
        schema=SCHEMA,
        vocabulary=tuple(vocabulary),
        calibration=calibration,
        calibration_with_history=calibration_with_history,
        depth=trees.depth,
        start=trees.start,
        trees={
            "feature": StoredTensor.of(trees.feature),
            "threshold": StoredTensor.of(trees.threshold, "<f8"),
            "left": StoredTensor.of(trees.left),
            "right": StoredTensor.of(trees.right),
            "value": StoredTensor.of(trees.value),
            "roots": StoredTensor.of(trees.roots),
            "prior": StoredTensor.of(trees.prior, "<f8"),
        },
        tensors={name: StoredTensor.of(network.weights[name]) for name in TENSORS},
    )
    return content.model_dump_json(by_alias=True, indent=1) + "\n"


def load_risk_model(name: str = SHIPPED) -> RiskModel:
    """Return the shipped risk model, or the one of a file.

    Raises:
        UserError: the file cannot be read, or is not a risk model.
    """
    if name == SHIPPED:
        content = (files("eidolon.scorers.risk") / "data" / "risk.json").read_bytes()
        return _read(content, SHIPPED, SHIPPED)
    path = Path(name)
    content = read_bytes(path)
    return _read(content, hashed(path.stem, content), str(path))


def _read(content: bytes, label: str, place: str) -> RiskModel:
    refusal = f"{place}: not a risk model"
    found = parse_model_file(content, RiskFile, refusal)
    weights = read_tensors(found.tensors, TENSORS, refusal)
    tables = read_tensors(found.trees, TREE_TABLES, refusal)
    size = len(found.vocabulary)
    if len(weights["category"]) != size or len(tables["prior"]) != size:
        raise UserError(f"{refusal}: vocabulary and tensors differ in size")
    whole = {key: tables[key].astype(np.int64) for key in ("feature", "left", "right", "roots")}
    trees = Trees(
        **whole,
        threshold=tables["threshold"],
        value=tables["value"],
        depth=found.depth,
        start=found.start,
        prior=tables["prior"],
    )
    network = RiskNetwork(trees, weights)
    return RiskModel(label, found.vocabulary, network, found.calibration, found.calibration_with_history)
