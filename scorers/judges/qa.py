"""The judge `qa`: language models answer, category by category, what a response says.

The protocol is THRONE's (Kaul et al., CVPR 2024). N models answer M questions on every category from the text alone.
The V = N·M votes decide whether the category is present, absent, or ignored because the votes disagree.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Literal, TypeAlias

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.judge import describe_judge
from eidolon.scorers.core.language_model import LanguageModel, narrow_models
from eidolon.scorers.core.types import Judgement, Mention, Response, Verdict
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.judges.mentions import why_missing
from eidolon.scorers.judges.saved_votes import (
    VOTES,
    Audit,
    is_audited,
    is_settled,
    parse_probes,
    parse_screen,
    spread,
    verdict_of,
    worth_asking,
)
from eidolon.scorers.judges.throne_questions import (
    DEFAULT_FORMATS,
    RESPONSE_CHARACTERS,
    parse_formats,
    prompt,
    question,
)
from eidolon.scorers.judges.vote_rules import RULES, Vote, Voter
from eidolon.scorers.judges.votes import check_threshold, undecided_votes
from eidolon.scorers.text.lexicon import DEFAULT_LEXICON, label, load_lexicon
from eidolon.scorers.text.windows import windows

READINGS = ("compat", "windows")
Cells: TypeAlias = dict[str, dict[str, int | None]]
"""The votes so far on categories of a response, by name."""


class QuestionJudge:
    """Asks an ensemble of language models. A vote is named `judge/format`.

    `formats` are names of `throne_questions.FORMATS`, separated by commas. `threshold` is the number of votes that
    make a category present, by default all. `vocabulary` is the name of a lexicon or the path of a `.json` file, and
    `categories` narrows it.

    With the reading `compat`, a model sees the first 1024 characters of a response, as published. With `windows`, it
    sees the whole response in windows of at most that many characters, cut at the ends of sentences. A vote is then a
    yes if it is a yes in any window.

    `votes` says which votes are asked: `all`, or with `windows` also `needed` or `screened` (`saved_votes`). `screen`
    names votes, separated by commas, that `screened` also asks about categories that the text does not name: one yes
    makes a category worth asking. With a number of `probes`, they are first asked about so many of these categories,
    and about the others only after a yes.

    `answers` says how an answer becomes a vote (`vote_rules`): `exact`, `words`, `odds`, or by `auto` what fits the
    model.

    Raises:
        UserError: there are no models, or a format, the threshold, reading, lexicon or a category is unknown.
    """

    name = "qa"
    batch = 16
    """Each response takes hundreds of questions."""
    locates_mentions = False
    language_models: Literal["required", "optional"] = "required"
    default_metrics = ("throne", "objects")
    """Those that do not count mentions. `chair` does."""

    def __init__(
        self,
        models: Sequence[LanguageModel],
        formats: str = ",".join(DEFAULT_FORMATS),
        threshold: str | int | None = None,
        reading: str = "compat",
        vocabulary: str = DEFAULT_LEXICON,
        categories: str | None = None,
        votes: str = VOTES[0],
        answers: str = RULES[0],
        screen: str = "",
        probes: str | int | None = None,
    ) -> None:
        if not models:
            raise UserError("judge qa: there are no language models to ask; name some by -J models=…")
        if reading not in READINGS:
            raise UserError(f"-J reading={reading}: unknown reading{did_you_mean(reading, READINGS)}")
        if votes not in VOTES:
            raise UserError(f"-J votes={votes}: unknown{did_you_mean(votes, VOTES)}; give {', '.join(VOTES)}")
        if votes != "all" and reading == "compat":
            raise UserError(f"-J votes={votes}: reading=compat asks all votes; add -J reading=windows")
        self.votes, self.audit = votes, Audit()
        self.models = tuple(models)
        self._voters = tuple(Voter(model, answers) for model in models)
        open_to_doubt = [voter for voter in self._voters if voter.rule != "exact"]
        if votes != "all" and open_to_doubt:
            raise UserError(
                f"-J votes={votes}: model {open_to_doubt[0].name!r} may leave a vote undecided "
                f"(-J answers={open_to_doubt[0].rule}); give -J votes=all"
            )
        self.judges = tuple(model.name for model in models)
        if len(set(self.judges)) != len(self.judges):
            raise ValueError(f"models of an ensemble need different names, found {', '.join(self.judges)}")
        self.formats = parse_formats(formats)
        self.voters = len(self.judges) * len(self.formats)
        self.threshold = _parse_threshold(threshold, self.voters)
        ballots = [(voter, form) for voter in self._voters for form in self.formats]
        self.screen = parse_screen(screen, votes, [f"{voter.name}/{form}" for voter, form in ballots])
        self.probes = parse_probes(probes, self.screen)
        # Those of the screen first, as they decide which others are asked.
        self._ballots = sorted(ballots, key=lambda one: f"{one[0].name}/{one[1]}" not in self.screen)
        self.reading = reading
        self.lexicon = load_lexicon(vocabulary)
        chosen = None if categories is None else [name.strip() for name in categories.split(",")]
        self.known = self.lexicon.vocabulary
        self.vocabulary = self.lexicon.select(chosen)
        self._questions = tuple(
            (f, category, question(f, category)) for f in self.formats for category in self.vocabulary
        )

    @property
    def asks_all_votes(self) -> bool:
        """Whether every vote is asked."""
        return self.votes == "all"

    @property
    def reads_raw_text(self) -> bool:
        """Whether the reading is that of the released program."""
        return self.reading == "compat"

    def signature(self) -> str:
        """Return the settings, as the judge's part of the score's signature."""
        return describe_judge(self.name, self.settings())

    def settings(self) -> dict[str, str]:
        """Return the models with their hashes, and the options, by name."""
        return {
            "models": "+".join(model.signature() for model in self.models),
            "formats": "+".join(self.formats),
            "threshold": f"{self.threshold}of{self.voters}",
            "reading": self.reading,
            "vocabulary": label(self.lexicon, self.vocabulary),
            **self._answer_rules(),
            **({} if self.asks_all_votes else {"votes": f"{self.votes}/1"}),
            **({"screen": "+".join(self.screen)} if self.screen else {}),
            **({} if self.probes is None else {"probes": str(self.probes)}),
        }

    def _answer_rules(self) -> dict[str, str]:
        """Return the rules if they are not all that of THRONE, with the version of the built-in questions."""
        rules = [voter.rule for voter in self._voters]
        return {} if set(rules) == {"exact"} else {"answers": "+".join(rules) + "/1"}

    def weaknesses(self) -> tuple[str, ...]:
        """Return which models failed the built-in questions, each in a line. Nothing before they were asked."""
        return tuple(text for voter in self._voters if (text := voter.weakness()) is not None)

    def narrow(self) -> dict[str, list[str]]:
        """Return the models that know the texts of one dataset alone, by the dataset's name."""
        return narrow_models(self.models)

    def reader(self) -> LexiconJudge:
        """Return the careful lexicon judge of the same categories."""
        return LexiconJudge("careful", self.lexicon, self.vocabulary)

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement for each response, in order. Verdicts are set only if a category is ignored.

        A response with an error, or on which a model fails, is unscored with the reason. The questions about `batch`
        responses are in memory at a time.
        """
        rest = iter(responses)
        while chunk := list(islice(rest, self.batch)):
            yield from self._judge_chunk(chunk) if self.asks_all_votes else self._judge_saving(chunk)

    def note(self) -> str | None:
        """Return, for `screened`, how far the verdicts differ from those of all votes where that was measured."""
        return str(self.audit) if self.votes == "screened" else None

    def _judge_chunk(self, responses: Sequence[Response]) -> Iterator[Judgement]:
        failed, texts = self._readable(responses)
        cast: dict[int, dict[str, dict[str, int | None]]] = {i: {} for i in texts}
        unreadable = dict.fromkeys(texts, 0)
        for voter in self._voters:
            asked = {i: found for i, found in texts.items() if i not in failed}
            for i, answers in self._ask(voter, asked, dict.fromkeys(asked, self._questions)).items():
                if isinstance(answers, str):
                    failed[i] = answers
                    continue
                for (f, category), vote in answers.items():
                    unreadable[i] += not vote.readable
                    if vote.yes is not False:
                        votes = cast[i].setdefault(category, self._no_votes())
                        votes[f"{voter.name}/{f}"] = None if vote.yes is None else 1
        for i, response in enumerate(responses):
            yield self._judgement(response, cast.get(i, {}), failed.get(i), unreadable.get(i, 0))

    def _readable(self, responses: Sequence[Response]) -> tuple[dict[int, str], dict[int, list[str]]]:
        """Return by position why there is no text, and the windows of the others."""
        failed: dict[int, str] = {}
        texts: dict[int, list[str]] = {}
        for i, response in enumerate(responses):
            if response.error is not None or response.response is None:
                failed[i] = why_missing(response)
            else:
                texts[i] = self._texts(response.response)
        return failed, texts

    def _texts(self, response: str) -> list[str]:
        if self.reading == "windows":
            return windows(response, RESPONSE_CHARACTERS)
        return [response[:RESPONSE_CHARACTERS]]

    def _judge_saving(self, responses: Sequence[Response]) -> Iterator[Judgement]:
        """Judge a chunk vote by vote, and ask each about the cells alone that it may still decide."""
        failed, texts = self._readable(responses)
        named = dict(zip(texts, self._screened([responses[i] for i in texts]), strict=True))
        whole = {i: self.vocabulary if is_audited(responses[i]) else names for i, names in named.items()}
        cells: dict[int, Cells] = {
            i: {category: {} for category in (*names, *self._first(names))} for i, names in whole.items()
        }

        def poll(ballots: Sequence[tuple[Voter, str]]) -> None:
            for voter, form in ballots:
                questions = {
                    i: self._open(of_one, voter, form) for i, of_one in cells.items() if i not in failed
                }
                wanted = {i: texts[i] for i, asked in questions.items() if asked}
                for i, answers in self._ask(voter, wanted, questions).items():
                    if isinstance(answers, str):
                        failed[i] = answers
                        continue
                    for (_, category), vote in answers.items():
                        cells[i][category][f"{voter.name}/{form}"] = int(vote.yes is True)

        screen, rest = self._ballots[: len(self.screen)], self._ballots[len(self.screen) :]
        poll(screen)
        if self.probes is not None:
            for i, of_one in cells.items():
                if any(any(votes.values()) for category, votes in of_one.items() if category not in whole[i]):
                    cells[i] = {category: {} for category in self.vocabulary} | of_one
            poll(screen)
        for i, of_one in cells.items():
            cells[i] = {c: votes for c, votes in of_one.items() if c in whole[i] or any(votes.values())}
        poll(rest)
        for i, names in named.items():
            if self.votes == "screened" and is_audited(responses[i]) and i not in failed:
                self._count_differing(cells[i], names)
        for i, response in enumerate(responses):
            yes = {category: votes for category, votes in cells.get(i, {}).items() if any(votes.values())}
            yield self._judgement(response, yes, failed.get(i))

    def _open(self, of_one: Cells, voter: Voter, form: str) -> list[tuple[str, str, str]]:
        """Return the questions of a format about the cells of a response that a vote may still decide."""
        return [
            asked
            for asked in self._questions
            if asked[0] == form
            and (votes := of_one.get(asked[1])) is not None
            and f"{voter.name}/{form}" not in votes
            and not is_settled(map(bool, votes.values()), self.voters, self.threshold)
        ]

    def _screened(self, responses: Sequence[Response]) -> list[tuple[str, ...]]:
        if self.votes == "screened":
            return worth_asking(self._namers, responses, self.vocabulary)
        return [self.vocabulary for _ in responses]

    @cached_property
    def _namers(self) -> tuple[LexiconJudge, ...]:
        return self.reader().namers()

    def _first(self, named: Sequence[str]) -> tuple[str, ...]:
        """Return the categories that the screen is asked about first, beside those that the text names."""
        if not self.screen:
            return ()
        others = tuple(category for category in self.vocabulary if category not in named)
        return others if self.probes is None else spread(others, self.probes)

    def _count_differing(self, cells: Cells, named: Sequence[str]) -> None:
        affirmed = {c for c, votes in cells.items() if any(votes.get(name) for name in self.screen)}
        probes = set(self._first(named))
        kept = {*named, *(affirmed if affirmed & probes else ())}
        self.audit.responses += 1
        self.audit.cells += len(cells)
        self.audit.differing += sum(
            verdict_of(sum(map(bool, votes.values())), self.voters, self.threshold) != "absent"
            for category, votes in cells.items()
            if category not in kept
        )

    def _ask(
        self,
        voter: Voter,
        texts: Mapping[int, Sequence[str]],
        questions: Mapping[int, Sequence[tuple[str, str, str]]],
    ) -> dict[int, dict[tuple[str, str], Vote] | str]:
        """Return, for each response, the votes of one model by (format, category), or why there are none.

        `questions` are (format, category, question) for each response.
        """
        forms: dict[str, str] = {}
        for i, windows_of_one in texts.items():
            for text in windows_of_one:
                for f, _, asked in questions[i]:
                    forms.setdefault(prompt(text, asked), f)
        given = dict(zip(forms, voter.votes([*forms.values()], [*forms]), strict=True))
        found: dict[int, dict[tuple[str, str], Vote] | str] = {}
        for i, windows_of_one in texts.items():
            votes: dict[tuple[str, str], Vote] = {}
            error = None
            for f, category, asked in questions[i]:
                answers = [given[prompt(text, asked)] for text in windows_of_one]
                error = error or next((a.error for a in answers if a.error is not None), None)
                votes[f, category] = _of_windows(answers)
            found[i] = votes if error is None else f"judge {voter.name}: {error}"
        return found

    def _no_votes(self) -> dict[str, int | None]:
        return {f"{judge}/{f}": 0 for judge in self.judges for f in self.formats}

    def _judgement(
        self,
        response: Response,
        cast: Mapping[str, dict[str, int | None]],
        unscored: str | None,
        unreadable: int = 0,
    ) -> Judgement:
        votes = {category: cast[category] for category in self.vocabulary if category in cast}
        return Judgement(
            sample_id=response.sample_id,
            image_id=response.image_id,
            generation=response.generation,
            mentions=() if unscored else tuple(self._mentions(votes)),
            unscored=unscored,
            votes=None if unscored else votes,
            unreadable=0 if unscored else unreadable,
        )

    def _mentions(self, votes: Mapping[str, dict[str, int | None]]) -> Iterator[Mention]:
        for category, of_one in votes.items():
            count = sum(vote == 1 for vote in of_one.values())
            if count + undecided_votes(of_one) <= self.voters - self.threshold and count < self.threshold:
                continue
            verdict: Verdict | None = None if count >= self.threshold else "ignored"
            yield Mention(category=category, text="", start=0, end=0, word=0, verdict=verdict, votes=of_one)


def _of_windows(answers: Sequence[Vote]) -> Vote:
    """Return the vote on a whole response: yes if it is yes in any window, else undecided if any window is."""
    readable = all(answer.readable for answer in answers)
    if any(answer.yes for answer in answers):
        return Vote(True, readable)
    return Vote(None if any(answer.yes is None for answer in answers) else False, readable)


def _parse_threshold(threshold: str | int | None, voters: int) -> int:
    if threshold is None:
        return voters
    if isinstance(threshold, str) and not (threshold.isascii() and threshold.isdigit()):
        raise UserError(f"-J threshold={threshold}: must be a whole number of votes")
    return check_threshold(int(threshold), voters, flag="-J threshold=")
