"""A hub on localhost: just enough of the Hugging Face API to serve a data set and models to the real clients."""

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
    """Repositories by the path of their API, such as ``datasets/nyu-mll/glue`` or ``models/google/electra``."""

    repositories: dict[str, dict[str, bytes]]
    private: dict[str, str]
    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        self._resolve()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = next((name for name in self.repositories if path.startswith(f"/api/{name}")), None)
        api = f"/api/{name}"
        if path.startswith("/api/") and (name is None or not self._may_read(name)):
            self._missing("RepoNotFound", 401)  # the hub does not say which
        elif path in (api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            siblings = [{"rfilename": file} for file in self._files]
            self._json(
                {"id": str(name).partition("/")[2], "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0}
            )
        elif path.startswith(f"{api}/tree/{COMMIT}"):
            below = path.removeprefix(f"{api}/tree/{COMMIT}").strip("/")
            self._json([entry for entry in self._entries() if entry["path"].startswith(below)])
        elif path.startswith(f"{api}/revision/"):
            self._missing("RevisionNotFound")
        else:
            self._resolve()

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        wanted = json.loads(asked)["paths"] if asked.startswith("{") else []
        self._json([entry for entry in self._entries() if entry["path"] in wanted])

    @property
    def _files(self) -> dict[str, bytes]:
        """The files of the repository that is asked for."""
        path = self.path.partition("?")[0].removeprefix("/api").removeprefix("/") + "/"
        path = path if path.startswith(("datasets/", "models/")) else f"models/{path}"
        return next((files for name, files in self.repositories.items() if path.startswith(f"{name}/")), {})

    def _may_read(self, name: str) -> bool:
        return self.headers["Authorization"] == f"Bearer {self.private[name]}" if name in self.private else True

    def _entries(self) -> list[dict[str, Any]]:
        files = [
            {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for name, content in self._files.items()
        ]
        folders = sorted({name.rpartition("/")[0] for name in self._files if "/" in name})
        return [
            *files,
            *({"type": "directory", "path": name, "size": 0, "oid": "0" * 40} for name in folders),
        ]

    def _resolve(self) -> None:
        name = self.path.partition("?")[0].partition("/resolve/")[2].partition("/")[2]
        files = self._files
        if name not in files:
            self._missing("EntryNotFound")
            return
        content = files[name]
        if self.command == "GET":
            self.asked.append(self.path.lstrip("/"))
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self._body(content, "application/octet-stream")
        return

    def _json(self, value: object) -> None:
        self.send_response(200)
        self._body(json.dumps(value).encode(), "application/json")

    def _missing(self, code: str, status: int = 404) -> None:
        self.send_response(status)
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
def serve(
    files: dict[str, bytes],
    models: dict[str, dict[str, bytes]] | None = None,
    private: dict[str, str] | None = None,
    asked: list[str] | None = None,
) -> Iterator[str]:
    """Serve ``files`` as the only commit of the data set; gives the endpoint.

    Args:
        models: files of models by hub id.
        private: the token that a model wants, by hub id.
        asked: gets the path of every file that was downloaded.
    """
    repositories = {f"datasets/{REPOSITORY}": files} | {f"models/{name}": kept for name, kept in (models or {}).items()}
    tokens = {f"models/{name}": token for name, token in (private or {}).items()}
    settings = {"repositories": repositories, "private": tokens, "asked": [] if asked is None else asked}
    handler = type("Handler", (_Handler,), settings)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
