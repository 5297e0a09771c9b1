"""The configurations of the memory family's models, as transformers saves and loads them."""

from typing import Any

from transformers import Idefics3Config, PreTrainedConfig

from eidolon.models.memory.layout import Memory, layout_text


class MemoryTextConfig(PreTrainedConfig):
    """A language model of memory blocks. `Memory` documents the fields about its memories.

    Constructing it with an invalid layout or size raises a ValueError.
    """

    model_type = "eidolon_memory_text"

    vocab_size: int = 1024
    hidden_size: int = 96
    intermediate_size: int = 192
    layout: str = "*-*-*-*"
    window: int = 96
    store: int = 16
    fading: str = "GDN"
    selection: str = "innovation"
    predictor: str = "convolution"
    store_position: str = "clipped"
    query_key_norm: bool = True
    num_attention_heads: int = 2
    head_dim: int = 32
    rotary: float = 0.5
    rotary_base: float = 10_000.0
    chunk: int = 64
    initializer_range: float = 0.02
    use_cache: bool = True
    tie_word_embeddings: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self.num_hidden_layers = len(self.memory.layout)
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]

    @property
    def memory(self) -> Memory:
        """The layers' memories, validated."""
        return Memory.model_validate(
            {
                "layout": self.layout,
                "window": self.window,
                "store": self.store,
                "fading": self.fading,
                "selection": self.selection,
                "predictor": self.predictor,
                "store_position": self.store_position,
                "query_key_norm": self.query_key_norm,
                "heads": self.num_attention_heads,
                "head_dim": self.head_dim,
                "rotary": self.rotary,
                "rotary_base": self.rotary_base,
                "chunk": self.chunk,
            }
        )

    @classmethod
    def of(cls, memory: Memory, **kwargs: Any) -> "MemoryTextConfig":
        """Return the configuration of a model with these memories."""
        fields = memory.model_dump(exclude={"layout", "heads"})
        return cls(layout=layout_text(memory.layout), num_attention_heads=memory.heads, **fields, **kwargs)


class MemoryConfig(Idefics3Config):
    """A VL model: the vision side of Idefics3 before a language model of memory blocks."""

    model_type = "eidolon_memory"
