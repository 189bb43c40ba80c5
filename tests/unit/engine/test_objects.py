"""Files in object stores are read like local files, over HTTP from a bucket and from the store of a folder."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app
from guardproxy.engine.objects import READ_BYTES, ObjectPath, _store, files_at, is_url, matching, path_at
from guardproxy.engine.parts import parts_of
from guardproxy.errors import ConfigError
from tests.kit.logs import write_log
from tests.kit.records import plain_record


class FakeS3(BaseHTTPRequestHandler):
    """A bucket whose objects are the files of a folder: lists, sizes and ranges."""

    folder: Path

    def do_HEAD(self) -> None:
        self.answer(self.file(), with_body=False)

    def do_GET(self) -> None:
        if "list-type" in parse_qs(urlsplit(self.path).query):
            self.list_objects()
        else:
            self.answer(self.file(), with_body=True)

    def file(self) -> Path:
        return self.folder / unquote(urlsplit(self.path).path).removeprefix("/bucket/")

    def answer(self, file: Path, with_body: bool) -> None:
        if not file.is_file():
            self.send(404, b"", {})
            return
        data, status, more = file.read_bytes(), 200, {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "ETag": '"1"'}
        if wanted := self.headers.get("Range"):
            low, _, high = wanted.removeprefix("bytes=").partition("-")
            more["Content-Range"] = f"bytes {low}-{min(int(high), len(data) - 1)}/{len(data)}"
            data, status = data[int(low) : int(high) + 1], 206
        self.send(status, data, more, with_body)

    def list_objects(self) -> None:
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        names = sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())
        found = [name for name in names if name.startswith(prefix) and "/" not in name[len(prefix) :]]
        rows = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>1</ETag>"
            f"<Size>{(self.folder / name).stat().st_size}</Size></Contents>"
            for name in found
        )
        self.send(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>".encode(), {})

    def send(self, status: int, data: bytes, headers: dict[str, str], with_body: bool = True) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the bucket `s3://bucket`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bucket", (FakeS3,), {"folder": tmp_path}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "name",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    _store.cache_clear()
    yield tmp_path
    server.shutdown()
    server.server_close()
    thread.join()
    _store.cache_clear()


@pytest.fixture(params=["s3", "folder"])
def place(bucket: Path, request: pytest.FixtureRequest) -> ObjectPath:
    """The same folder, in a bucket and as the store of a folder."""
    if request.param == "s3":
        path = path_at("s3://bucket/logs/")
        assert isinstance(path, ObjectPath)
        return path
    return ObjectPath("file://", str(bucket / "logs").strip("/"))


def test_a_folder_of_objects_reads_like_a_folder(bucket: Path, place: ObjectPath) -> None:
    (bucket / "logs" / "deep").mkdir(parents=True)
    data = b"".join(b"line %d\n" % number for number in range(300_000))
    assert len(data) > 2 * READ_BYTES
    (bucket / "logs" / "b.jsonl").write_bytes(data)
    (bucket / "logs" / "a.jsonl").write_bytes(b"")
    (bucket / "logs" / "a.head").write_bytes(b"head")
    (bucket / "logs" / "deep" / "c.jsonl").write_bytes(b"x")
    names = [str(path) for path in matching(place, "*.jsonl")]
    assert names == [f"{place}/a.jsonl", f"{place}/b.jsonl"]
    assert [path.name for path in files_at(place, "*.jsonl")] == ["a.jsonl", "b.jsonl"]
    file = pickle.loads(pickle.dumps(place / "b.jsonl"))
    assert (file.name, file.stem, file.parent) == ("b.jsonl", "b", place)
    assert (file.stat().st_size, file.is_file(), file.is_dir(), place.is_dir()) == (len(data), True, False, True)
    assert (place / "a.head").read_bytes() == b"head"
    assert files_at(file, "*.jsonl") == [file]
    assert files_at(place / "gone", "*.jsonl") == []
    with file.open("rb") as lines:
        assert b"".join(lines) == data
        assert lines.seek(7) == lines.tell() == 7
        assert lines.readline() == b"line 1\n"
    parts = parts_of([(file, len(data))], 700_000)
    assert [line for part in parts for line in part.lines()] == data.splitlines(keepends=True)
    with pytest.raises(FileNotFoundError) as missing:
        (place / "gone").read_bytes()
    assert missing.value.filename == f"{place}/gone"


def test_a_log_in_a_bucket_is_verified_and_replayed(bucket: Path) -> None:
    write_log(bucket / "logs", "audit-0", *[plain_record(id=f"x{number}") for number in range(5)])
    write_log(bucket / "logs", "audit-1", plain_record())

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*words])
        return result.exit_code, result.stdout

    local, rules = str(bucket / "logs"), str(bucket / "rules")
    (bucket / "rules").mkdir()
    (bucket / "rules" / "p.yaml").write_text(
        "policy: p\nchecks: {word: {use: pattern, words: [plain]}}\nrules: [{id: word, when: word, action: flag}]\n"
    )
    assert run("audit", "verify", "s3://bucket/logs") == run("audit", "verify", local)
    assert run("audit", "verify", "s3://bucket/logs")[0] == 0
    assert run("replay", "s3://bucket/logs", "--policies", rules) == run("replay", local, "--policies", rules)
    assert run("replay", "s3://bucket/logs/audit-1.jsonl", "--policies", rules)[0] == 0
    lines = (bucket / "logs" / "audit-0.jsonl").read_bytes().splitlines(keepends=True)
    (bucket / "logs" / "audit-0.jsonl").write_bytes(b"".join([*lines[:2], *lines[3:]]))
    code, out = run("audit", "verify", "s3://bucket/logs", "--json")
    assert (code, out) == run("audit", "verify", local, "--json")
    assert (code, json.loads(out)["logs"][0]["problems"][0]["code"]) == (1, "missing")
    assert run("audit", "verify", "s3://bucket/none")[0] == 2
    assert run("replay", "s3://bucket/none")[0] == 2
    assert run("replay", "s3://bucket/logs", "--key", "env:KEY")[0] == 2


def test_a_store_that_refuses_is_an_error_of_the_file(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeS3, "do_HEAD", lambda self: self.send(403, b"", {}))
    with pytest.raises(OSError, match="the object store refuses") as refused:
        (ObjectPath("s3://bucket", "logs/a.jsonl")).stat()
    assert refused.value.filename == "s3://bucket/logs/a.jsonl"


def test_places_by_text(tmp_path: Path) -> None:
    assert path_at("logs/x") == Path("logs/x")
    assert path_at(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert (is_url("logs"), is_url("s3://b")) == (False, True)
    assert str(path_at("s3://bucket/a/b")) == "s3://bucket/a/b"
    assert str(path_at("s3://bucket") / "a") == "s3://bucket/a"
    for wrong in ("ftp://host/x", "s3:///x", "http://host/x"):
        with pytest.raises(ConfigError, match="not a path"):
            path_at(wrong)
