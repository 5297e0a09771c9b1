"""The requests of the openai backend, and the responses that it makes of answers."""

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from eidolon.models.backends.openai import data_uri
from eidolon.models.backends.registry import deciding_options, load_model, resolve
from eidolon.models.base.model import Decoding, Request
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response
from tests.chat_server import Answer, ChatServer, chat_server, completion, describe, picture_of


def requests(count: int = 1, **decoding: Any) -> list[Request]:
    image = Image.linear_gradient("L").resize((31, 17)).convert("RGB")
    return [Request(str(i), i, image, "Describe.", decoding=Decoding(**decoding)) for i in range(count)]


def generate(server: ChatServer, asked: list[Request], **options: str) -> list[Response]:
    return list(load_model(server.name, {"retries": "0", **options}).generate(asked))


def test_every_setting_is_in_the_request() -> None:
    decoding = Decoding(max_new_tokens=77, temperature=0.3, top_p=0.9, seed=5)
    (request,) = requests(max_new_tokens=77, temperature=0.3, top_p=0.9, seed=5)
    with chat_server() as server:
        generate(server, [request], system="Be brief.", extra='{"top_k": -1}', detail="high")
        generate(server, [request], limit_field="max_completion_tokens")
    first, second = server.bodies
    messages = first.pop("messages")
    assert first == {
        "model": "tiny",
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "max_tokens": decoding.max_new_tokens,
        "seed": decoding.seed,
        "top_k": -1,
    }
    assert messages[0] == {"role": "system", "content": "Be brief."}
    assert messages[1]["content"][0]["image_url"]["detail"] == "high"
    assert messages[1]["content"][1] == {"type": "text", "text": "Describe."}
    assert second["max_completion_tokens"] == 77
    assert "max_tokens" not in second
    assert len(second["messages"]) == 1


def test_an_image_arrives_unchanged_and_without_metadata() -> None:
    image = requests()[0].image
    turned = image.copy()
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: a server that uses it would rotate the image
    turned.info = {"exif": exif.tobytes(), "icc_profile": b"profile", "dpi": (300, 300)}
    with chat_server() as server:
        generate(server, [replace(requests()[0], image=turned)])
        generate(server, [replace(requests()[0], image=turned)], image_format="jpeg")
    png, jpeg = map(picture_of, server.bodies)
    assert (png.format, png.mode) == ("PNG", "RGB")
    assert png.tobytes() == image.tobytes()
    assert png.info == {}
    assert jpeg.format == "JPEG"
    assert jpeg.size == image.size
    assert not jpeg.getexif()
    assert "icc_profile" not in jpeg.info
    assert data_uri(turned, "png") == data_uri(image, "png")


def test_an_answer_becomes_a_response() -> None:
    with chat_server(lambda *_: completion(" A dog. ", finish="length", reasoning_content="Hm.")) as server:
        (found,) = generate(server, requests())
        server.behave = lambda *_: completion("<think>Hm.</think>\nA cat.", usage=None)
        (thought,) = generate(server, requests())
    assert found == Response(
        sample_id="0",
        image_id=0,
        response="A dog.",
        prompt="Describe.",
        reasoning="Hm.",
        finish_reason="length",
        prompt_tokens=50,
        completion_tokens=10,
    )
    assert (thought.response, thought.reasoning, thought.completion_tokens) == ("A cat.", "Hm.", None)


def test_an_answer_beyond_the_limit_is_an_error() -> None:
    with chat_server(lambda *_: completion("word " * 40_000)) as server:
        (found,) = generate(server, requests(max_new_tokens=512))
        (allowed,) = generate(server, requests(max_new_tokens=4096))
    assert found.response is None
    assert found.error == "the endpoint's answer holds 200000 characters, more than 512 tokens can"
    assert found.finish_reason == "error"
    assert found.completion_tokens == 10
    assert len(allowed.response or "") == 199_999


def test_tokens_and_costs_are_added_up() -> None:
    def behave(number: int, body: dict[str, Any]) -> Answer:
        return [
            completion("A"),
            completion("B", usage=None),
            Answer(500),
            completion("", usage=(1, 2)),
            describe(body),
        ][number]

    with chat_server(behave) as server:
        model: Any = load_model(
            server.name, {"retries": "1", "concurrency": "1", "price_in": "2", "price_out": "10.5"}
        )
        list(model.generate(requests(4)))
    assert model.usage() == {
        "requests": 5,
        "retries": 1,
        "answers": 4,
        "unmetered": 1,
        "prompt_tokens": 101,
        "completion_tokens": 22,
        "cost": pytest.approx(101 * 2e-6 + 22 * 10.5e-6),
    }


def test_transport_options_do_not_decide() -> None:
    reference = resolve("openai/m@http://h/v1")
    options = {
        "concurrency": "2",
        "timeout": "9",
        "retries": "1",
        "price_in": "1",
        "price_out": "1",
        "detail": "low",
    }
    assert deciding_options(reference, options) == {"detail": "low"}
    assert deciding_options(resolve("scenes-small"), {"timeout": "9"}) == {"timeout": "9"}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("concurency=2", "did you mean 'concurrency'"),
        ("concurrency=0", "greater than or equal to 1"),
        ("timeout=inf", "finite"),
        ("extra=[1]", "valid dictionary"),
        ("extra={", "JSON object"),
        ('extra={"seed": 3}', "'seed' is set by flags"),
        ("image_format=webp", "'png' or 'jpeg'"),
        ("price_in=-1", "greater than or equal to 0"),
    ],
)
def test_wrong_options(option: str, message: str) -> None:
    key, _, value = option.partition("=")
    with pytest.raises(UserError, match=message):
        load_model("openai/m@http://127.0.0.1:9/v1", {key: value})


def test_a_key_among_the_options_is_refused_without_repeating_it() -> None:
    with pytest.raises(UserError, match="OPENAI_API_KEY") as raised:
        load_model("openai/m@http://127.0.0.1:9/v1", {"api_key": "sk-secret"})
    assert "secret" not in str(raised.value)
