"""The docstrings of settings, which are the help of the command line."""

import pytest
from pydantic import ConfigDict

from eidolon.benchmark.settings.annotate import AnnotateSettings
from eidolon.benchmark.settings.doctor import DoctorSettings
from eidolon.benchmark.settings.fields import Settings, docstrings
from eidolon.benchmark.settings.run import ModelSpec, RunSettings
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.settings.train import MemoryTrainingSettings


class Base(Settings):
    model_config = ConfigDict(use_attribute_docstrings=True)

    first: int = 1
    """One line."""
    silent: int = 2
    other: str = ""
    """Two lines,
    the second indented."""


class Derived(Base):
    """A docstring of the class."""

    first: int = 3
    """Another line."""
    last: float = 0.5
    """At the end."""


@pytest.mark.parametrize("kind", [Base, Derived])
def test_they_are_those_of_pydantic(kind: type[Settings]) -> None:
    theirs = {name: field.description for name, field in kind.model_fields.items() if field.description}
    assert len(theirs) >= 2
    assert docstrings(kind) == theirs


@pytest.mark.parametrize(
    "kind",
    [RunSettings, ScoreSettings, AnnotateSettings, DoctorSettings, MemoryTrainingSettings, ModelSpec],
)
def test_every_field_has_one(kind: type[Settings]) -> None:
    assert set(docstrings(kind)) == set(kind.model_fields)
