"""The little server gives out the page and its data, and only to browsers of this machine."""

import http.client
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from eidolon.benchmark.report.view.page import Written
from eidolon.benchmark.report.view.serve import HOST, handler


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "page-data").mkdir()
    (tmp_path / "page.html").write_text("page")
    (tmp_path / "page-data" / "run-0-page-0.js").write_text("data")
    (tmp_path / "secret.html").write_text("secret")
    (tmp_path / "page-data" / "link.js").symlink_to(tmp_path / "secret.html")
    written = Written(tmp_path / "page.html", tmp_path / "page-data")
    with ThreadingHTTPServer((HOST, 0), handler(written)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def get(port: int, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_it_serves_the_page_and_its_data(port: int) -> None:
    assert get(port, "/page.html") == (200, "page")
    assert get(port, "/page-data/run-0-page-0.js?x#y") == (200, "data")


@pytest.mark.parametrize(
    "path",
    ["/", "/secret.html", "/page-data/../secret.html", "/page-data/%2e%2e/secret.html", "/page-data/link.js",
     "//etc/passwd", "/page-data", "/%00"],
)  # fmt: skip
def test_it_serves_nothing_else(port: int, path: str) -> None:
    assert get(port, path)[0] == 404


def test_it_answers_to_its_own_name_only(port: int) -> None:
    assert get(port, "/page.html", "example.org")[0] == 404
