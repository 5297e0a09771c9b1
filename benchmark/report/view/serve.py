"""Serves a page to browsers on this machine, where they read no files from disk."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from eidolon.benchmark.report.view.page import Written

HOST = "127.0.0.1"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".webp": "image/webp"}


def serve_page(written: Written, ready: Callable[[str], None]) -> None:
    """Serve a page and its folder of data, and nothing else, until an interrupt; `ready` is told the address."""
    with ThreadingHTTPServer((HOST, 0), handler(written)) as server:
        ready(f"http://{HOST}:{server.server_address[1]}/{quote(written.page.name)}")
        server.serve_forever()


def handler(written: Written) -> type[BaseHTTPRequestHandler]:
    """Return what answers the requests for the files of a page."""
    root = written.page.parent.resolve()

    def find(path: str) -> Path | None:
        # Only the files that were written: what else lies in the folder is not for every program on this machine.
        wanted = (root / unquote(urlsplit(path).path).lstrip("/")).resolve()
        data = None if written.data is None else written.data.resolve()
        mine = wanted == written.page.resolve() or (data is not None and wanted.is_relative_to(data))
        return wanted if mine and wanted.suffix in TYPES and wanted.is_file() else None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A page of another site that guesses the port must not read the answer under a name of its own.
            own = {f"{name}:{self.server.server_address[1]}" for name in (HOST, "localhost")}  # type: ignore[index]
            try:
                file = find(self.path) if self.headers.get("Host") in own else None
            except ValueError:  # a NUL byte
                file = None
            if file is None:
                self.send_error(404)
                return
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", TYPES[file.suffix])
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Keep the terminal quiet."""

    return Handler
