"""Records of earlier versions, read as records of this one.

Version 1 kept the configuration as free fields, the judge as the text of its signature, and the parts of the run's
signature only in `scores.json`.
"""

import re
from collections.abc import Mapping
from typing import Any

from eidolon.benchmark.settings.fields import ALL
from eidolon.scorers.core.signature import parse

_LEXICON = re.compile(r"lexicon\(reading=(\w+),vocabulary=([\w.-]+)(?::([^:()]+))?\)")
_LEXICON_DEFAULTS = {"reading": "careful", "lexicon": "coco80"}
_PROBE_JUDGE = "yes-no"
"""Version 1 recorded no judge of a probe."""
_FILES = ("responses", "annotations", "questions", "relations", "safe_words")


def upgrade(document: Mapping[str, Any], signature: str | None) -> dict[str, Any]:
    """Return a record of version 1 as one of version 2; any other document is returned as it is.

    `signature` is the line in the folder's `scores.json`, where there is one.

    Raises:
        KeyError, TypeError, ValueError: the document is not what version 1 wrote.
    """
    if document.get("schema") != "eidolon/run/1":
        return dict(document)
    config = document["config"]
    parts = None if signature is None else parse(signature)
    return {
        **document,
        "schema": "eidolon/run/2",
        "config": _run(config) if config["verb"] == "run" else _score(config),
        "signature": parts
        and {
            **{name: None if value == "unknown" else value for name, value in parts.items()},
            "judge_settings": _settings_of(config, parts["judge"]),
        },
    }


def in_recorded_order(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new configuration, JSON-ready, with the lexicon's categories in the order of an old one.

    Version 1 kept the categories only in the judge's signature, in the lexicon's order, which the command may not have.
    Their order changes no score. Categories that are not the same are left as they are.
    """
    settings = [config.get("settings", {}) for config in (new, old)]
    told = [
        str(one["judge_options"]["categories"])
        for one in settings
        if one.get("judge") == "lexicon" and "categories" in one.get("judge_options", {})
    ]
    if len(told) < 2 or len({frozenset(name.strip() for name in text.split(",")) for text in told}) > 1:
        return dict(new)
    options = {**settings[0]["judge_options"], "categories": told[1]}
    return {**new, "settings": {**settings[0], "judge_options": options}}


_NEW_STAGES = ("knowledge", "cloze", "interventions", "attention")
"""The stages of `forget` that version 1 did not have."""


def _run(config: Mapping[str, Any]) -> dict[str, Any]:
    from eidolon.benchmark.settings.config import deciding
    from eidolon.benchmark.settings.run import RunSettings

    prompt, decoding, task = config["prompt"], config["decoding"], config["task"]
    contrast = decoding.get("contrast") or {"name": "plain"}
    retention = config.get("retention") or {}
    judge = config.get("judge")
    fields = {
        "models": [config["model"]],
        "dataset": config["dataset"]["name"],
        "dataset_options": config["dataset"]["settings"],
        "task": task,
        "limit": config["limit"],
        "seed": config["seed"],
        "prompt": prompt["text"] if prompt["name"] == "custom" else prompt["name"],
        "decoding": contrast["name"],
        "decoding_options": {key: value for key, value in contrast.items() if key != "name"},
        **{name: decoding[name] for name in ("max_new_tokens", "temperature", "top_p")},
        **_present(config, "batch_size", "resamples", "generations", "metrics", "pairs"),
        **({} if judge is None else _judge(judge)),
        **({"metrics": ("pope",)} if task == "probe" else {}),
        **_choice(config, "split", "splits"),
        **_choice(config, "policy", "policies"),
        **(
            {}
            if config.get("min_objects") in (None, config.get("pairs"))
            else _present(config, "min_objects")
        ),
        **({"lengths": retention["lengths"]} if retention else {}),
        **({"trained_length": retention["trained_tokens"], "skip": _NEW_STAGES} if retention else {}),
    }
    extra: dict[str, Any] = _present(config, "images", "left_out", "questions")
    if retention:
        extra |= {"absent": retention["absent"], "trained_words": retention["trained_words"]}
        extra |= _present(config, "orders")
    return {
        "verb": "run",
        "task": task,
        "settings": deciding(RunSettings.model_validate(fields)),
        "inputs": {
            "dataset": config["sha256"]["dataset"],
            "model_files": config["sha256"]["model_files"],
            "prompt": prompt,
            "judge": _PROBE_JUDGE if judge is None else judge["signature"],
            "task": extra,
        },
    }


def _score(config: Mapping[str, Any]) -> dict[str, Any]:
    from eidolon.benchmark.settings.config import deciding
    from eidolon.benchmark.settings.score import ScoreSettings

    metrics, judge, answers = config["metrics"], config.get("judge"), config.get("answers")
    task = metrics[0] if metrics[:1] in (["pope"], ["amber"], ["detection"]) else "responses"
    if isinstance(answers, Mapping):
        task = "throne"
    threshold = config.get("threshold")
    matching = config.get("matching")
    fields = {
        **_present(config, "fields", "limit", "mode", "policy", "seed", "resamples", "thresholds", "metrics"),
        **({} if threshold is None else {"thresholds": [threshold]}),
        **({} if matching is None else {"matching": matching.partition("(")[0]}),
        **({} if judge is None else _judge(judge)),
    }
    files = {name: config[name] for name in _FILES if isinstance(config.get(name), str)}
    if isinstance(answers, Mapping):
        files |= {f"answers.{name}": digest for name, digest in answers.items()}
    elif answers is not None:
        files["answers"] = answers
    return {
        "verb": "score",
        "task": task,
        "settings": deciding(ScoreSettings.model_validate(fields)),
        "inputs": {
            "files": files,
            **_present(config, "truth", "areas", "sources"),
            "judge": matching if judge is None else judge["signature"],
        },
    }


def _settings_of(config: Mapping[str, Any], text: str) -> dict[str, str]:
    """Return the settings in a judge's signature `name(key=value,…)`, none if it has another form."""
    judge = config.get("judge")
    if judge is None or judge["signature"] != text or not text.startswith(f"{judge['name']}("):
        return {}
    inner = text.removeprefix(f"{judge['name']}(").removesuffix(")")
    pairs = [field.partition("=") for field in _split(inner)]
    return {name: value for name, _, value in pairs} if all(equals for _, equals, _ in pairs) else {}


def _split(text: str) -> list[str]:
    """Split at the commas that are outside of brackets."""
    fields, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            fields.append("")
        else:
            fields[-1] += character
    return fields


def _judge(judge: Mapping[str, Any]) -> dict[str, Any]:
    found = _LEXICON.fullmatch(judge["signature"])
    options = {}
    if found is not None:
        options = {"reading": found[1], "lexicon": found[2]}
        options |= {"categories": found[3].replace("+", ",")} if found[3] else {}
    kept = {name: value for name, value in options.items() if _LEXICON_DEFAULTS.get(name) != value}
    return {"judge": judge["name"], "judge_options": kept}


def _choice(config: Mapping[str, Any], name: str, plural: str) -> dict[str, Any]:
    found = config.get(plural)
    if not found:
        return {}
    return {name: ALL if len(found) > 1 else found[0]}


def _present(config: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: config[name] for name in names if name in config}
