"""Annotators by what `--with` names: `clip/NAME`, `detector/NAME`, `gallery/FOLDER`, `aligner`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from eidolon.benchmark.annotate.annotator import Annotator
from eidolon.benchmark.annotate.by_gallery import REJECT, gallery_files, gallery_names
from eidolon.benchmark.annotate.names import read_names
from eidolon.benchmark.settings.annotate import AnnotateSettings
from eidolon.models.base.options import validate_options
from eidolon.models.encoders.loading import EncoderOptions
from eidolon.models.encoders.protocol import ImageEncoder, TwoTowers
from eidolon.models.encoders.regions import RegionKind
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import excerpt

KINDS = ("clip", "detector", "gallery", "aligner")
OF_GALLERY = ("encoder", "regions", "reject")
"""Options of a gallery beside those of its encoder."""
ALIGNER = "aligner"
SIGNS = "signs"
"""The encoder of a gallery that reads the signs of Scenes."""
TEMPLATES = ("a photo of a {}.", "a picture with a {}.", "there is a {} in the scene.")
"""Sentences around a name; their embeddings are averaged (Radford et al. 2021, section 3.1.4)."""
ALIGNER_TEMPLATES = ("{}", "a {}", "a picture of a {}")
"""Those that the aligner was trained on."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What `--with` and `--names` say, checked without loading anything."""

    kind: str
    name: str
    """What follows the slash."""
    names: tuple[str, ...]
    settings: AnnotateSettings

    @property
    def given(self) -> str:
        """What the user wrote, for messages."""
        return f"--with {self.settings.annotator}"

    def make(self) -> Annotator:
        """Load what looks at the images.

        Raises:
            UserError: a checkpoint or an option is wrong.
        """
        options = self.settings.annotator_options
        if self.kind == "detector":
            from eidolon.benchmark.annotate.by_detector import DetectorAnnotator
            from eidolon.models.encoders.detector import ZeroShotDetector

            detector = ZeroShotDetector(self.given, self.name, validate_options(EncoderOptions, options))
            return DetectorAnnotator(detector, self.names)
        if self.kind == "gallery":
            return self._gallery()
        from eidolon.benchmark.annotate.by_encoder import EncoderAnnotator

        encoder, identity = dual_encoder(self.given, self.kind, self.name, options)
        usual = ALIGNER_TEMPLATES if self.kind == ALIGNER else TEMPLATES
        return EncoderAnnotator(encoder, identity, self.names, self.settings.templates or usual)

    def _gallery(self) -> Annotator:
        from eidolon.benchmark.annotate.by_gallery import GalleryAnnotator, read_gallery

        options = dict(self.settings.annotator_options)
        regions, reject = _regions(options.pop("regions", "components")), _reject(options.pop("reject", None))
        named = options.pop("encoder", None)
        if named is None:
            raise UserError(
                f"{self.given}: name what embeds the crops: -M encoder=clip/NAME, -M encoder=NAME for an encoder of "
                f"images of transformers, or -M encoder={SIGNS} for the signs of Scenes"
            )
        kind, _, name = named.partition("/")
        encoder: ImageEncoder
        if named == SIGNS:
            encoder, identity = _shipped_reader(f"-M encoder={named}", options)
        elif kind in ("clip", ALIGNER):
            encoder, identity = dual_encoder(f"-M encoder={named}", kind, name, options)
        else:
            from eidolon.models.encoders.dual_encoder import TransformersImageEncoder

            loaded = TransformersImageEncoder(
                f"-M encoder={named}", named, validate_options(EncoderOptions, options)
            )
            encoder, identity = loaded, loaded.identity
        gallery = read_gallery(Path(self.name), self.names, encoder)
        return GalleryAnnotator(encoder, identity, gallery, regions=regions, reject=reject)


def choose(settings: AnnotateSettings) -> Chosen:
    """Check `--with` and `--names`.

    Raises:
        UserError: one of them is missing or wrong.
    """
    given = settings.annotator
    if given is None:
        raise UserError(f"--with: say what looks at the images: {', '.join(KINDS[:3])}/NAME, or {ALIGNER}")
    kind, _, name = given.partition("/")
    if kind not in KINDS:
        raise UserError(f"--with {given}: unknown annotator {kind!r}{did_you_mean(kind, KINDS)}")
    if kind == ALIGNER and name:
        raise UserError(f"--with {given}: write --with {ALIGNER}; it has no name")
    if kind != ALIGNER and not name:
        raise UserError(
            f"--with {given}: name the {'folder' if kind == 'gallery' else 'checkpoint'}: {kind}/NAME"
        )
    wanted = None if settings.names is None else read_names(settings.names)
    if kind == "gallery":
        names = gallery_names(Path(name), wanted)
        gallery_files(Path(name), names)
        return Chosen(kind, name, names, settings)
    if kind == "detector" and settings.templates:
        raise UserError(f"--template {settings.templates[0]}: is for clip/NAME and {ALIGNER}; leave it out")
    if option := next((key for key in settings.annotator_options if key in OF_GALLERY), None):
        raise UserError(f"-M {option}={settings.annotator_options[option]}: is an option of gallery/FOLDER")
    if wanted is None:
        raise UserError("--names: give the names to look for, as --names cup,dog or --names FILE")
    return Chosen(kind, name, wanted, settings)


def dual_encoder(
    given: str, kind: str, name: str, options: Mapping[str, str]
) -> tuple[TwoTowers, dict[str, Any]]:
    """Return a dual encoder and its identity: one of transformers, or the shipped aligner."""
    if kind == ALIGNER:
        return _shipped(given, kind, options)
    from eidolon.models.encoders.dual_encoder import TransformersDualEncoder

    encoder = TransformersDualEncoder(given, name, validate_options(EncoderOptions, options))
    return encoder, encoder.identity


def _shipped(given: str, kind: str, options: Mapping[str, str]) -> tuple[TwoTowers, dict[str, Any]]:
    """Return a shipped aligner, and the hashes of its files with the versions of the programs."""
    from eidolon.models.aligner.aligner import load_aligner
    from eidolon.models.base.shipped import CHECKPOINTS

    _refuse(given, options)
    folder = CHECKPOINTS / kind
    return load_aligner(folder), _identity_of(folder)


def _shipped_reader(given: str, options: Mapping[str, str]) -> tuple[ImageEncoder, dict[str, Any]]:
    """Return the shipped reader of signs and its identity."""
    from eidolon.models.aligner.sign_reader import SHIPPED_SIGNS, load_sign_reader

    _refuse(given, options)
    return load_sign_reader(), _identity_of(SHIPPED_SIGNS)


def _refuse(given: str, options: Mapping[str, str]) -> None:
    """Raise UserError for options: a shipped model takes none."""
    if option := next(iter(options), None):
        raise UserError(f"-M {option}={options[option]}: {given} takes no such option")


def _identity_of(folder: Path) -> dict[str, Any]:
    from eidolon.models.base.checkpoint_files import checkpoint_files, file_sha256
    from eidolon.models.base.identity import versions

    hashes = {name: file_sha256(file) for name, file in checkpoint_files(folder).items()}
    return {"checkpoint": {"files": hashes}, "versions": versions()}


def _regions(given: str) -> RegionKind:
    for kind in get_args(RegionKind):
        if given == kind:
            found: RegionKind = kind
            return found
    known = get_args(RegionKind)
    raise UserError(f"-M regions={given}: must be one of {', '.join(known)}{did_you_mean(given, known)}")


def _reject(given: str | None) -> float:
    if given is None:
        return REJECT
    try:
        value = float(given)
    except ValueError:
        value = 2.0
    if not -1 <= value < 1:
        raise UserError(f"-M reject={excerpt(given)}: must be a cosine from -1 to 1, as 0.6")
    return value
