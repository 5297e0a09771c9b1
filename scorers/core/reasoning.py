"""The answer of a text in which a model also reasons.

Models write their reasoning between tags of many names, and a chat template may put the opening tag into the prompt,
so that the text holds only the closing one. What stands outside the tags is the answer. A block that is not closed
has no end, so that what follows its opening tag is no answer.
"""

import re
from collections.abc import Iterator

Span = tuple[int, int]

_NAMES = (
    r"(?:seed:)?(?:think(?:ing)?(?:_process)?|thoughts?(?:_process)?|reason(?:ing)?|reflection|scratchpad"
    r"|analysis|rationale|chain_of_thought|cot|inner_(?:thoughts|monologue))"
)
_OPEN = (
    rf"<(?:{_NAMES})(?:\s[^<>]*)?>|◁think▷|\[THINK\]|<\|begin_of_thought\|>|<\|thinking\|>|<unused94>(?:thought)?"
    r"|(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary)(?:<\|constrain\|>\w*)?<\|message\|>"
)
_CLOSE = (
    rf"</(?:{_NAMES})\s*>|◁/think▷|\[/THINK\]|<\|end_of_thought\|>|<\|/thinking\|>|<unused95>"
    r"|(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>"
)
_TAG = re.compile(f"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
_ANSWER = re.compile(
    r"<(?P<name>answer|conclusion|final_answer|response)>\s*(?P<text>.*?)\s*(?:</(?P=name)>|\Z)"
    r"|<\|begin_of_solution\|>\s*(?P<solution>.*?)\s*(?:<\|end_of_solution\|>|\Z)",
    re.IGNORECASE | re.DOTALL,
)


def reasoning_spans(text: str) -> list[Span]:
    """Return the character spans of a text that are reasoning, or tags around the answer, in order.

    The rest is the answer. Without reasoning the list is empty. After reasoning, or between tags of its own, an
    answer is what its last pair of answer tags holds.
    """
    if "<" not in text and "[" not in text and "◁" not in text:
        return []
    spans = list(_blocks(text))
    kept = _outside(spans, len(text))
    answer = None
    for match in _ANSWER.finditer(text):
        if any(start <= match.start() < end for start, end in kept):
            answer = match
    if answer is None:
        return spans
    start, end = answer.span("text" if answer["text"] is not None else "solution")
    return _joined([*spans, (0, start), (end, len(text))])


def ends_in_reasoning(text: str) -> bool:
    """Return whether a text, such as a prompt, ends in a reasoning block that is not closed."""
    tags = list(_TAG.finditer(text))
    return bool(tags) and tags[-1]["open"] is not None


def without_tags(reasoning: str) -> str:
    """Return reasoning without the tags around it."""
    return _TAG.sub("", reasoning)


def _blocks(text: str) -> Iterator[Span]:
    """Yield the spans of reasoning blocks with their tags."""
    begin: int | None = None
    position = 0
    for tag in _TAG.finditer(text):
        if tag["open"]:
            begin = tag.start() if begin is None else begin
            continue
        # Without an opening tag, which is in the prompt then, all text before is reasoning.
        yield position if begin is None else begin, tag.end()
        position, begin = tag.end(), None
    if begin is not None:
        yield begin, len(text)


def _outside(spans: list[Span], length: int) -> list[Span]:
    edges = [0, *(edge for span in spans for edge in span), length]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _joined(spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
