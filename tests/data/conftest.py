"""Data directories made by hand, corpora that imitate the published layouts, and what must hold for every directory."""

import json
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile

from espnet_llmasr import audio
from espnet_llmasr.bin import format_data, prepare_corpus
from espnet_llmasr.cli import run as run_command
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.prepare import load
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.files import read_scp

RATE = 16000
FORMATS = {".opus": dict(format="OGG", subtype="OPUS"), ".sph": dict(format="NIST", subtype="PCM_16")}


class Prepared:
    """A prepared data directory; making one checks its order, its tables and its audio."""

    def __init__(self, directory: Path):
        self.dir = directory
        self.stats = json.loads((directory / "stats.json").read_text())
        self.check()

    def lines(self, name):
        path = self.dir / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def table(self, name):
        return dict(line.split(" ", 1) for line in self.lines(name))

    @property
    def dropped(self):
        """{id: reason}, in agreement with the counts."""
        named = dict(line.rsplit(" ", 1) for line in self.lines("dropped.txt"))
        assert Counter(line.rsplit(" ", 1)[1] for line in self.lines("dropped.txt")) == self.stats["dropped"]
        return named

    def check_dropped(self, **reasons):
        """`reasons`: for each the ids that were dropped, with blanks between them; ids hold none."""
        assert self.dropped == {key: reason for reason, keys in reasons.items() for key in keys.split()}

    def entries(self):
        """{utterance: entry of espnet_llmasr.audio}"""
        wavs = self.table("wav.scp")
        pieces = {key: value.split() for key, value in self.table("segments").items()}
        return {key: f"{wavs[r]}#t={start},{end}" for key, (r, start, end) in pieces.items()} or wavs

    def check(self):
        keys = [line.split()[0] for line in self.lines("text")]
        assert keys == sorted(keys, key=str.encode) and len(set(keys)) == len(keys) == self.stats["utts"]
        for name in ("utt2spk", "utt2lang", "utt2dur"):
            assert list(self.table(name)) == keys, name
        speakers = self.table("utt2spk")
        by_speaker = sorted(keys, key=lambda key: (speakers[key].encode(), key.encode()))
        assert keys == by_speaker  # Kaldi's rule
        spoken = [(key, speaker) for speaker, said in self.table("spk2utt").items() for key in said.split()]
        assert spoken == [(key, speakers[key]) for key in keys]
        durations, entries = self.table("utt2dur"), self.entries()
        assert list(entries) == keys
        for key, entry in entries.items():
            samples = audio.read(entry, 16000)
            assert abs(len(samples) / 16000 - float(durations[key])) <= 0.001, (key, len(samples), durations[key])
        assert self.stats["hours"] == pytest.approx(sum(map(float, durations.values())) / 3600, abs=1e-5)


@pytest.fixture
def make(tmp_path):
    """make(corpus, src, part, *options) -> Prepared, through the command's own main."""

    def run(corpus, src, part, *options):
        out = tmp_path / "data" / f"{corpus}_{part}"
        prepare_corpus.main([corpus, str(src), part, str(out), *options])
        return Prepared(out)

    return run


@pytest.fixture
def check_shards(make):
    """check_shards(corpus, src, part, n): n shards together must be the whole, and each count its own drops only."""

    def check(corpus, src, part, total):
        tables = ("text", "utt2spk", "utt2lang", "utt2dur", "dropped.txt")
        whole, found = make(corpus, src, part), {name: [] for name in tables}
        expected = {name: sorted(whole.lines(name)) for name in tables}
        for number in range(1, total + 1):
            shard = make(corpus, src, part, "--shard", f"{number}/{total}")
            assert shard.stats["utts"] < whole.stats["utts"]
            for name in tables:
                found[name] += shard.lines(name)
        assert {name: sorted(lines) for name, lines in found.items()} == expected

    return check


@pytest.fixture
def sound():
    """sound(path, seconds, rate=16000, channels=1): writes noise in the container that the suffix names."""

    def write(path: Path, seconds: float = 0.5, rate: int = 16000, channels: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(path.name))
        samples = rng.uniform(-0.1, 0.1, (round(seconds * rate), channels))
        soundfile.write(path, samples, rate, **FORMATS.get(path.suffix, {}))
        return path

    return write


@pytest.fixture
def sounds(sound):
    """sounds(folder, names, *details): the files of these names, with blanks between them, as `sound` writes each."""
    return lambda folder, names, *details: [sound(folder / name, *details) for name in names.split()]


@pytest.fixture
def parquet(sound, tmp_path):
    """parquet(path, rows): a row's "audio" = (suffix, seconds) becomes {bytes, path} of noise, None of no seconds."""

    def write(path, *rows):
        for row in rows:
            suffix, seconds = row["audio"]
            file = sound(tmp_path / f"inside.{suffix}", seconds)
            row["audio"] = {"bytes": file.read_bytes(), "path": file.name} if seconds else None
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)

    return write


@pytest.fixture
def write():
    """write(path, text, encoding=...): a text file with its folders."""

    def text_file(path: Path, text: str, encoding: str = "utf-8") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding, errors="surrogateescape"))
        return path

    return text_file


@pytest.fixture
def as_read(tmp_path):
    """as_read(corpus, src, part) -> {id: text} as the reader yields it, before it gets its canonical form."""

    def read(corpus, src, part):
        source = Source(src, part, tmp_path / "staged", tmp_path / "final")
        return {utterance.id: utterance.text for utterance in load(corpus).read(source)}

    return read


@pytest.fixture
def as_corpus(monkeypatch):
    """as_corpus(read, lang=...): what prepare_corpus then takes for librispeech; it has the part `all`."""

    def use(read, lang="en"):
        entry = Corpus(read, lang=lang, parts={"all": ""}, licence="none", url="https://example.org/x")
        monkeypatch.setattr("espnet_llmasr.data.prepare.load", lambda name: entry)

    return use


@pytest.fixture
def utterances(as_corpus, sound, tmp_path):
    """utterances(*(id, text, changes)): a corpus of these, all with the same 0.4 s of audio."""
    wav = str(sound(tmp_path / "src" / "a.wav", 0.4))

    def use(*rows):
        made = [Utterance(**{"id": key, "text": text, "audio": wav, **changes}) for key, text, changes in rows]
        as_corpus(lambda source: iter(made))
        return tmp_path / "src"

    return use


@pytest.fixture
def run(command):
    """run(src, part, out, *options) -> exit code and standard error of prepare_corpus librispeech."""
    return lambda *arguments: command(prepare_corpus, "librispeech", *arguments)


@pytest.fixture
def data_dir(tmp_path):
    """data_dir(name, rows, recordings=None) -> its path; a row is (id, speaker, language, seconds, text, audio).

    `audio` is an entry, or with `recordings` {name: entry} what stands in segments; rows must be sorted.
    """

    def write(name, rows, recordings=None):
        directory = tmp_path / name
        directory.mkdir(parents=True)
        columns = {"utt2spk": 1, "utt2lang": 2, "utt2dur": 3, "text": 4, "segments" if recordings else "wav.scp": 5}
        tables = {table: [f"{row[0]} {row[column]}" for row in rows] for table, column in columns.items()}
        if recordings:
            tables["wav.scp"] = [f"{key} {entry}" for key, entry in recordings.items()]
        speakers = {}
        for row in rows:
            speakers.setdefault(row[1], []).append(row[0])
        tables["spk2utt"] = [" ".join([speaker, *keys]) for speaker, keys in speakers.items()]
        for table, lines in tables.items():
            (directory / table).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (directory / "stats.json").write_text("{}")
        return directory

    return write


class Data:
    """A data directory that grows utterance by utterance."""

    def __init__(self, root: Path):
        self.root, self.dir, self.out = root, root / "data", root / "dump" / "train"
        self.tokens = root / "dump" / "phones.txt"
        self.dir.mkdir()
        self.wavs, self.texts = [], []

    def add(self, key, text="你好", samples=None, rate=RATE, **write):
        path = self.dir / f"{key}.wav"
        soundfile.write(path, self.noise(1.0, rate) if samples is None else samples, rate, **write)
        self.wavs.append(f"{key} {path}")
        if text is not None:
            self.texts.append(f"{key} {text}".strip())
        return path

    def run(self, *options):
        (self.dir / "wav.scp").write_text("\n".join(self.wavs) + "\n", encoding="utf-8")
        (self.dir / "text").write_text("\n".join(self.texts) + "\n", encoding="utf-8")
        argv = ["--data", str(self.dir), "--out", str(self.out), "--tokens", str(self.tokens), *options]
        format_data.main(argv)
        return json.loads((self.out / "stats.json").read_text())

    def exit_code(self, *options):
        with pytest.raises(SystemExit) as stopped:
            run_command(lambda: self.run(*options))
        return stopped.value.code

    def table(self, name):
        return read_scp(self.out / name)

    def snapshot(self):
        """{path: content} of everything that was written."""
        root = self.out.parent
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    @staticmethod
    def noise(seconds, rate=RATE, channels=1):
        """(N,), or (N, channels)."""
        draw = np.random.default_rng(0).uniform(-0.1, 0.1, (round(seconds * rate), channels))
        return draw[:, 0] if channels == 1 else draw


@pytest.fixture
def data(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    return Data(tmp_path)
