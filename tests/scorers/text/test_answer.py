"""Rules from the text that a model wrote to the text that is judged."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.edits import EditedText, as_judged, edited_response, place_in_response
from eidolon.scorers.core.types import Edit, Judgement, Response
from eidolon.scorers.judges.judged_text import judge_texts, text_rules
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.text import markup, turns
from eidolon.scorers.text.answer import TextRules, answer_text, text_edits

CLEAN = TextRules()


def cleaned(text: str, rules: TextRules = CLEAN, prompt: str | None = None) -> str:
    """Return the judged text with single spaces."""
    return " ".join(EditedText(text, text_edits(text, rules, prompt)).text.split())


def named(text: str, prompt: str | None = None) -> list[str]:
    response = Response(sample_id="1", image_id=1, response=text, prompt=prompt)
    (judgement,) = judge_texts(LexiconJudge(), [response])
    for mention in judgement.mentions:
        assert mention.text == text[mention.start : mention.end]
    return [mention.category for mention in judgement.mentions]


REASONING = {
    "<think>A horse? A bus?</think>\nA zebra grazes.": "A zebra grazes.",
    "<THINKING>A horse?</THINKING>A zebra grazes.": "A zebra grazes.",
    "Is that a horse, or a bus?\n</think>\nA zebra grazes.": "A zebra grazes.",
    "<think>\nA horse, a bus, and then": "",
    "A zebra grazes. <think>Or is it a horse? Let me": "A zebra grazes.",
    "<think>A horse?</think> A zebra <think>a bus?</think> grazes.": "A zebra grazes.",
    "<think>one <think>two</think> A zebra grazes.": "A zebra grazes.",
    "<reasoning>A horse?</reasoning><answer>A zebra grazes.</answer>": "A zebra grazes.",
    "I weigh a horse against a zebra. <answer> A zebra grazes. </answer> Done.": "A zebra grazes.",
    "<answer>A zebra grazes.": "A zebra grazes.",
    "<think >A horse?</think > A zebra grazes.": "A zebra grazes.",
    "<thought_process>A horse?</thought_process>A zebra grazes.": "A zebra grazes.",
    "◁think▷A horse?◁/think▷A zebra grazes.": "A zebra grazes.",
    "[THINK]A horse?[/THINK]A zebra grazes.": "A zebra grazes.",
    "<|begin_of_thought|>A bus?<|end_of_thought|><|begin_of_solution|>A zebra.<|end_of_solution|>": "A zebra.",
    "<|channel|>analysis<|message|>A bus?<|end|><|start|>assistant<|channel|>final<|message|>A zebra.<|return|>": (
        "A zebra."
    ),
    "<unused94>thought\nA bus?<unused95>A zebra.": "A zebra.",
    "<SUMMARY>s</SUMMARY><CAPTION>A bus</CAPTION><REASONING>r</REASONING><CONCLUSION>A zebra.</CONCLUSION>": "A zebra.",
    "No tags, but 3 < 5 and a > b.": "No tags, but 3 < 5 and a > b.",
}

CHARACTERS = {
    "A man&#39;s kite &amp; a&nbsp;dog": "A man's kite & a dog",
    "a kite &amp;nbsp; a dog": "a kite a dog",
    "A kite\\nA dog\\n\\nA cat": "A kite A dog A cat",
    'a \\"red\\" kite': 'a "red" kite',
    "a kite\u200b, a\u00a0dog": "a kite, a dog",
    "kite\u200bdog": "kite dog",
    "a ki\u00adte\ufeff": "a kite",
    "a teddy\u2011bear": "a teddy-bear",
    "a kite\uff0ca dog\u3002A cat": "a kite, a dog. A cat",
    "\U0001f415dog \u2022kite\u2022cat": "\U0001f415 dog \u2022 kite \u2022 cat",
    "\u2581A\u2581kite": "A kite",
    "kite\x07dog \u2600\ufe0fcat": "kite dog \u2600 cat",
    "a kite&nbsp and a dog": "a kite and a dog",
    "a kite, r&d": "a kite, r&d",
    "A<0x0A>kite": "A kite",
    "AT&T and R&B; a dog": "AT&T and R&B; a dog",
}

TOKENS = {
    "<s> A kite.</s>": "A kite.",
    "A kite.<|im_end|>": "A kite.",
    "A kite.<|eot_id|><|eot_id|>": "A kite.",
    "<|im_start|>assistant\nA kite.<|im_end|>": "A kite.",
    "<|start_header_id|>assistant<|end_header_id|>\n\nA kite.<|eot_id|>": "A kite.",
    "A kite.<end_of_turn>\n<start_of_turn>user\nIs there a dog?": "A kite.",
    "A kite.</s>A dog and a bus": "A kite.",
    "</s>A kite.": "A kite.",
    "<pad><pad>A kite.": "A kite.",
    "[INST] <image> Look, a dog? [/INST] A kite.": "A kite.",
    "<|im_start|>user\nA dog?<|im_end|>\n<|im_start|>assistant\nA kite.<|im_end|>\n<|im_start|>user\nA bus?": "A kite.",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nA dog?<|eot_id|><|start_header_id|>assistant"
    "<|end_header_id|>\n\nA kite.<|eot_id|>": "A kite.",
    "<bos><start_of_turn>user\nA dog?<end_of_turn>\n<start_of_turn>model\nA kite.<end_of_turn>": "A kite.",
    "<|user|>A dog?<|end|><|assistant|>A kite.<|end|>": "A kite.",
    "<|begin_of_box|>A kite<|end_of_box|>": "A kite",
}

TURNS = {
    "A kite flies.\n\nQuestion: Is there a dog?\nAnswer: Yes, a dog.": "A kite flies.",
    "A kite flies. Question: Is there a dog? Answer: No": "A kite flies.",
    "A kite flies.\n\nQ: What is near?\nA: A dog.\n\nQ: And?\nA: A bus.": "A kite flies.",
    "A kite flies.\n\nQuestion 1: Where?\nAnswer 1: By a bus.": "A kite flies.",
    "A kite flies.\n\nWhat is near the kite?\nAnswer: A dog is near.": "A kite flies.",
    "A kite flies.\nUSER: And?\nASSISTANT: A dog.": "A kite flies.",
    "A kite flies.\n### Human: And?\n### Assistant: A dog.": "A kite flies.",
    "Question: What is there? Answer: A kite flies.": "A kite flies.",
    "USER: What is there, a dog?\nASSISTANT: A kite flies.": "A kite flies.",
    "ASSISTANT: A kite flies.": "A kite flies.",
    'A sign says "Question: who let the dog out" beside a kite.': (
        'A sign says "Question: who let the dog out" beside a kite.'
    ),
    "Who flies the kite? A man does.": "Who flies the kite? A man does.",
}

MARKUP = {
    "<ref>A kite</ref><box>(1,2),(3,4)</box> above <ref>a bus</ref>.": "A kite above a bus.",
    "<p>kite</p> {<10><20><30><40>} and <p>bus</p>{<1><2><3><4><delim><5><6><7><8>}": "kite and bus",
    "A <|object_ref_start|>kite<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>.": "A kite.",
    "A kite[0.1,0.2,0.3,0.4] above a bus [[1, 2, 3, 4]].": "A kite above a bus .",
    "<phrase>a kite</phrase><object><patch_index_0001><patch_index_0002></object> flies": "a kite flies",
    "<loc0012><loc0345><loc0678><loc0910> kite": "kite",
    '<point x="1.5" y="2" alt="kite">kite</point>': "kite",
    "<p> A kite </p> [SEG] and <p> a bus </p> [SEG].": "A kite and a bus .",
    "A kite.<br/>A bus.<br>": "A kite. A bus.",
    "kite<n>bus": "kite bus",
    '<points x1="1" y1="2" x2="3" y2="4" alt="kites">kites</points>': "kites",
    "kite<loc_52><loc_332><loc_1>": "kite",
    "<ul><li>kite</li><li>bus</li></ul>": "kite bus",
    "<div class='x'>kite</div>": "kite",
    "**Kite**: a *red* kite, `bus`, ~~dog~~": "Kite: a red kite, bus, dog",
    "# Objects\n1.kite\n2)bus\n-dog\n*cat": "Objects 1. kite 2) bus - dog * cat",
    "|object|count|\n|---|:-:|\n|kite|1|": "object: count kite: 1",
    "object | count\n--- | ---\nkite | 1": "object : count kite : 1",
    "- [x] kite\n- [ ] bus": "- kite - bus",
    "a [kite](http://x.org/a) and ![bus](b.png)": "a kite and bus",
    "dining_table, _kite_": "dining table, kite",
    "kite;bus|dog...cat": "kite ; bus: dog ... cat",
    "$\\boxed{\\text{kite}}$": "kite",
    "```json\nkite\n```": "kite",
    "kite(red)bus": "kite (red) bus",
    "5 * 3 and x_1": "5 * 3 and x_1",
}


@pytest.mark.parametrize(("raw", "text"), [*(REASONING | CHARACTERS | TOKENS | TURNS | MARKUP).items()])
def test_judged_text(raw: str, text: str) -> None:
    assert cleaned(raw) == text


@pytest.mark.parametrize(("raw", "text"), REASONING.items())
def test_raw_leaves_out_reasoning_alone(raw: str, text: str) -> None:
    assert cleaned(raw, TextRules("raw")).replace("<|return|>", "") == text
    for other in [*CHARACTERS, *TOKENS, *TURNS, *MARKUP]:
        assert EditedText(other, text_edits(other, TextRules("raw"))).text == other


def test_an_echoed_prompt_is_cut() -> None:
    prompt = "Describe the cars and the dog in this image."
    assert cleaned(f"{prompt}\n\nA kite flies.", prompt=prompt) == "A kite flies."
    assert (
        cleaned("describe the cars and the dog in this image A kite flies.", prompt=prompt) == "A kite flies."
    )
    assert cleaned(prompt, prompt=prompt) == prompt
    assert cleaned("Describe the kite.", prompt=prompt) == "Describe the kite."
    assert cleaned("A kite.", prompt="A kite") == "A kite."


@pytest.mark.parametrize(
    ("text", "finish", "unfinished", "drop"),
    [
        ("A kite. A bus on the", "unknown", "A kite.", "A kite."),
        ("A kite. A bus on the", "stop", "A kite. A bus on the", "A kite."),
        ("A kite. A bus.", "length", "A kite. A bus.", "A kite."),
        ("A kite on the", "length", "A kite on the", "A kite on the"),
        (
            "A man, e.g. Mr. Smith with a",
            "length",
            "A man, e.g. Mr. Smith with a",
            "A man, e.g. Mr. Smith with a",
        ),
        ('He said "go." Then a bus', "length", 'He said "go."', 'He said "go."'),
    ],
)
def test_last_sentence(text: str, finish: str, unfinished: str, drop: str) -> None:
    def read(rules: TextRules) -> str:
        return EditedText(text, text_edits(text, rules, None, finish)).text  # type: ignore[arg-type]

    for treatment in ("clean", "raw"):
        assert read(TextRules(treatment, "keep")) == text
        assert read(TextRules(treatment, "unfinished-only")) == unfinished
        assert read(TextRules(treatment, "drop")) == drop


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("<ref>A kite</ref><box>(1,2),(3,4)</box> above <ref>a bus</ref>.", ["kite", "bus"]),
        ("1.kite\n2.bus", ["kite", "bus"]),
        ("|kite|1|\n|bus|2|", ["kite", "bus"]),
        ("kite;bus", ["kite", "bus"]),
        ("<think>a dog</think>A kite.", ["kite"]),
        ("A te\u00adddy\u00a0bear", ["teddy bear"]),
        ("A kite. Question: Is there a dog? Answer: Yes", ["kite"]),
        ("dining_table", ["dining table"]),
    ],
)
def test_the_lexicon_judge_finds_what_markup_hid_at_its_raw_place(text: str, objects: list[str]) -> None:
    assert named(text) == objects


def test_originals_read_the_raw_text() -> None:
    judge = LexiconJudge(reading="original")
    assert text_rules(judge) == TextRules("raw")
    response = Response(sample_id="1", image_id=1, response="A kite. Question: Is there a dog? Answer: No")
    (judgement,) = judge_texts(judge, [response])
    assert [mention.category for mention in judgement.mentions] == ["kite", "dog"]
    assert judgement.edits == ()


def test_words_and_tokens_are_those_of_the_judged_text_and_of_the_response() -> None:
    raw = "<think>hm hm</think> A red kite"
    response = Response(sample_id="1", image_id=1, response=raw, token_ends=(7, 12, 20, 22, 26, 31))
    (judgement,) = judge_texts(LexiconJudge(), [response])
    (mention,) = judgement.mentions
    assert (mention.text, mention.word, mention.token) == ("kite", 2, 5)
    text, seen = as_judged(response, judgement)
    assert text.response == " A red kite"
    assert seen.mentions[0].start == text.response.index("kite")
    assert [edit.rule for edit in judgement.edits] == ["reasoning"]


def test_yes_no_answers() -> None:
    assert answer_text("<think>no</think> **Yes.**") == "Yes."
    assert answer_text(" no\n", clean=False) == " no\n"


PIECES = (
    *(
        "A kite",
        " a dog",
        "<br>",
        "&amp;",
        "&#39;",
        "**",
        "\n",
        "|",
        "\u200b",
        "\u00a0",
        "1.",
        "[1,2]",
        "<|im_end|>",
    ),
    *(
        "<think>",
        "</think>",
        "_",
        ". ",
        "Question: ",
        "? ",
        "Answer: ",
        "\\n",
        "<p>",
        "</p>",
        "\u2581",
        "`",
        "- ",
    ),
)


def naive(raw: str, edits: tuple[Edit, ...]) -> tuple[str, list[int]]:
    """Return the edited text, and for each of its characters the raw offset at which it begins."""
    text, origin, position = "", [], 0
    for edit in edits:
        while position < edit.start:
            text, origin, position = text + raw[position], [*origin, position], position + 1
        for character in edit.text:
            text, origin = text + character, [*origin, edit.start]
        position = edit.end
    while position < len(raw):
        text, origin, position = text + raw[position], [*origin, position], position + 1
    return text, origin


@pytest.mark.parametrize("seed", range(300))
def test_offsets_agree_with_a_naive_walk(seed: int) -> None:
    rng = random.Random(seed)
    raw = "".join(rng.choices(PIECES, k=rng.randrange(1, 12)))
    edits = text_edits(raw, CLEAN)
    ends = [0, *(edge for edit in edits for edge in (edit.start, edit.end)), len(raw)]
    assert ends == sorted(ends)
    edited = EditedText(raw, edits)
    text, origin = naive(raw, edits)
    assert edited.text == text
    for i, (character, start) in enumerate(zip(text, origin, strict=True)):
        assert edited.raw_span(i, i + 1)[0] == start
        if character.isalnum() and raw[start : start + 1] == character:
            assert edited.text_span(start, start + 1) == (i, i + 1)
    # What is cleaned stays as it is when it is cleaned again, except turns that only now begin a line.
    response = Response(sample_id="1", image_id=1, response=raw)
    assert edited_response(response, edits).response == text
    empty = Judgement(sample_id="1", image_id=1)
    assert as_judged(response, place_in_response(empty, response, edits))[0].response == text


HOSTILE = (
    *(
        "[",
        "<",
        "</s>",
        "<think>",
        "</think>",
        "**a** ",
        "*a",
        "*",
        "_",
        "|",
        "Question: ",
        "? Answer: ",
        "[1,",
    ),
    *(
        "(1,2),(",
        "&amp;",
        "\\n",
        "`",
        "a|b\n",
        "- ",
        "#",
        "<a ",
        "{<1>",
        "<answer>",
        "</answer>",
        "USER: ",
        "<box>",
    ),
    *(
        "\u200b",
        "<box>1",
        "a_b",
        "\\boxed{",
        "[a](",
        "1.",
        "a;",
        "..",
        "```\n",
        "<!--",
        "|-",
        "<|a",
        "[INST]",
    ),
    *("<|im_start|>user ", "A. ", "A? A: ", "a\n\n", "~~a", "![", "<p>a</p>", "\U0001f436a", "\\text{"),
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_long_repetitions_end(piece: str) -> None:
    """Rules that took quadratic time would take minutes here."""
    text = piece * (100_000 // len(piece))
    edits = text_edits(text, TextRules("clean", "drop"), "Describe this image in detail.")
    assert len(EditedText(text, edits).text) <= 3 * len(text)


@given(st.text(st.sampled_from("ab1 .,:;|~=\\\u2026\u2192)\n\u0663"), max_size=20))
def test_hints_are_in_every_text_with_a_match(text: str) -> None:
    for pattern, hint in (
        (markup._GLUED_NUMBER, markup._NUMBER_HINT),
        (markup._GLUED_MARKS, markup._MARKS_HINT),
    ):
        assert pattern.search(text) is None or hint.search(text) is not None


@given(
    st.lists(
        st.sampled_from(
            [
                "Question",
                "q",
                "12",
                ":",
                " 3.",
                "prompt",
                "User",
                "HUMAN",
                "### ",
                "input",
                "\n",
                "?",
                "\u017f",
            ]
        )
    ).map("".join)
)
def test_turns_are_searched_where_they_may_be(text: str) -> None:
    for pattern in (turns._QUESTION, turns._NEXT_TURN):
        assert pattern.search(text) is None or pattern in turns._turn_patterns(text)
