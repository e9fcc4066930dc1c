"""Damage of every kind in the containers: what is whole is read, the rest is named."""

import gzip
import io
import json
import os
import tarfile

import pyarrow
import pyarrow.parquet
import pytest

from espnet_llmasr.data.formats.readers import Shards, json_items, json_lines, lines, parquet, table, tar_members
from espnet_llmasr.data.formats.source import Source
from espnet_llmasr.data.prepare import load

LONG = "directory/" * 15 + "x.wav"
SIZES = {"a.json": 700, LONG: 512, "b.wav": 1025, "folder/c.wav": 1}


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path, "train", tmp_path / "staged", tmp_path / "final", log=io.StringIO())


def make_tar(path, format, sizes=SIZES):
    with tarfile.open(path, "w", format=format) as tar:
        for name, size in sizes.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = size, 0.5  # pax needs a header of its own for it
            tar.addfile(member, io.BytesIO(name[-1:].encode() * size))
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    return path


@pytest.mark.parametrize("format", (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
def test_tar_members_of_each_format(source, tmp_path, format):
    path = make_tar(tmp_path / "x.tar", format)
    members = list(tar_members(source, path))
    assert {name: size for name, _, size in members} == SIZES
    content = path.read_bytes()
    for name, offset, size in members:
        assert content[offset : offset + size] == name[-1:].encode() * size
    assert not source.dropped


@pytest.mark.parametrize("format", (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
def test_a_tar_cut_anywhere_gives_the_whole_members_and_one_drop(source, tmp_path, format):
    path = make_tar(tmp_path / "x.tar", format)
    content, whole = path.read_bytes(), list(tar_members(source, path))
    end = max(offset + -(-size // 512) * 512 for _, offset, size in whole) + 512  # and the header of the folder
    cuts = {0, 1, 511, 512, 513, end - 1, *range(0, end, 173), *(offset + size for _, offset, size in whole)}
    for cut in sorted(cuts):
        path.write_bytes(content[:cut])
        source.dropped.clear()
        assert list(tar_members(source, path)) == [m for m in whole if m[1] + m[2] <= cut], cut
        assert source.dropped == {"truncated_tar": 1}, cut


def test_a_cut_member_is_named_and_garbage_between_members_is_found(source, tmp_path):
    path = make_tar(tmp_path / "x.tar", tarfile.GNU_FORMAT)
    content = path.read_bytes()
    (_, first, _), (_, second, _), *_ = tar_members(source, path)
    path.write_bytes(content[: first + 10])
    assert list(tar_members(source, path)) == []
    path.write_bytes(content[: first + 1024] + b"\xff" * 512 + content[first + 1536 :])
    assert [name for name, *_ in tar_members(source, path)] == ["a.json"]
    path.write_bytes(b"no tar at all" * 100)
    assert list(tar_members(source, path)) == []
    names = ("x.tar/a.json", f"x.tar:{first + 1024}", "x.tar:0")
    assert source.log.getvalue().splitlines() == [f"{name} truncated_tar" for name in names]


def test_entries_of_shards_name_the_bytes_that_were_added(source, tmp_path):
    data = {"a b/c": b"1" * 512, LONG: b"2" * 3, "字": b"3" * 1025}
    with Shards(source, "x") as shards:
        entries = {name: shards.add(name, content) for name, content in data.items()}
    staged = tmp_path / "staged" / "x.tar"
    tar = staged.read_bytes()
    for name, entry in entries.items():
        path, _, offset = entry.rpartition(":")
        assert path == str(tmp_path / "final" / "x.tar")
        assert tar[int(offset) :].startswith(data[name])
    assert [(name, size) for name, _, size in tar_members(source, staged)] == [(k, len(v)) for k, v in data.items()]


def test_parquet_drops_rows_without_audio_and_damaged_files(source, tmp_path):
    rows = [{"id": f"u{n}", "audio": {"bytes": bytes([n]) * 3000, "path": None}} for n in range(40)]
    rows[3]["audio"]["bytes"], rows[5]["audio"] = b"", None
    whole, cut, damaged = (tmp_path / f"{name}.parquet" for name in ("whole", "cut", "damaged"))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), whole, row_group_size=20)
    content = whole.read_bytes()
    cut.write_bytes(content[:-10])
    page = pyarrow.parquet.read_metadata(whole).row_group(1).column(1).data_page_offset
    damaged.write_bytes(content[:page] + bytes(50) + content[page + 50 :])

    def read(path):
        found = list(parquet(source, [path], ["id", "speaker"], lambda row: row["id"]))
        assert {row["speaker"] for row in found} <= {None}
        return [row["id"] for row in found]

    assert read(whole) == [f"u{n}" for n in range(40) if n not in (3, 5)]
    assert read(cut) == []
    assert read(damaged) == [f"u{n}" for n in range(16) if n not in (3, 5)]  # what precedes the damage
    assert source.log.getvalue().split() == "u3 empty_wav u5 empty_wav cut.parquet broken_parquet".split() + (
        "u3 empty_wav u5 empty_wav damaged.parquet broken_parquet".split()
    )


@pytest.mark.parametrize("name, value", [("sound", "a"), ("audio", b"RIFF"), ("audio", "a"), ("audio", {"path": "a"})])
def test_parquet_with_audio_of_another_form_is_one_clear_line(source, tmp_path, name, value):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"id": "a", name: value}]), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=f"no column 'audio' with bytes in it, only id, {name}"):
        list(parquet(source, [tmp_path / "a.parquet"], ["id"], lambda row: row["id"]))


def test_json_lines_names_broken_lines_by_their_place_in_the_file(source, write, tmp_path):
    path = write(
        tmp_path / "m.jsonl",
        '\ufeff{"id": 1}\r\n\r\n{"id": 2\r\n[3]\n{"id": "quote \\" \u2028"}\n{"id": 5}\n' + "[" * 10**5,
    )
    assert [row["id"] for row in json_lines(source, path)] == [1, 'quote " \u2028', 5]
    assert source.log.getvalue().splitlines() == [f"m.jsonl:{number} broken_json" for number in (3, 4, 7)]


def test_table_names_short_and_long_rows_by_their_place_in_the_file(source, write, tmp_path):
    path = write(tmp_path / "t.tsv", '\ufeffid\ttext\r\n\r\na\t"quoted\r\nshort\r\nb\twith\ttab\r\nc\t\r\n')
    rows = [{"id": "a", "text": '"quoted'}, {"id": "c", "text": ""}]
    assert list(table(source, path)) == rows
    assert source.log.getvalue() == "t.tsv:4 broken_line\nt.tsv:5 broken_line\n"
    rows.insert(1, {"id": "b", "text": "with\ttab"})
    assert list(table(source, path, text="text")) == rows


SURPLUS = {
    "commonvoice en-train": (
        "en/train.tsv",
        "client_id\tpath\tsentence\tlocale\na\tx.mp3\tturn left at\tthe church\ten\n",
    ),
    "voxpopuli dev": (
        "transcribed_data/en/asr_dev.tsv",
        "id\traw_text\tnormalized_text\tspeaker_id\n2012a\tone\ttwo\tone two\t7\n",
    ),
    "fleurs en-dev": ("en_us/dev.tsv", "7\tx.wav\tIt's\tlate\tits late\ti t s\t8000\tMALE\n"),
    "speechio SPEECHIO_ASR_ZH00001": (
        "SPEECHIO_ASR_ZH00001/metadata.tsv",
        "ID\tAUDIO\tDURATION\tTEXT\nU_1\twav/x.wav\t0.4\t今天\t的节目\n",
    ),
    "wsyue_eval short": ("Short/content.txt", "x.wav\t20\t30\tcalm\tmale\t我哋\n"),
    "spgispeech val": ("val.csv", "wav_filename|wav_filesize|transcript|rate\na/1.wav|12|one|two|16000\n"),
}


@pytest.mark.parametrize("corpus", SURPLUS)
def test_a_surplus_delimiter_is_a_broken_line_of_every_corpus(tmp_path, write, corpus):
    name, part = corpus.split()
    path, content = SURPLUS[corpus]
    write(tmp_path / path, content)
    for folder in ("en_us/audio/dev", "Short/wav"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    source = Source(tmp_path, part, tmp_path / "staged", tmp_path / "final", log=io.StringIO())
    assert list(load(name).read(source)) == [] and source.dropped == {"broken_line": 1}


GZIP = gzip.compress("\n".join(f"line {n * n}" for n in range(5000)).encode())


@pytest.mark.parametrize("content", [GZIP[:-3000], GZIP[:500] + bytes(200) + GZIP[700:], b"plain text\n" + GZIP])
def test_damaged_gzip_is_one_clear_line(tmp_path, content):
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="x.gz is damaged .*get it again"):
        list(lines(path))


def test_a_pipe_in_the_place_of_a_table_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.tsv")
    for read in (lines, lambda path: json_items(path, "item")):
        with pytest.raises(ValueError, match="x.tsv is a folder, a pipe or a device"):
            list(read(tmp_path / "x.tsv"))


def test_json_items_stream_and_broken_json_is_one_clear_line(tmp_path):
    path = tmp_path / "big.json"
    whole = json.dumps({"dataset": "x", "audios": [{"aid": n, "t": 0.5} for n in range(3)]})
    path.write_text("\ufeff" + whole, encoding="utf-8")
    assert list(json_items(path, "audios.item")) == [{"aid": n, "t": 0.5} for n in range(3)]
    for broken in ("", whole[:-20], whole.replace(":", " ", 4), whole + "]", whole.replace("0.5", "0,5", 1)):
        path.write_text(broken)
        with pytest.raises(ValueError, match="big.json is not whole JSON"):
            list(json_items(path, "audios.item"))
    path.write_bytes(whole.replace('"x"', '"\xff"').encode("latin-1"))
    with pytest.raises(ValueError, match="big.json is not whole JSON"):
        list(json_items(path, "audios.item"))
