"""How a trace is worded, in the terminal and on the page."""

from eidolon.benchmark.report.trace.records import TokenAlternative, Trace, TracedMention
from eidolon.benchmark.terminal.safe_text import safe_text


def shown(text: str) -> str:
    """Return the text of a token, escaped, with line breaks as ⏎ and an empty token as ∅."""
    return safe_text(text.replace("\r\n", "⏎").replace("\n", "⏎"), keep="") or "∅"


def quoted(alternative: TokenAlternative) -> str:
    """Return a token with its probability, for tables."""
    return f"{shown(alternative.text.strip() or alternative.text)} {alternative.probability:.2f}"


def moment(mention: TracedMention) -> str:
    """Return a sentence about the probabilities at the start of a mention."""
    place = {
        "hallucinated": ", which is not in the image",
        "grounded": ", which is in the image",
    }.get(mention.verdict or "", "")
    sentence = f"Token {mention.token + 1} names “{shown(mention.text)}”{place}: "
    sentence += f"probability {mention.seen:.2f} with the image and {mention.blind:.2f} without, PDM {mention.pdm:.2f}."
    instead = [
        f"{label} “{shown(found.text.strip() or found.text)}” ({found.probability:.2f})"
        for label, found in (
            ("next likeliest with the image", mention.runner_up),
            ("likeliest without the image", mention.if_blind),
            ("favoured most by the image", mention.by_picture),
        )
        if found is not None
    ]
    others = "; ".join(instead)
    return f"{sentence} {others[:1].upper()}{others[1:]}."


def form(trace: Trace) -> str:
    """Return how the image was taken away, with what that alone changes if it may be anything but 0."""
    if trace.control is None:
        return trace.without
    mean = sum(token.pdm for token in trace.tokens) / max(len(trace.tokens), 1)
    return (
        f"{trace.without} (mean PDM {mean:.2f}; {trace.control:.2f} between it and a grey image, which is no "
        "dependence on the image)"
    )


def wrong(trace: Trace) -> list[TracedMention]:
    """Return the hallucinated mentions."""
    return [mention for mention in trace.mentions if mention.verdict == "hallucinated"]
