"""The recipes that `eidolon train` knows: shipped ones by name, others from a file."""

import json
from pathlib import Path
from typing import TypeAlias

from pydantic import ValidationError

from eidolon.benchmark.scenes.aligner_training import ALIGNER, AlignerRecipe
from eidolon.benchmark.scenes.dialogue_training import RECIPES, Recipe
from eidolon.benchmark.scenes.judge_training import JUDGE_RECIPES, JudgeRecipe
from eidolon.benchmark.scenes.memory_training import MemoryRecipe
from eidolon.benchmark.scenes.sign_training import SIGNS, SignRecipe
from eidolon.scorers.core.errors import UserError, did_you_mean

AnyRecipe: TypeAlias = Recipe | JudgeRecipe | MemoryRecipe | AlignerRecipe | SignRecipe


def find_recipe(name: str) -> AnyRecipe:
    """Return the shipped recipe of a model, judge or aligner with this name, or the recipe in a JSON file.

    A recipe of the memory family comes from a file only.

    Raises:
        UserError: no such name, or a file that cannot be read or is no valid recipe.
    """
    shipped: dict[str, AnyRecipe] = {**RECIPES, **JUDGE_RECIPES, ALIGNER.name: ALIGNER, SIGNS.name: SIGNS}
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if path.suffix != ".json":
        raise UserError(f"recipe {name!r}: unknown{did_you_mean(name, list(shipped))}")
    try:
        text = path.read_text(encoding="utf-8")
        fields = json.loads(text)
        if isinstance(fields, dict) and "aligner" in fields:
            return (SignRecipe if "signs" in fields else AlignerRecipe).model_validate_json(text)
        architecture = fields.get("architecture") if isinstance(fields, dict) else None
        known = architecture if isinstance(architecture, dict) else {}
        kind = JudgeRecipe if "encoder_layers" in known else MemoryRecipe if "memory" in known else Recipe
        return kind.model_validate_json(text)
    except OSError as error:
        raise UserError(f"recipe {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"recipe {name}: is not a text file") from error
    except json.JSONDecodeError as error:
        raise UserError(f"recipe {name}:{error.lineno}: is not valid JSON ({error.msg})") from error
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise UserError(f"recipe {name}: {field or 'file'}: {problem['msg']}") from error
