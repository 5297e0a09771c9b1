"""Rules for turns: special tokens, an echoed prompt, and turns that a model makes up after its answer."""

import re

from eidolon.scorers.text.draft import Draft, gap

SPECIAL_TOKENS = "special-tokens"
ECHO = "echo"
RUN_ON = "run-on"

_END_OF_TURN = (
    r"</s>|<\|(?:im_end|eot_id|end|endoftext|end_of_text|eom_id|return|end_of_turn)\|>|<\|end_of_sentence\|>"
    r"|<end_of_turn>|<end_of_utterance>|<eos>|<\uff5cend\u2581of\u2581sentence\uff5c>|\[EOS\]|<\|eos\|>"
)
_SPECIAL = re.compile(
    rf"{_END_OF_TURN}|<s>|<\|(?!object_ref|box|quad|ref|det|grounding|vision|point)[^|<>\n]{{1,60}}\|>"
    r"|<\uff5c[^\uff5c<>\n]{1,60}\uff5c>|</?(?:pad|unk|bos|mask|cls|sep|img|image|im_start|im_end|video)>"
    r"|<(?:start_of_turn|start_of_image|image_soft_token|fake_token_around_image|global-img|row_\d+_col_\d+|ImageHere"
    r"|unused\d+|extra_id_\d+|IMG_CONTEXT)>|\[/?INST\]|<</?SYS>>|\[(?:PAD|UNK|CLS|SEP|BOS|IMG)\]"
)
_END = re.compile(_END_OF_TURN)
_HEADER = re.compile(
    r"<\|(?:im_start|start_header_id|start)\|>\s*(?P<role>\w+)\s*(?:<\|end_header_id\|>|<\|message\|>|\n)"
    r"|<start_of_turn>\s*(?P<turn>\w+)\s*\n",
    re.IGNORECASE,
)
_CHAT = re.compile(
    # A user's or the system's turn of a chat template, up to the header of the assistant's.
    r"\s*(?:<s>\s*)?(?:<\|begin_of_text\|>\s*)?(?:<bos>\s*)?(?:"
    r"<\|im_start\|>\s*(?:user|system)\b.*?<\|im_start\|>\s*assistant\b"
    r"|<\|start_header_id\|>\s*(?:user|system)\b.*?<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>"
    r"|<start_of_turn>\s*(?:user|system)\b.*?<start_of_turn>\s*model\b"
    r"|<\|(?:user|system)\|>.*?<\|assistant\|>"
    r"|\[INST\].*?\[/INST\])\s*",
    re.DOTALL,
)
_ASSISTANT = r"(?:\#{2,3} ?)?(?:assistant|gpt|model|ai|bot|response|answer|caption|output)"
_USER = r"(?:\#{2,3} ?)?(?:user|human|question|instruction|prompt|q)"
_LEADING_USER = re.compile(rf"\s*{_USER}\s*\d*\s*:", re.IGNORECASE)
_ASSISTANT_TURN = re.compile(
    rf"(?:^|(?<=[\s>]))(?:{_ASSISTANT}|(?:short |long )?answer|a)\s*\d*\s*:[ \t]*", re.IGNORECASE
)
_LEADING_ROLE = re.compile(
    r"\s*(?:(?:\#{2,3} ?)?(?:assistant|gpt|assistant's response|ai assistant)\s*:|assistant\s*\n)\s*",
    re.IGNORECASE,
)
# A question with its answer, as in "Question: Is there a dog? Answer: No": the mark of the answer after a question.
_ANSWERED = re.compile(r"\?[\"'\u201d\u2019)]*\s+(?:A|Answer|Ans)\s*\d*\s*[:.)]\s", re.IGNORECASE)
_QUESTION = re.compile(
    r"(?:^|\n|(?<=[.!?\u201d>\])]))[ \t]*(?:\#{2,3} ?|\*{2})?(?:possible |follow-up )?"
    r"(?:questions?(?: \d+)?:|question \d+[.)]|q\d*:|prompt \d*:)",
    re.IGNORECASE,
)
_NEXT_TURN = re.compile(
    r"(?:\n|(?<=[.!?]))[ \t]*(?:(?i:\#{2,3} ?(?:human|user|instruction|question|assistant|input|response)\b\s*:?)"
    r"|(?:USER|Human|User|HUMAN) ?:)"
)
_Q = re.compile(r"q\d*:")
_STOPS = (". ", "! ", "? ")
_SAID = re.compile(r"[^\W_]")
_WORDS = re.compile(r"\w+")


def cut_turns(draft: Draft, prompt: str | None) -> None:
    """Cut an echoed prompt, special tokens, and all turns after the first answer.

    - The text begins with the prompt, or with a user's turn before an assistant's: the part before the answer is cut.
    - A token that ends a turn, a user's turn, or a question with its answer follows the answer: the rest is cut.
    """
    _cut_echo(draft, prompt)
    if "<" in draft.text or "[" in draft.text:
        _cut_after_end(draft)
        draft.sub(_HEADER, "", SPECIAL_TOKENS)
        draft.sub(_SPECIAL, lambda match: gap(draft.text, match), SPECIAL_TOKENS)
        _cut_echo(draft, prompt)
    if any(mark in draft.text for mark in ":?#"):
        _cut_run_on(draft)


def _cut_after_end(draft: Draft) -> None:
    """Cut what follows the first token that ends a turn, if an answer stands before it."""
    first, last = _said(draft.text)
    for end in _END.finditer(draft.text):
        if first < end.start():
            if end.end() <= last:
                draft.replace([(end.start(), len(draft.text), "")], RUN_ON)
            return


def _cut_echo(draft: Draft, prompt: str | None) -> None:
    if (chat := _CHAT.match(draft.text)) is not None:
        draft.replace([(0, chat.end(), "")], ECHO)
    _, last = _said(draft.text)
    if prompt and 0 < (end := _end_of_prompt(draft.text, prompt)) <= last:
        draft.replace([(0, end, "")], ECHO)
        _, last = _said(draft.text)
    if (user := _LEADING_USER.match(draft.text)) is not None:
        answer = _ASSISTANT_TURN.search(draft.text, user.end())
        if answer is not None and answer.end() <= last:
            draft.replace([(0, answer.end(), "")], ECHO)
    if (role := _LEADING_ROLE.match(draft.text)) is not None:
        draft.replace([(0, role.end(), "")], ECHO)


def _end_of_prompt(text: str, prompt: str) -> int:
    """Return where the prompt ends with which the text begins, 0 if it does not begin with it.

    Case, white space and punctuation at the end do not matter. A short prompt is none: "Describe" may begin an answer.
    """
    words = _WORDS.findall(prompt.lower())
    if len(words) < 3:
        return 0
    position = 0
    for word in words:
        match = _WORDS.search(text, position)
        if match is None or match[0].lower() != word:
            return 0
        position = match.end()
    while position < len(text) and text[position] in ".?!:;\"' \t\n":
        position += 1
    return position


def _cut_run_on(draft: Draft) -> None:
    text = draft.text
    first, _ = _said(text)
    starts = [
        next((match.start() for match in pattern.finditer(text) if first < match.start()), None)
        for pattern in _turn_patterns(text)
    ]
    for answered in _ANSWERED.finditer(text):
        # The question begins after the last line or sentence that ends before it.
        begin = max(
            text.rfind("\n", 0, answered.start()), *(text.rfind(mark, 0, answered.start()) for mark in _STOPS)
        )
        if first < begin:
            starts.append(begin + 1)
            break
    if found := [start for start in starts if start is not None]:
        draft.replace([(min(found), len(text), "")], RUN_ON)


def _turn_patterns(text: str) -> list[re.Pattern[str]]:
    """Return the patterns of turns that may match: of an ASCII text, those that it holds a word of."""
    if not text.isascii():
        return [_QUESTION, _NEXT_TURN]
    lowered = text.lower()
    asks = "question" in lowered or "prompt" in lowered or _Q.search(lowered) is not None
    turns = "#" in text or "user" in lowered or "human" in lowered
    return [*([_QUESTION] if asks else []), *([_NEXT_TURN] if turns else [])]


def _said(text: str) -> tuple[int, int]:
    """Return the offsets of the first and the last letter or digit outside special tokens.

    Without any, the first is the end of the text and the last is -1.
    """
    blank = _SPECIAL.sub(lambda match: " " * len(match[0]), text) if "<" in text or "[" in text else text
    first = _SAID.search(blank)
    if first is None:
        return len(text), -1
    return first.start(), next(i for i in range(len(blank) - 1, -1, -1) if blank[i].isalnum())
