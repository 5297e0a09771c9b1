"""The command line: one file a verb, imported when it is asked for.

Exit codes: 0 done; 2 the user's mistake, in one line; 3 too much is unscored, or the doctor found something; 4 a
condition of `--require` or `--fail-if-worse` is not met; 130 interrupted; 1 a bug, with its traceback.
"""

import gc
import io
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from eidolon.benchmark.cli.common import examples_of
from eidolon.benchmark.terminal.log import quiet_libraries, without_secrets
from eidolon.scorers.core.distribution import how_to_install
from eidolon.scorers.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter

VERBS = {
    "run": "eidolon.benchmark.cli.run:run",
    "score": "eidolon.benchmark.cli.score:score",
    "annotate": "eidolon.benchmark.cli.annotate:annotate",
    "merge": "eidolon.benchmark.cli.merge:merge",
    "export": "eidolon.benchmark.cli.export:export",
    "check": "eidolon.benchmark.cli.check:check",
    "compare": "eidolon.benchmark.cli.compare:compare",
    "reproduce": "eidolon.benchmark.cli.reproduce:reproduce",
    "leaderboard": "eidolon.benchmark.cli.leaderboard:leaderboard",
    "doctor": "eidolon.benchmark.cli.doctor:doctor",
    "view": "eidolon.benchmark.cli.view:view",
    "plot": "eidolon.benchmark.cli.plot:plot",
    "trace": "eidolon.benchmark.cli.trace:trace",
    "risk": "eidolon.benchmark.cli.risk:risk",
    "list": "eidolon.benchmark.cli.listing:list_names",
    "train": "eidolon.benchmark.cli.train:train",
    "memory": "eidolon.benchmark.cli.memory:memory",
    "vocabulary": "eidolon.benchmark.cli.vocabulary:vocabulary",
    "probes": "eidolon.benchmark.cli.probes:probes",
    "discover": "eidolon.benchmark.cli.discover:discover",
}
"""Each verb's function, or the typer application of its sub-verbs. The modules import nothing heavy before it is
called."""

SUMMARIES = {
    "merge": "Join the shards of a run (eidolon run --shard K/N), and score them together.",
    "export": "Write the samples, responses, mentions and scores of runs as tables.",
    "run": "Let models describe images, or answer what is in them, and measure what they hallucinate.",
    "score": "Score what exists already.",
    "annotate": "Look for names in images, and write a file of objects for eidolon score and run.",
    "check": "Verify run folders before they enter a leaderboard: files, ids, totals, judgements, scores, "
    "signature, truth.",
    "compare": "Compare two runs sample by sample: paired intervals, tests, and the smallest detectable effect.",
    "reproduce": "Score published result files again, and say which give their printed values.",
    "leaderboard": "Collect the scores of runs into a leaderboard, and say which of them may not be compared.",
    "doctor": "Examine a model: batches, padding, precision, caches, image order, determinism, limits, seeds, "
    "weights.",
    "view": "Write a page with every sample, the numbers and their plots, and open it. It needs no server and "
    "no network.",
    "plot": "Draw figures of runs as PDF, SVG and PNG. The same runs give the same bytes.",
    "trace": "Show where a text depends on the picture, and the moment it names what is not there.",
    "risk": "Estimate for each mention the probability that it is not in the picture. No picture is read.",
    "list": "List the models, datasets, judges, metrics or prompts there are: the name, then what it is.",
    "train": "Train a VL model, a judge or an aligner from scratch on Scenes, evaluate it and write its card.",
    "memory": "Study the memory family: what each memory keeps, and for how long.",
    "probes": "Learn from judged runs which absent objects models invent, as a file for eidolon run --split "
    "learned=FILE.",
    "discover": "Propose categories for what responses name and no category covers, as a file for -J lexicon=FILE.",
    "vocabulary": "Make a vocabulary file of a dataset's categories, for -J lexicon=FILE (judge qa: -J "
    "vocabulary=FILE).",
}
"""The first paragraph of each verb's help, so that the list of verbs imports none of them."""

NAMES_MODELS = ("run", "doctor", "trace")
"""Verbs without arguments, whose model is often given as one."""
GARBAGE, GARBAGE_WITHOUT_MODELS = 10_000, 200_000
"""New objects after which Python looks for cycles. With its own 700, that is a twentieth of the time of a command. The
imports of a verb make 150,000 objects, which all stay. Cycles with a model's tensors may hold much memory."""
WITHOUT_MODELS = ("score", "check", "compare", "leaderboard", "view", "list", "merge", "export")
"""Verbs that seldom or never load a model."""
_WORDS = tuple(
    (re.compile(theirs), ours)
    for theirs, ours in (
        (r"Input should be a valid integer, unable to parse string as an integer", "must be an integer"),
        (r"Input should be a valid number, unable to parse string as a number", "must be a number"),
        (r"Input should be greater than or equal to (\S+)", r"must be at least \1"),
        (r"Input should be less than or equal to (\S+)", r"must be at most \1"),
    )
)
"""Phrases of the command line's parser, and ours."""
_INVALID = re.compile(r"Invalid value for '(--[a-z-]+)': (.*)", re.DOTALL)
USER_ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
"""Exit codes. The last two are those of a shell for SIGINT and SIGPIPE."""


class _Verbs(TyperGroup):
    """Looks a verb up when it is named, so that one verb does not pay for the others."""

    _listing = False

    def list_commands(self, ctx: "Context") -> list[str]:
        return list(VERBS)

    def format_help(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        self._listing = True
        super().format_help(ctx, formatter)

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        if cmd_name not in VERBS:
            return None
        if self._listing and cmd_name in SUMMARIES:
            return TyperCommand(cmd_name, help=SUMMARIES[cmd_name])
        module, _, function = VERBS[cmd_name].partition(":")
        verb = getattr(import_module(module), function)
        if isinstance(verb, typer.Typer):
            for information in verb.registered_commands:
                if information.callback is not None:
                    information.epilog = examples_of(information.callback)
            group = typer.main.get_group(verb)
            group.name = cmd_name
            for command in group.commands.values():
                command.params.append(_log_level())
            return group
        application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        application.command(cmd_name, epilog=examples_of(verb))(verb)
        command = typer.main.get_command(application)
        command.params.append(_log_level())
        return command

    def resolve_command(self, ctx: "Context", args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            raise UserError(f"unknown command {args[0]!r}{did_you_mean(args[0], [*VERBS])}")
        return super().resolve_command(ctx, args)


def _log_level() -> TyperOption:
    """Return the option that every verb has, which shows the log while the verb runs."""
    template = typer.Typer(add_completion=False)

    def show(context: typer.Context, level: str | None) -> None:
        from eidolon.benchmark.terminal.log import find_level, to_stderr

        context.with_resource(to_stderr(find_level(level)))

    @template.command()
    def _(
        log_level: str | None = typer.Option(
            None,
            metavar="LEVEL",
            help="What of the log goes to stderr too: debug, info, warning or error. Default: warning, or "
            "what EIDOLON_LOG says.",
            callback=show,
            expose_value=False,
        ),
    ) -> None: ...

    (option,) = typer.main.get_command(template).params
    assert isinstance(option, TyperOption)
    return option


app = typer.Typer(
    cls=_Verbs,
    name="eidolon",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        from eidolon.scorers.core.distribution import package_version

        typer.echo(f"eidolon {package_version()}")
        raise typer.Exit()


@app.callback()
def _eidolon(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """What does a vision-language model describe that is not in the picture?"""


def invoke(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Exceptions other than the user's mistakes pass through."""
    for argument in arguments:
        if not argument.isascii() and argument != argument.encode(errors="replace").decode():
            return _complain(f"{argument}: is not UTF-8 text, which all that a run records must be")
    try:
        code = app([*arguments] or ["--help"], prog_name="eidolon", standalone_mode=False, obj=[*arguments])
    except UserError as error:
        return _complain(str(error))
    except ModuleNotFoundError as error:
        missing = how_to_install(error)
        if missing is None:
            raise
        return _complain(f"eidolon {' '.join(arguments[:1])} {missing}")
    except typer.TyperException as error:
        verb = next((word for word in arguments if word in VERBS), "")
        command = getattr(getattr(error, "ctx", None), "command_path", None) or f"eidolon {verb}".strip()
        return _complain(f"{_plain(error.format_message(), verb, arguments)}; see {command} --help")
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # the parser's answer to a reader that has left
            return BROKEN_PIPE
        if isinstance(error.code, int) and error.code > INTERRUPTED:  # a launcher's signal
            raise
        return _complain(f"a plug-in ended the program: SystemExit: {error.code}; the run is not finished")
    return code if isinstance(code, int) else 0


def _plain(message: str, verb: str, arguments: Sequence[str]) -> str:
    """Return the message of the command line's parser in our words, with the option's value."""
    for theirs, ours in _WORDS:
        message = theirs.sub(ours, message)
    option = _INVALID.match(message)
    if option is not None:
        flag, problem = option.groups()
        values = [b for a, b in pairwise(arguments) if a == flag]
        values += [word.partition("=")[2] for word in arguments if word.startswith(f"{flag}=")]
        message = f"{flag}{' ' if values else ''}{', '.join(values)}: {problem}"
    if message.startswith("Got unexpected extra argument") and verb in NAMES_MODELS:
        message = f"{message.rstrip('.')}: a model is named by --model"
    return message.rstrip(".")


def main() -> None:
    """Run the program. A terminal or pipe that takes fewer characters than UTF-8 has shows `?` for the rest."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace" if stream is sys.stderr else "replace")
    quiet_libraries()
    gc.set_threshold(GARBAGE_WITHOUT_MODELS if sys.argv[1:2] and sys.argv[1] in WITHOUT_MODELS else GARBAGE)
    sys.exit(invoke(sys.argv[1:]))


def _complain(message: str) -> int:
    from eidolon.benchmark.engine.launch import is_follower, wait_for_first_process
    from eidolon.benchmark.terminal.safe_text import one_line

    if is_follower():
        wait_for_first_process()
    print(f"error: {one_line(without_secrets(message))}", file=sys.stderr)
    return USER_ERROR
