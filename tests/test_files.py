"""Shared files: written whole or not at all; Kaldi tables read strictly."""

import json
import os
import resource
import signal
from dataclasses import dataclass, field

import pytest
import torch

from espnet_llmasr import files
from espnet_llmasr.files import JsonLines, atomic_path, read_scp, write_all_atomically, write_atomically, write_scp


def test_write_and_replace(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, "first")
    write_atomically(path, b"second")
    assert path.read_text() == "second" and [p.name for p in path.parent.iterdir()] == ["file.txt"]
    mask = os.umask(0o022)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_the_whole_content_is_on_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    path, content, calls = tmp_path / "file.txt", b"line\n" * 10_000, []
    replace = os.replace

    def record_fsync(handle):
        status = os.fstat(handle)
        calls.append(("fsync", status.st_ino, status.st_size))

    def record_replace(source, target):
        calls.append(("replace", os.stat(source).st_ino, os.stat(source).st_size))
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", record_fsync)
    monkeypatch.setattr(files.os, "replace", record_replace)
    write_atomically(path, content)
    inode = path.stat().st_ino
    assert calls == [("fsync", inode, len(content)), ("replace", inode, len(content))] and path.read_bytes() == content


def test_a_failure_or_a_kill_leaves_the_old_content(tmp_path, forked):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted(stop):
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            stop()

    with pytest.raises(ZeroDivisionError):
        interrupted(lambda: 1 / 0)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    assert forked(lambda: interrupted(lambda: os.kill(os.getpid(), signal.SIGKILL))) == signal.SIGKILL
    assert path.read_text() == "old"


def test_tables(tmp_path):
    path = tmp_path / "text"
    write_scp(path, {"b": "two words", "a": "你好", "B": "", "é": 1})
    assert path.read_text().splitlines() == ["B ", "a 你好", "b two words", "é 1"]
    assert read_scp(path) == {"B": "", "a": "你好", "b": "two words", "é": "1"}


def test_bad_tables(tmp_path):
    path = tmp_path / "text"
    with pytest.raises(ValueError, match="text does not exist"):
        read_scp(path)
    path.write_text("a 1\nb 2\na 3\n")
    with pytest.raises(ValueError, match="id 'a' stands in line 1 and in line 3"):
        read_scp(path)
    path.write_bytes(b"a \xff\n")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_scp(path)


def test_rows_are_read_as_read_scp_reads_them(tmp_path):
    (tmp_path / "t").write_bytes("\ufeffb  1 2 \r\n\n a\t3\nempty\n好 x\u2028y".encode())
    rows = list(files.read_rows(tmp_path / "t"))
    assert rows == [("b", "1 2"), ("a", "3"), ("empty", ""), ("好", "x\u2028y")]
    assert dict(rows) == files.read_scp(tmp_path / "t") and files.count_rows(tmp_path / "t") == 4


def test_sorted_file(tmp_path):
    for unique in (False, True):
        with files.sorted_file(tmp_path / "out", unique) as add:
            for line in ("é", "a", "a-1", "B", "a"):
                add(line + "\n")
        wanted = ["B", "a", "a", "a-1", "é"]
        assert (tmp_path / "out").read_text().split() == (sorted(set(wanted), key=str.encode) if unique else wanted)
    with pytest.raises(OSError, match="sort of .* failed"):
        with files.sorted_file(tmp_path / "no" / "folder") as add:
            add("a\n")


def test_token_lists(tmp_path):
    tokens = ["<blank>", "<unk>", " ", "\u2028", "好"]
    files.write_tokens(tmp_path / "tokens.txt", tokens)
    assert files.read_tokens(tmp_path / "tokens.txt") == tokens
    (tmp_path / "tokens.txt").write_text("<blank>\n<unk>")
    assert files.read_tokens(tmp_path / "tokens.txt") == ["<blank>", "<unk>"]


def test_shards():
    assert files.parse_shard("1/1") == (1, 1) and files.parse_shard("3/12") == (3, 12)
    for wrong in ("0/2", "3/2", "1", "1/", "a/b", "-1/2", "1/2/3", ""):
        with pytest.raises(ValueError, match="is not i/n with 1 <= i <= n"):
            files.parse_shard(wrong)


def test_all_files_or_none(tmp_path):
    for name in ("a", "c"):
        (tmp_path / name).write_text("old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="c/d|Not a directory|File exists"):
        write_all_atomically({tmp_path / "a": "new", tmp_path / "b": "new", tmp_path / "c/d": "new"})
    with pytest.raises(IsADirectoryError, match="folder"):
        write_all_atomically({tmp_path / "a": "new", tmp_path / "folder": "new"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c", "folder"]
    assert (tmp_path / "a").read_text() == "old"
    write_all_atomically({tmp_path / "a": "新", tmp_path / "b": "new"})
    assert (tmp_path / "a").read_bytes() == "新".encode() and (tmp_path / "b").read_text() == "new"


@dataclass
class Plain:
    name: str
    count: int = 0


@dataclass
class Measured:
    name: str
    values: dict = field(default_factory=dict)


def test_json_lines(tmp_path):
    log = JsonLines(tmp_path / "log.jsonl", Plain)
    assert log.read() == []
    rows = [Plain("a\u2028b\n", 1), Plain("ü")]
    for row in rows:
        log.append(row)
    assert log.read() == rows and len(log.path.read_text(encoding="utf-8").split("\n")) == 3
    os.utime(log.path, (1, 1))
    log.write(rows)
    assert log.path.stat().st_mtime == 1  # the same content is not written again
    log.write(rows[1:])
    assert log.read() == rows[1:]


def test_values_stand_beside_the_other_fields(tmp_path):
    log = JsonLines(tmp_path / "log.jsonl", Measured)
    log.write([Measured("a", {"nse": 0.5, "pai": None}), Measured("b")])
    first, second = map(json.loads, log.path.read_text().splitlines())
    assert first == {"name": "a", "nse": 0.5, "pai": None} and second == {"name": "b"}
    assert log.read() == [Measured("a", {"nse": 0.5, "pai": None}), Measured("b")]


@pytest.mark.parametrize("line", ['{"name": "b", "other": 1}', '{"count": 1}', '{"name": "b"', "5", "[]", "null"])
def test_a_line_of_another_kind_is_named(tmp_path, line):
    (tmp_path / "log.jsonl").write_text(f'{{"name": "a"}}\n{line}\n')
    with pytest.raises(ValueError, match="log.jsonl, line 2 is no Plain .*: remove or repair the line"):
        JsonLines(tmp_path / "log.jsonl", Plain).read()


# ---- leftovers and full disks --------------------------------------------------------------------------------------


def test_leftovers_of_dead_writers_only(tmp_path, forked):
    """A writer was killed, another is at work, and a user has a hidden file."""

    def killed():
        with atomic_path(tmp_path / "encoder.000000009.pth") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    assert forked(killed) == signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".encoder.000000009.pth.tmp-") and left.suffix == ".pth"
    (tmp_path / ".mine").write_text("")
    with atomic_path(tmp_path / "a.txt") as living:
        assert living.exists() and not left.exists()
        living.write_text("whole")
        assert forked(lambda: write_atomically(tmp_path / "b.txt", "b")) == 0  # cleans, too
        assert living.exists()
    assert {path.name for path in tmp_path.iterdir()} == {".mine", "a.txt", "b.txt"}
    assert (tmp_path / "a.txt").read_text() == "whole"


@pytest.fixture
def small_disk():
    """No file can become larger than 100 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named_with_its_free_space(tmp_path, small_disk):
    (tmp_path / "a").write_text("old")
    for write in (
        lambda path: path.write_bytes(b"x" * 200_000),
        lambda path: torch.save(torch.zeros(50_000), path),
        lambda path: torch.save([torch.zeros(5) for _ in range(2000)], path),
    ):
        with pytest.raises(OSError, match=rf"in {tmp_path} \([0-9.,]+ MB free\): make room and start again"):
            with atomic_path(tmp_path / "a") as path:
                write(path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "old"


def test_a_log_on_a_full_disk(tmp_path, monkeypatch):
    assert files.note_of_full_disk(tmp_path) == ""
    monkeypatch.setattr(files, "LITTLE_SPACE", 1 << 60)
    assert f"may be cut off: {tmp_path} has " in files.note_of_full_disk(tmp_path)


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path):
    message = "[enforce fail at inline_container.cc:145] . PytorchStreamReader failed reading zip archive"
    for error in (RuntimeError(message), RuntimeError("a bug"), PermissionError(13, "Permission denied", "x")):
        with pytest.raises(type(error)) as raised:
            with files.naming_full_disk(tmp_path):
                raise error
        assert raised.value is error


# ---- damaged files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [files.read_json, files.read_yaml, files.read_number])
@pytest.mark.parametrize("content", [b"", b"[1, 2]\n", b"null", b"\xff\xfe", b"{", b"a: [1", b"[" * 100_000, b"1.5"])
def test_a_damaged_file_is_named(tmp_path, read, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=f"{tmp_path}/file .*(again|convert)"):
        read(tmp_path / "file")


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    log = JsonLines(tmp_path / "pipe", Plain)
    for read in (files.read_text, files.read_scp, files.read_tokens, files.count_rows, files.read_number):
        for name in ("pipe", "folder"):
            with pytest.raises(ValueError, match=f"{name} is a folder, a pipe or a device, expected a file"):
                read(tmp_path / name)
    for call in (log.read, lambda: log.append(Plain("a"))):
        with pytest.raises(ValueError, match="pipe is a folder, a pipe or a device"):
            call()


def test_values_are_read(tmp_path):
    (tmp_path / "file").write_text(" 12\n")
    assert files.read_number(tmp_path / "file") == 12
    (tmp_path / "file").write_text('{"a": [1]}')
    assert files.read_json(tmp_path / "file") == files.read_yaml(tmp_path / "file") == {"a": [1]}
