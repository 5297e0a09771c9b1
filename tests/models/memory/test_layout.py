"""Layouts and sizes: errors name the symbol and its index; a saved configuration is loaded unchanged."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoConfig

from eidolon.models.memory.configuration import MemoryTextConfig
from eidolon.models.memory.layout import SYMBOLS, Memory, layout_text, parse_layout, parse_layout_option
from eidolon.models.memory.modeling import register
from eidolon.scorers.core.errors import UserError


@given(st.lists(st.sampled_from(sorted(SYMBOLS)), min_size=1, max_size=9))
def test_a_layout_is_parsed(symbols: list[str]) -> None:
    assert parse_layout(layout_text(symbols)) == tuple(symbols)
    assert Memory.model_validate({"layout": layout_text(symbols)}).layout == tuple(symbols)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("GDN-GDM-*", "symbol 1 of 'GDN-GDM-*' is 'GDM'"),
        ("GDN-GDN-**", "symbol 2 of 'GDN-GDN-**' is '**'"),
        ("gdn", "symbol 0 of 'gdn' is 'gdn'"),
        ("GDN-", "symbol 1 of 'GDN-' is ''"),
        ("", "symbol 0 of '' is ''"),
    ],
)
def test_a_wrong_symbol_is_named_with_its_index(layout: str, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Memory.model_validate({"layout": layout})
    (error,) = raised.value.errors()
    assert error["loc"] == ("layout",)
    assert message in error["msg"]
    with pytest.raises(UserError) as refused:
        parse_layout_option("--layout", layout)
    assert str(refused.value).startswith("--layout")
    assert message in str(refused.value)
    with pytest.raises(ValueError, match="layout"):
        MemoryTextConfig(layout=layout)


def test_a_list_is_checked_by_index() -> None:
    with pytest.raises(ValidationError) as raised:
        Memory.model_validate({"layout": ["GDN", "LSTM"]})
    assert raised.value.errors()[0]["loc"] == ("layout", 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window", 0), ("store", 0), ("heads", 0), ("head_dim", 3), ("rotary", 1.5), ("chunk", 0), ("fading", "SWA"),
        ("selection", "best"), ("windows", 3),
    ],
)  # fmt: skip
def test_a_wrong_size_names_its_field_and_value(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        Memory.model_validate({"layout": "BM", field: value})
    (error,) = raised.value.errors()
    assert error["loc"] == (field,)
    assert error["input"] == value


def test_a_saved_configuration_is_loaded_unchanged(tmp_path: Path) -> None:
    register()
    memory = Memory.model_validate(
        {
            "layout": "GDN-BM-*", "window": 7, "store": 5, "fading": "M2", "selection": "recent", "heads": 2,
            "head_dim": 10, "rotary": 0.25, "rotary_base": 500.0, "chunk": 9,
        }
    )  # fmt: skip
    config = MemoryTextConfig.of(memory, vocab_size=99, hidden_size=20)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is MemoryTextConfig
    assert loaded.memory == memory
    assert loaded.to_diff_dict().items() >= config.to_diff_dict().items()
    assert loaded.num_hidden_layers == 3
