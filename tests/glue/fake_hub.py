"""A hub on localhost: just enough of the Hugging Face API to serve one data set to the real client."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "nyu-mll/glue"


class _Handler(BaseHTTPRequestHandler):
    files: dict[str, bytes]

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        self._resolve()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        api = f"/api/datasets/{REPOSITORY}"
        if path in (api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            siblings = [{"rfilename": name} for name in self.files]
            self._json({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0})
        elif path.startswith(f"{api}/tree/{COMMIT}"):
            below = path.removeprefix(f"{api}/tree/{COMMIT}").strip("/")
            self._json([entry for entry in self._entries() if entry["path"].startswith(below)])
        elif path.startswith(f"{api}/revision/"):
            self._missing("RevisionNotFound")
        elif path.startswith("/api/"):
            self._missing("RepoNotFound")
        else:
            self._resolve()

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        wanted = json.loads(asked)["paths"] if asked.startswith("{") else []
        self._json([entry for entry in self._entries() if entry["path"] in wanted])

    def _entries(self) -> list[dict[str, Any]]:
        files = [
            {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for name, content in self.files.items()
        ]
        folders = sorted({name.rpartition("/")[0] for name in self.files if "/" in name})
        return [
            *files,
            *({"type": "directory", "path": name, "size": 0, "oid": "0" * 40} for name in folders),
        ]

    def _resolve(self) -> None:
        name = self.path.partition("?")[0].partition("/resolve/")[2].partition("/")[2]
        if name not in self.files:
            self._missing("EntryNotFound")
            return
        content = self.files[name]
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self._body(content, "application/octet-stream")
        return

    def _json(self, value: object) -> None:
        self.send_response(200)
        self._body(json.dumps(value).encode(), "application/json")

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self._body(b"", "text/plain")

    def _body(self, content: bytes, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextlib.contextmanager
def serve(files: dict[str, bytes]) -> Iterator[str]:
    """Serve ``files`` as the only commit of the repository; gives the endpoint."""
    handler = type("Handler", (_Handler,), {"files": files})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
