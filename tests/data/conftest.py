"""Data directories made by hand."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "local"))


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
