"""The lists of a training set that is dealt out, and mistakes."""

import os

import pytest

from espnet_llmasr.bin import split_data
from espnet_llmasr.data.splits import TABLES, split_set


def test_a_pipe_in_the_place_of_a_table_is_not_waited_for(command, tmp_path):
    for name in TABLES:
        os.mkfifo(tmp_path / name)
    done = command(split_data, "--data_dir", tmp_path, "--num_splits", 2)
    assert done.code == 1 and f"{tmp_path / TABLES[0]} is a folder, a pipe or a device" in done.err


def test_the_lists(command, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in TABLES:
        (data / name).write_text("".join(f"u{number} {name} {number}\n" for number in range(5)))
    assert split_set(data, 3) == 5
    out = data / "splits3"
    for name in TABLES:
        assert (out / name / "num_splits").read_text() == "3"
        assert (out / name / "split.1").read_text() == f"u1 {name} 1\nu4 {name} 4\n"
        assert (out / name / "split.2").read_text() == f"u2 {name} 2\n"
    for count, message in ((6, "cannot be dealt out into 6 lists"), (201, "allowed are 2 to 200"), (1, "at least 2")):
        done = command(split_data, "--data_dir", data, "--num_splits", count)
        assert done.code == 1 and message in done.err and not (data / f"splits{count}").exists()
    (data / "text").write_text("u0 x\n" * 4)
    assert "cannot be dealt out" in command(split_data, "--data_dir", data, "--num_splits", 3).err
    assert (out / "text" / "split.1").read_text() == "u1 text 1\nu4 text 4\n"


def test_tables_of_different_lengths(tmp_path):
    for name in TABLES:
        (tmp_path / name).write_text("u1 a\nu2 a\n")
    (tmp_path / "text").write_text("u1 a\n")
    with pytest.raises(ValueError, match="cannot be dealt out into 2 lists, its lines: {'wav.scp': 2, 'text': 1,"):
        split_set(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(TABLES)
