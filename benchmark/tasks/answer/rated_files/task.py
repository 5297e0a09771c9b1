"""MMHal-Bench from files: answers in the published layout, rated by a language model or by replies that exist."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from eidolon.benchmark.data.question_layouts import LAYOUTS, Questions
from eidolon.benchmark.settings.config import ConfigRecord, Inputs, deciding
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.answer.judge import rating_judge
from eidolon.benchmark.tasks.answer.rated_files.checks import MmHalChecks
from eidolon.benchmark.tasks.answer.rated_files.evaluation import read_evaluation
from eidolon.benchmark.tasks.answer.work import ANSWER_FILES, AnswerWork
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.protocol import Producer, Run
from eidolon.benchmark.tasks.score_files.inputs import check_fields, content_hashes, one_answer_file
from eidolon.benchmark.tasks.score_files.published.answers import FIELDS, read_answers
from eidolon.benchmark.tasks.score_files.work import FileProducer
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import read_bytes
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.notes import InputNote, warning
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.rating import SavedReplies
from eidolon.scorers.metrics.benchmarks.mmhal import QUESTIONS
from eidolon.scorers.metrics.benchmarks.question import FIXED
from eidolon.scorers.text.answer import RAW

if TYPE_CHECKING:
    from rich.console import Console


class MmHalTask:
    """MMHal-Bench from files: answers about images, rated from 0 to 6 by a language model (-J models)."""

    name: ClassVar[str] = "mmhal"
    verb: ClassVar[Literal["score"]] = "score"
    run_files: ClassVar[tuple[TaskFile, ...]] = ANSWER_FILES
    fields: ClassVar[tuple[str, ...]] = (
        "questions",
        "answers",
        "evaluation",
        "judge_options",
        "mode",
        "fields",
    )
    needs: ClassVar[tuple[str, ...]] = ("answers",)

    def plan(self, given: Given[ScoreSettings], out: Path) -> tuple[Run, Producer]:
        """Read and check all inputs. The questions are in the file of answers, unless `questions` names another.

        Replies of a judge that exist are read as the released program reads them; those that are made here by whole
        words, unless the user names the mode.

        Raises:
            UserError: a setting or a file is wrong.
        """
        settings, layout = given.settings, LAYOUTS[self.name]
        if settings.evaluation is None and not given.says("mode"):
            settings = settings.model_copy(update={"mode": FIXED})
        benchmark = layout.benchmark(settings.mode)
        check_fields(settings.fields, FIELDS)
        answer_path = one_answer_file(settings)
        question_bytes, questions = layout.read(settings.questions or answer_path)
        answer_bytes = read_bytes(answer_path)
        answers = read_answers(answer_bytes, answer_path, layout, questions, settings.fields)
        if not any(text.strip() for text in answers.texts.values()):
            raise UserError(f"{answer_path}: all {len(questions)} answers are empty; is it the template?")
        judge, evaluation = _judge(settings, questions)
        samples = tuple(
            SampleRow(sample_id=number, image_id=one.cluster, objects=()) for number, one in questions.items()
        )
        keys = tuple((row.sample_id, 0) for row in samples)
        signature = Signature(
            dataset=hashed((settings.questions or answer_path).stem, question_bytes),
            prompt="questions",
            judge=judge.signature(),
            text=RAW.signature(),
            policy=f"{self.name}({benchmark.mode})",
            n=len(keys),
            resamples=settings.resamples,
            seed=settings.seed,
        )
        name = settings.label or out.resolve().name
        asked = tuple(questions.values())
        run = Run(
            path=out,
            name=name,
            config=ConfigRecord(
                verb="score",
                task=self.name,
                settings=deciding(settings),
                inputs=Inputs(
                    files=content_hashes(questions=question_bytes, answers=answer_bytes, **evaluation),
                    judge=judge.signature(),
                    notes=(*answers.notes, *_size_note(len(keys))),
                ),
            ),
            signature=signature,
            sample_ids=tuple(row.sample_id for row in samples),
            keys=keys,
            batch_size=len(keys),
            work=AnswerWork(
                name, samples, keys, asked, benchmark, signature, settings.seed, settings.resamples, judge
            ),
        )
        responses = [
            Response(sample_id=number, image_id=one.cluster, response=answers.texts[number], prompt=one.text)
            for number, one in questions.items()
        ]
        return run, FileProducer(responses)

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return MmHalChecks()

    def show(self, runs: "Sequence[tuple[Run, Scores]]", console: "Console") -> None:
        """Print the quantities of the runs."""
        from eidolon.benchmark.tasks.score_files import table

        for run, scores in runs:
            table.show(scores, run.name, run.config.score_settings().mode, console)


def _judge(settings: ScoreSettings, questions: Questions) -> tuple[Judge, dict[str, bytes]]:
    """Return the judge, and the content of the file that holds its replies, by the setting that names it."""
    if settings.evaluation is None:
        return rating_judge("--metric mmhal without --evaluation", settings.judge_options)(questions), {}
    for key, value in settings.judge_options.items():
        raise UserError(f"-J {key}={value}: the replies are those of --evaluation; leave one of the two out")
    content = read_bytes(settings.evaluation)
    replies = read_evaluation(content, settings.evaluation, len(questions))
    source = hashed(settings.evaluation.stem, content)
    return SavedReplies(source, dict(zip(questions, replies, strict=True))), {"evaluation": content}


def _size_note(count: int) -> tuple[InputNote, ...]:
    return () if count == QUESTIONS else (warning("answers", "questions", count=count, of=QUESTIONS),)
