"""Options of `--metric capture` and `comprecap`: how captions are read, and who rates them."""

from collections.abc import Sequence

from eidolon.benchmark.data.caption_layouts import DESCRIPTIONS
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.language_model import LanguageModel
from eidolon.scorers.judges.caption_graphs import CaptionParser
from eidolon.scorers.judges.embeddings import SentenceEmbedder
from eidolon.scorers.judges.graph_coverage import GraphCoverage
from eidolon.scorers.judges.graph_matching import GraphMatcher
from eidolon.scorers.judges.matching import NameMatcher
from eidolon.scorers.judges.noun_readers import NounReader, ParsedNouns, TaggedNouns
from eidolon.scorers.judges.phrase_raters import ModelRatings, PhraseRater, SharedWords
from eidolon.scorers.judges.synonyms import LexiconSynonyms, Synonyms, WordNetSynonyms
from eidolon.scorers.metrics.benchmarks.question import COMPAT
from eidolon.scorers.text.lexicon import DEFAULT_LEXICON, load_lexicon


class CaptureOptions:
    """Options of CAPTURE: `pipeline` of nouns, `embeddings` for soft matching, `wordnet` for synonyms, `lexicon`.

    Raises:
        UserError: what an option names is not there.
    """

    def __init__(
        self,
        pipeline: str | None = None,
        embeddings: str | None = None,
        wordnet: str | None = None,
        lexicon: str = DEFAULT_LEXICON,
    ) -> None:
        words = load_lexicon(lexicon)
        self._synonyms: Synonyms = LexiconSynonyms(words) if wordnet is None else WordNetSynonyms(wordnet)
        self._embedder = None if embeddings is None else SentenceEmbedder(embeddings)
        self.parser = CaptionParser(_nouns(pipeline, lexicon))

    def matcher(self, mode: str) -> GraphMatcher:
        """Return what compares two graphs."""
        return GraphMatcher(self._synonyms, self._embedder, compat=mode == COMPAT)


class CompreCapOptions:
    """Options of CompreCap: `pipeline` of nouns, `embeddings` for objects, `models`, `description` and `lexicon`.

    Without `embeddings`, a noun is an object by its name in the lexicon. Without `models`, phrases are rated by the
    words that they share with the sentences. `description` is `short` or `extended`.

    Raises:
        UserError: an option is wrong, or what it names is not there.
    """

    def __init__(
        self,
        pipeline: str | None = None,
        embeddings: str | None = None,
        models: Sequence[LanguageModel] = (),
        description: str = "short",
        lexicon: str = DEFAULT_LEXICON,
    ) -> None:
        if description not in DESCRIPTIONS:
            hint = did_you_mean(description, [*DESCRIPTIONS])
            raise UserError(f"-J description={description}: must be short or extended{hint}")
        if len(models) > 1:
            raise UserError(f"-J models: metric comprecap asks one language model, found {len(models)}")
        self.description = DESCRIPTIONS[description]
        self._names = NameMatcher(load_lexicon(lexicon))
        self._embedder = None if embeddings is None else SentenceEmbedder(embeddings)
        self._nouns = _nouns(pipeline, lexicon)
        self._models = tuple(models)

    def coverage(self, mode: str) -> GraphCoverage:
        """Return what finds the objects that a caption covers."""
        return GraphCoverage(self._nouns, self._names, self._embedder, compat=mode == COMPAT)

    def rater(self, mode: str) -> PhraseRater:
        """Return what rates phrases."""
        return ModelRatings(self._models[0], compat=mode == COMPAT) if self._models else SharedWords()


def _nouns(pipeline: str | None, lexicon: str) -> NounReader:
    words = load_lexicon(lexicon)
    return TaggedNouns(words) if pipeline is None else ParsedNouns.load(pipeline, words)
