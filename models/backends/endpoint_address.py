"""The address of an endpoint, and what must not be written in it or in the options: keys and passwords."""

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from eidolon.scorers.core.errors import UserError

KEY_VARIABLE = "OPENAI_API_KEY"
SHORTEST_SECRET = 8
"""Least characters of a key that is removed from the output; shorter keys (`none`, `EMPTY`) are no secret."""
SECRET_FIELDS = frozenset(
    (
        "accesstoken",
        "apikey",
        "auth",
        "authorization",
        "bearer",
        "key",
        "password",
        "secret",
        "token",
        "xapikey",
    )
)
"""Names of fields that hold a key in the requests of some service, without dashes, underscores and case."""
PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")

_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-|sk_|gsk_|hf_|xai-|nvapi-|r8_|pplx-|ghp_|AIza|Bearer\s+|Basic\s+)[A-Za-z0-9_.=+/-]{16,}"
)
"""The first characters of the keys of well-known services, and enough more to be one."""


def parse_address(flag: str, text: str, target: str) -> tuple[str, str]:
    """Return model and URL of `MODEL@URL`. Sends nothing.

    For messages: `flag` is the user's flag with its blank or equals sign, and `text` is what follows it.

    Raises:
        UserError: the target has another form, or holds a key. The message never repeats a password or key.
    """
    model, at, rest = target.partition("@http")
    url = f"http{rest}"
    try:
        parts = urlsplit(url)
        whole = bool(at and model) and parts.scheme in ("http", "https") and bool(parts.hostname)
        secret, port = parts.username or parts.password or parts.query or parts.fragment, parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        whole, secret, port = False, "", None
    if whole and secret:
        raise UserError(
            f"{flag}openai/{without_password(model)}@…: the URL must not contain a user, password, query or fragment; "
            f"set the key in the environment variable {KEY_VARIABLE}"
        )
    if not whole or port == 0:
        raise UserError(
            f"{flag}{without_password(text)}: write openai/MODEL@URL, for example openai/qwen3@http://host:8000/v1"
        )
    if _holds_key(target):
        raise UserError(
            f"{flag}openai/…: the name or the URL holds what looks like a key, which run.json would show; "
            f"set it in the environment variable {KEY_VARIABLE}"
        )
    return model, url


def without_password(text: str) -> str:
    """Return a mistyped address without what may be a password: what follows a colon, up to the last at sign."""
    before, at, _ = text.partition("@")
    if _holds_key(text):
        return "…"
    if not at:
        return text
    name, colon, _ = before.partition(":")
    return f"{name}{':…' if colon else ''}@…"


def check_secrets(flag: str, options: Mapping[str, object]) -> None:
    """Check that no option holds a key. `flag` is that of the options, for the message, which does not repeat it.

    Raises:
        UserError: an option has the key of the environment, what looks like a key, or a field for a key.
    """
    for name, value in options.items():
        for path, text in _texts(value, name):
            last = re.sub(r"[-_]", "", path.rpartition(".")[2]).lower()
            if _holds_key(text) or (last in SECRET_FIELDS and text):
                raise UserError(
                    f"{flag} {path}: holds a key, or what looks like one, which run.json would show; "
                    f"set it in the environment variable {KEY_VARIABLE}"
                )


def check_proxies(given: str) -> None:
    """Check the proxies that the environment names. `given` is what the user gave as the model, for the message.

    Raises:
        UserError: one is not the URL of a proxy. The message does not repeat it, because it may hold a password.
    """
    from urllib.request import getproxies  # it imports what sends requests, which few commands do

    for scheme, proxy in getproxies().items():
        if scheme not in ("http", "https", "all"):
            continue
        try:
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            whole = parts.scheme in PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if not whole:
            raise UserError(
                f"{given}: the environment variable {scheme.upper()}_PROXY is not the URL of a proxy; "
                "write http://HOST:PORT, or unset it"
            )


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield the strings inside a JSON value with the names that lead to them, keys of objects included."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield path, str(name)
            yield from _texts(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, path)


def _holds_key(text: str) -> bool:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return (len(key) >= SHORTEST_SECRET and key in text) or _KEY.search(text) is not None
