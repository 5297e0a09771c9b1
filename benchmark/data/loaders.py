"""What a dataset is to a run: the contract of its loader, for built-in datasets and plug-ins alike."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import datasets


class DatasetLoader(Protocol):
    """Loads a dataset. A function with these four parameters is one.

    A package adds a dataset with one entry point and no other registration:

        [project.entry-points."eidolon.datasets"]
        birds = "my_package.birds:load_birds"

    `eidolon list datasets` shows the first sentence of the loader's docstring.

    The returned `datasets.Dataset` has these columns. The first three are required; other columns are ignored.

    - `image_id`: strings or whole numbers, of one type. Ground truth is joined on it.
    - `image`: a `datasets.Image` feature. Images may stay files: nothing is decoded before its sample is due.
    - `objects`: a list of strings, the categories that are in the image, in the words of the judge.
    - `sample_id`: a string, unique in the dataset. Needed where an image occurs more than once; default: `image_id`.
    - `references`: a list of strings, captions that people wrote for the image.
    - `areas`: a list of floats or nulls, one for each of `objects`: the share of the image, 0 to 1, that the largest
      instance covers.
    - `boxes`: a list with a list of boxes (x0, y0, x1, y1) for each of `objects`, as shares of the image's sides. The
      page of `eidolon view` draws them.
    - `colours`: a list of strings or nulls, one for each of `objects`. The metric `attributes` compares with both.
    - `attribution`: a struct of strings, source and licence of the image. A run writes them to `attribution.csv`.

    A dataset whose truth an annotator made has four more; `eidolon annotate` writes what they hold:

    - `annotator`: a string, the same in all rows: who made the truth, and how far it was checked.
    - `looked_for`: a list of strings, the names that it looked for.
    - `unsure`: a list of strings, those that it left open.
    - `labelled`: a list of strings, the true ones, or null outside of the part that people labelled.

    The order of the rows is the order of the samples. The same arguments must give the same rows.
    """

    def __call__(
        self, where: str, limit: int | None, seed: int, options: Mapping[str, str]
    ) -> "datasets.Dataset":
        """Return at least the first `limit` rows of the dataset.

        Args:
            where: What follows the slash in `--dataset NAME/WHERE`; empty without a slash.
            limit: How many rows are needed; None for all. More may be returned: the run cuts them off.
            seed: The run's seed, for datasets that are drawn.
            options: The `-D key=value` pairs as given. They are recorded in `run.json`.

        Raises:
            UserError: `where`, an option or a file is wrong. The message is one line that names the flag, or the file
                and line, the value and the fix. An unknown option is an error too.
        """


class GeneratedLoader:
    """A loader whose samples are generated, so that there are as many as `limit` asks for. Use it as a decorator."""

    def __init__(self, load: DatasetLoader) -> None:
        self._load = load

    def __call__(
        self, where: str, limit: int | None, seed: int, options: Mapping[str, str]
    ) -> "datasets.Dataset":
        """Return `limit` generated rows, or the dataset's default number of them."""
        return self._load(where, limit, seed, options)
