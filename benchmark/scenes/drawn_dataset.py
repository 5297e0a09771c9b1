"""What all drawn datasets share: dials from the `-D` options, and rows that are drawn into a temporary file."""

import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from eidolon.scorers.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import datasets

DEFAULT_SAMPLES = 64
"""How many scenes are drawn without `--limit`."""

DialsT = TypeVar("DialsT", bound=BaseModel)


def read_dials(kind: type[DialsT], title: str, where: str, options: Mapping[str, str]) -> DialsT:
    """Return the dials that the options of a dataset set. `title` is its name, with a capital.

    Raises:
        UserError: there is something after the slash, or an option is unknown or out of its range.
    """
    if where:
        name = title.lower()
        raise UserError(f"--dataset {name}/{where}: {title} is drawn, not read; write --dataset {name}")
    for key, value in options.items():
        if key not in kind.model_fields:
            fix = did_you_mean(key, [*kind.model_fields])
            raise UserError(f"-D {key}={value}: {title} has no dial {key!r}{fix}")
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        given = {field: options[field]} if field in options else options
        flags = ", ".join(f"{key}={value}" for key, value in given.items())
        raise UserError(f"-D {flags}: {problem['msg']}") from error


def draw_rows(
    rows: Callable[..., Iterator[dict[str, Any]]],
    features: "datasets.Features",
    *,
    name: str,
    arguments: Mapping[str, Any],
) -> "datasets.Dataset":
    """Return the rows as a dataset.

    They are written to a temporary Arrow file while they are drawn, so that memory use stays constant. The file is
    deleted with the dataset.
    """
    import datasets

    folder = tempfile.TemporaryDirectory(prefix=f"eidolon-{name}-")
    was_quiet = not datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        dataset = datasets.Dataset.from_generator(
            rows, features=features, cache_dir=folder.name, gen_kwargs=dict(arguments)
        )
    finally:
        if not was_quiet:
            datasets.enable_progress_bars()
    weakref.finalize(dataset, folder.cleanup)
    return dataset
