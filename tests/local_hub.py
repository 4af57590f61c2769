"""A small server on this machine that speaks the Hub's routes to the real client, and a handle for tests.

Run as a script it serves on a free port of 127.0.0.1 and prints its URL. Everything lies in memory: repositories
(models, datasets, Spaces), branches, pull requests, commits, large files. Routes below ``/_test/`` are not the Hub's:
they let a test read what was asked for and what was uploaded.

Not the Hub: metadata rules (only that the YAML can be read), permissions beyond one writing and one reading token,
quotas, Xet.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

USER = "tester"
# Shaped like real tokens, so that a search for leaks that misses these misses real ones.
WRITE_TOKEN = "hf_" + "LocalWriteToken" + "x" * 19
READ_TOKEN = "hf_" + "LocalReadToken" + "y" * 20
ZERO_OID = "0" * 40
_TYPES = {"models": "model", "datasets": "dataset", "spaces": "space"}


class Answer(Exception):  # noqa: N818 - an answer may be a success
    """An HTTP answer, raised to leave a route early."""

    def __init__(
        self, status: int, body: Any = None, *, code: str | None = None, headers: dict[str, str] | None = None
    ):
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})
        if code is not None:
            self.headers["X-Error-Code"] = code
            self.headers["X-Error-Message"] = str(body)
            self.body = {"error": str(body)}


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Repository:
    """One repository: commits are full trees (path -> (is large, key of the content))."""

    def __init__(self, repo_type: str, repo_id: str, private: bool):
        self.repo_type = repo_type
        self.repo_id = repo_id
        self.private = private
        self.trees: dict[str, dict[str, tuple[bool, str]]] = {}
        self.refs: dict[str, str] = {}
        self.commits: list[dict[str, Any]] = []
        self.pull_requests = 0

    def resolve(self, revision: str) -> str:
        for name in (revision, revision.removeprefix("refs/heads/")):
            if name in self.refs:
                return self.refs[name]
        for oid in self.trees:
            if len(revision) >= 7 and oid.startswith(revision):
                return oid
        raise Answer(404, f"Invalid rev id: {revision}", code="RevisionNotFound")

    def add_commit(self, ref: str, tree: dict[str, tuple[bool, str]]) -> str:
        oid = hashlib.sha1(json.dumps([self.repo_id, len(self.trees), sorted(tree.items())]).encode()).hexdigest()
        self.trees[oid] = tree
        self.refs[ref] = oid
        return oid


class Hub:
    """The whole state, behind one lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.contents: dict[str, bytes] = {}
        self.requests: list[dict[str, Any]] = []

    def create(self, repo_type: str, repo_id: str, private: bool) -> None:
        repository = Repository(repo_type, repo_id, private)
        attributes = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
        self.contents[git_oid(attributes)] = attributes
        repository.add_commit("main", {".gitattributes": (False, git_oid(attributes))})
        self.repositories[repo_type, repo_id] = repository


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def serve(self) -> None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            self.content = b"".join(pieces)
        else:
            self.content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        try:
            with self.hub.lock:
                self.route(unquote(url.path), url.path)
            answer = Answer(404, f"no route {self.command} {url.path}", code="NoRoute")
        except Answer as given:
            answer = given
        if not url.path.startswith("/_test/"):
            with self.hub.lock:
                self.hub.requests.append(
                    {"method": self.command, "path": self.path, "status": answer.status, "bytes": len(self.content)}
                )
        body = answer.body
        if not isinstance(body, bytes):
            answer.headers.setdefault("Content-Type", "application/json")
            body = b"" if body is None else json.dumps(body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # -- who asks ------------------------------------------------------------------------------------------------

    def token(self) -> str | None:
        header = self.headers.get("Authorization", "")
        token = header.removeprefix("Bearer ") or None
        if token not in (None, WRITE_TOKEN, READ_TOKEN):
            raise Answer(401, "Invalid credentials in Authorization header", code="")
        return token

    def must_write(self) -> None:
        if self.token() is None:
            raise Answer(401, {"error": "Invalid username or password."})
        if self.token() != WRITE_TOKEN:
            raise Answer(403, "You don't have the rights to write here", code="")

    def repository(self, repo_type: str, repo_id: str) -> Repository:
        found = self.hub.repositories.get((repo_type, repo_id))
        if found is None or (found.private and self.token() is None):
            raise Answer(404 if self.token() else 401, "Repository not found", code="RepoNotFound")
        return found

    def data(self) -> dict[str, Any]:
        return json.loads(self.content or b"{}")

    # -- routes --------------------------------------------------------------------------------------------------

    def route(self, path: str, raw_path: str) -> None:
        if path.startswith("/_test/"):
            self.test_route(path)
        if path == "/api/whoami-v2":
            if self.token() is None:
                raise Answer(401, "Invalid credentials in Authorization header", code="")
            role = "write" if self.token() == WRITE_TOKEN else "read"
            access = {"accessToken": {"role": role, "displayName": "local"}}
            raise Answer(200, {"type": "user", "name": USER, "orgs": [], "auth": access})
        if path == "/api/validate-yaml":
            self.validate_yaml()
        if path == "/api/repos/create":
            self.create_repository()
        if found := re.fullmatch(r"/_large/([0-9a-f]{64})", path):
            self.large_file(found[1])
        if found := re.fullmatch(r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)\.git/info/lfs/objects/(batch|verify)", path):
            self.repository(_TYPES[found[1] or "models"], found[2])
            self.must_write()
            self.large_batch(raw_path) if found[3] == "batch" else self.large_verify()
        if found := re.fullmatch(r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)/resolve/(.+)", path):
            # A revision such as refs/pr/1 keeps its slashes quoted in the raw path, which says where it ends.
            revision, name = (unquote(part) for part in raw_path.split("/resolve/", 1)[1].split("/", 1))
            self.resolve_file(self.repository(_TYPES[found[1] or "models"], found[2]), revision, name)
        if found := re.fullmatch(r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/(.*))?", path):
            repository = self.repository(_TYPES[found[1]], found[2])
            parts = raw_path.split("/")[5:]
            self.repository_route(repository, parts[0] if parts else "", [unquote(part) for part in parts[1:]])

    def repository_route(self, repository: Repository, verb: str, rest: list[str]) -> None:
        if verb in ("", "revision") and self.command in ("GET", "HEAD"):
            raise Answer(200, self.info(repository, rest[0] if rest else "main"))
        if verb == "tree":
            self.tree(repository, rest[0], "/".join(rest[1:]))
        if verb == "paths-info":
            tree = repository.trees[repository.resolve(rest[0])]
            form = parse_qs(self.content.decode())
            raise Answer(200, [self.entry(name, tree[name]) for name in form.get("paths", []) if name in tree])
        if verb == "refs":
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": oid}
                for name, oid in repository.refs.items()
                if not name.startswith("refs/")
            ]
            raise Answer(200, {"branches": branches, "tags": [], "converts": []})
        if verb == "preupload":
            self.preupload(repository, rest[0])
        self.must_write()
        if verb == "branch" and self.command == "POST":
            if rest[0] in repository.refs:
                raise Answer(409, "Reference already exists", code="")
            repository.refs[rest[0]] = repository.resolve(self.data().get("startingPoint") or "main")
            raise Answer(200, {})
        if verb == "settings":
            settings = self.data()
            repository.private = settings.get("visibility") == "private" or bool(settings.get("private"))
            raise Answer(200, {"private": repository.private})
        if verb == "commit":
            self.commit(repository, rest[0])

    def validate_yaml(self) -> None:
        import yaml

        content = self.data()["content"]
        found = re.match(r"---\r?\n(.*?)\r?\n---(\r?\n|$)", content, re.DOTALL)
        if found is None:
            raise Answer(200, {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]})
        try:
            metadata = yaml.safe_load(found[1])
        except yaml.YAMLError as error:
            raise Answer(400, {"errors": [{"message": str(error)}], "warnings": []}) from error
        if metadata is not None and not isinstance(metadata, dict):
            raise Answer(400, {"errors": [{"message": "metadata is no mapping"}], "warnings": []})
        raise Answer(200, {"errors": [], "warnings": []})

    def create_repository(self) -> None:
        self.must_write()
        wish = self.data()
        repo_type = wish.get("type") or "model"
        repo_id = f"{wish.get('organization') or USER}/{wish['name']}"
        prefix = "" if repo_type == "model" else f"{repo_type}s/"
        url = {"url": f"{self.base}/{prefix}{repo_id}", "name": repo_id}
        if (repo_type, repo_id) in self.hub.repositories:
            raise Answer(409, {"error": "You already created this repo", **url})
        # Version 1 of the client sends "private", version 2 "visibility".
        self.hub.create(repo_type, repo_id, wish.get("visibility") == "private" or bool(wish.get("private")))
        raise Answer(200, url)

    def preupload(self, repository: Repository, revision: str) -> None:
        if not self.query.get("create_pr"):
            self.must_write()
        tree = repository.trees[repository.resolve(revision)]
        files = []
        for file in self.data()["files"]:
            large = file["path"].endswith((".safetensors", ".png", ".bin")) or file["size"] > 10_000_000
            files.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    "oid": tree.get(file["path"], (False, None))[1],
                }
            )
        raise Answer(200, {"files": files})

    def large_batch(self, raw_path: str) -> None:
        objects = []
        for wanted in self.data()["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.contents:
                verify = f"{self.base}{raw_path.removesuffix('batch')}verify"
                upload = {"href": f"{self.base}/_large/{wanted['oid']}", "header": {}}
                answer["actions"] = {"upload": upload, "verify": {"href": verify}}
            objects.append(answer)
        headers = {"Content-Type": "application/vnd.git-lfs+json"}
        raise Answer(200, {"transfer": "basic", "objects": objects}, headers=headers)

    def large_verify(self) -> None:
        content = self.hub.contents.get(self.data()["oid"])
        raise Answer(200 if content is not None and len(content) == self.data()["size"] else 404, {})

    def large_file(self, oid: str) -> None:
        if self.command == "PUT":
            if hashlib.sha256(self.content).hexdigest() != oid:
                raise Answer(400, "the content has another hash", code="")
            self.hub.contents[oid] = self.content
            raise Answer(200, {})
        if oid not in self.hub.contents:
            raise Answer(404, "no such file", code="EntryNotFound")
        headers = {"ETag": f'"{oid}"'}
        if "commit" in self.query:
            # The client follows a redirect within one host, and then wants of its end what the Hub's page told it.
            headers["X-Repo-Commit"] = self.query["commit"]
        raise Answer(200, self.hub.contents[oid], headers=headers)

    def commit(self, repository: Repository, revision: str) -> None:
        parent = repository.resolve(revision)
        tree = dict(repository.trees[parent])
        header: dict[str, Any] = {}
        added, deleted = [], []
        for line in self.content.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                header = value
            elif item["key"] == "file":
                content = base64.b64decode(value["content"])
                self.hub.contents[git_oid(content)] = content
                tree[value["path"]] = (False, git_oid(content))
                added.append(value["path"])
            elif item["key"] == "lfsFile":
                if value["oid"] not in self.hub.contents:
                    raise Answer(400, f"{value['path']} was not uploaded", code="")
                tree[value["path"]] = (True, value["oid"])
                added.append(value["path"])
            elif item["key"] in ("deletedFile", "deletedFolder"):
                gone = [name for name in tree if name == value["path"] or name.startswith(value["path"] + "/")]
                if not gone:
                    raise Answer(404, "A file with this name doesn't exist", code="EntryNotFound")
                for name in gone:
                    del tree[name]
                deleted.append(value["path"])
        pull_request = bool(self.query.get("create_pr"))
        ref = revision
        if pull_request:
            repository.pull_requests += 1
            ref = f"refs/pr/{repository.pull_requests}"
        oid = repository.add_commit(ref, tree)
        repository.commits.append(
            {
                "repo_id": repository.repo_id,
                "repo_type": repository.repo_type,
                "revision": ref,
                "oid": oid,
                "parent": parent,
                "message": header.get("summary", ""),
                "description": header.get("description", ""),
                "pull_request": pull_request,
                "added": sorted(added),
                "deleted": sorted(deleted),
                "files": sorted(tree),
            }
        )
        prefix = "" if repository.repo_type == "model" else f"{repository.repo_type}s/"
        home = f"{self.base}/{prefix}{repository.repo_id}"
        answer = {"success": True, "commitOid": oid, "commitUrl": f"{home}/commit/{oid}", "hookOutput": ""}
        if pull_request:
            answer["pullRequestUrl"] = f"{home}/discussions/{repository.pull_requests}"
        raise Answer(200, answer)

    def entry(self, name: str, stored: tuple[bool, str]) -> dict[str, Any]:
        large, oid = stored
        size = len(self.hub.contents[oid])
        entry: dict[str, Any] = {"type": "file", "path": name, "size": size, "oid": oid[:40]}
        if large:
            entry["lfs"] = {"oid": oid, "size": size, "pointerSize": 130}
        return entry

    def tree(self, repository: Repository, revision: str, folder: str) -> None:
        tree = repository.trees[repository.resolve(revision)]
        prefix = f"{folder}/" if folder else ""
        names = sorted(name for name in tree if name.startswith(prefix))
        if folder and not names:
            raise Answer(404, f"{folder} does not exist on {revision}", code="EntryNotFound")
        entries, folders = [], set()
        for name in names:
            below = name.removeprefix(prefix)
            if "/" in below and self.query.get("recursive", "").lower() not in ("true", "1"):
                folders.add(prefix + below.split("/")[0])
            else:
                entries.append(self.entry(name, tree[name]))
        entries += [{"type": "directory", "path": name, "oid": ZERO_OID, "size": 0} for name in sorted(folders)]
        raise Answer(200, entries)

    def info(self, repository: Repository, revision: str) -> dict[str, Any]:
        oid = repository.resolve(revision)
        return {
            "_id": hashlib.sha1(repository.repo_id.encode()).hexdigest()[:24],
            "id": repository.repo_id,
            "modelId": repository.repo_id,
            "author": repository.repo_id.split("/")[0],
            "sha": oid,
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "siblings": [{"rfilename": name} for name in sorted(repository.trees[oid])],
        }

    def resolve_file(self, repository: Repository, revision: str, name: str) -> None:
        oid = repository.resolve(revision)
        stored = repository.trees[oid].get(name)
        if stored is None:
            answer = Answer(404, "Entry not found", code="EntryNotFound")
            answer.headers["X-Repo-Commit"] = oid
            raise answer
        large, key = stored
        content = self.hub.contents[key]
        headers = {"X-Repo-Commit": oid, "ETag": f'"{key}"', "Accept-Ranges": "bytes"}
        if large:
            # As on the Hub: a large file is redirected to where it is stored.
            headers |= {"X-Linked-ETag": f'"{key}"', "X-Linked-Size": str(len(content))}
            headers["Location"] = f"{self.base}/_large/{key}?commit={oid}"
            raise Answer(302, b"", headers=headers)
        raise Answer(200, content, headers={**headers, "Content-Type": "text/plain; charset=utf-8"})

    def test_route(self, path: str) -> None:
        if path == "/_test/state":
            repositories = [
                {
                    "repo_id": repository.repo_id,
                    "repo_type": repository.repo_type,
                    "private": repository.private,
                    "refs": repository.refs,
                }
                for repository in self.hub.repositories.values()
            ]
            commits = [commit for repository in self.hub.repositories.values() for commit in repository.commits]
            state = {"requests": self.hub.requests, "repositories": repositories, "commits": commits}
            raise Answer(200, state)
        if path == "/_test/files":
            repository = self.hub.repositories[self.query["type"], self.query["repo"]]
            tree = repository.trees[repository.resolve(self.query["revision"])]
            encoded = {
                name: base64.b64encode(self.hub.contents[key]).decode() for name, (_, key) in sorted(tree.items())
            }
            raise Answer(200, encoded)
        if path == "/_test/create":
            wish = self.data()
            self.hub.create(wish["repo_type"], wish["repo_id"], wish["private"])
            raise Answer(200, {})


def serve() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": Hub()}))
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


# -- the tests' side -------------------------------------------------------------------------------------------------


@dataclass
class LocalHub:
    """A running server, and the environment in which the real client talks to it.

    Attributes
    ----------
    url
        Address of the server.
    env
        A whole environment for a child process: the endpoint, the writing token, no Xet, its own cache, online.
    folder
        Where the child's cache and home lie.
    """

    url: str
    env: dict[str, str]
    folder: Path

    def _ask(self, path: str, content: dict[str, Any] | None = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.url + path, data=data), timeout=30) as response:
            return json.load(response)

    def requests(self) -> list[dict[str, Any]]:
        """Every request so far: method, path, status, bytes sent."""
        return self._ask("/_test/state")["requests"]

    def writes(self) -> list[dict[str, Any]]:
        """The requests that carried something to the server, asked for or refused."""
        return [request for request in self.requests() if request["method"] not in ("GET", "HEAD")]

    def commits(self, repo_id: str | None = None) -> list[dict[str, Any]]:
        """The commits of clients (not the empty first one): message, revision, added, deleted, files, ..."""
        commits = self._ask("/_test/state")["commits"]
        return [commit for commit in commits if repo_id in (None, commit["repo_id"])]

    def repository(self, repo_id: str, *, repo_type: str = "model") -> dict[str, Any] | None:
        """A repository's type, refs and whether it is private; None when there is none."""
        for repository in self._ask("/_test/state")["repositories"]:
            if (repository["repo_type"], repository["repo_id"]) == (repo_type, repo_id):
                return repository
        return None

    def files(self, repo_id: str, revision: str = "main", *, repo_type: str = "model") -> dict[str, bytes]:
        """The bytes of every file at a revision, large files included."""
        query = f"repo={quote(repo_id)}&revision={quote(revision, safe='')}&type={repo_type}"
        return {name: base64.b64decode(text) for name, text in self._ask(f"/_test/files?{query}").items()}

    def create(self, repo_id: str, *, private: bool, repo_type: str = "model") -> None:
        """Make a repository that was there before the test."""
        self._ask("/_test/create", {"repo_id": repo_id, "private": private, "repo_type": repo_type})

    def python(
        self, code: str, *arguments: str, env: dict[str, str | None] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run code in a child process that talks to this server; `env` adds variables, or with None takes them out."""
        return self.run([sys.executable, "-c", code, *arguments], env=env, timeout=timeout)

    def run(
        self, command: list[str], *, env: dict[str, str | None] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a child process that talks to this server."""
        changed = {**self.env, **(env or {})}
        kept = {name: value for name, value in changed.items() if value is not None}
        return subprocess.run(
            command, env=kept, cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False
        )


def child_environment(url: str, folder: Path) -> dict[str, str]:
    """The environment in which huggingface_hub's client talks to the server at `url`."""
    unwanted = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN"}
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    root = str(Path(__file__).resolve().parents[1])
    env |= {
        "HF_ENDPOINT": url,
        "HF_TOKEN": WRITE_TOKEN,
        "HF_HOME": str(folder / "hf_home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DISABLE_SAFETENSORS_CONVERSION": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONPATH": os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part),
    }
    return env


@contextmanager
def running_hub(folder: Path) -> Iterator[LocalHub]:
    """Start the server in a child process, and stop it on the way out."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(Path(__file__).resolve())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            if not url:
                raise RuntimeError("the local Hub did not start")
            yield LocalHub(url=url, env=child_environment(url, folder), folder=folder)
        finally:
            server.terminate()


if __name__ == "__main__":
    serve()
