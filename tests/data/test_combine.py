import json
import subprocess
import sys

import pytest

from espnet_llmasr.bin import check_data, combine_data


def row(key, seconds, text, where, speaker=None):
    return key, speaker or key.partition("-")[0], "en", seconds, text, where


@pytest.fixture
def whole(data_dir):
    directory = data_dir("whole", [row("b_1-1", "1.500", "one", "/b1.wav"), row("b_2-1", "2.000", "two", "/b2.wav")])
    (directory / "stats.json").write_text('{"utts": 2, "hours": 0.1, "dropped": {"empty_text": 2}}')
    (directory / "dropped.txt").write_text("x empty_text\ny empty_text\n")
    (directory / "text_pron").write_text("b_2-1 zwei\n")
    return directory


@pytest.fixture
def shards(data_dir):
    """Two shards of a corpus, which share a speaker and a recording."""
    first = [row("a_1-1", "0.500", "three", "rec_x 0.000 0.500"), row("a_3-1", "0.500", "four", "rec_y 0.000 0.500")]
    second = [row("a_1-2", "1.000", "five", "rec_x 1.000 2.000")]
    return [data_dir("one", first, dict(rec_x="/x.wav", rec_y="/y.wav")), data_dir("two", second, dict(rec_x="/x.wav"))]


def combined(out, *arguments):
    combine_data.main([str(out), *map(str, arguments)])
    assert check_data.main([str(out), "--audio", "0"]) == 0
    return lambda table: (out / table).read_text(encoding="utf-8").splitlines()


def test_whole_recordings_become_segments(whole, shards, tmp_path):
    lines = combined(tmp_path / "out", whole, *shards)
    assert lines("text") == ["a_1-1 three", "a_1-2 five", "a_3-1 four", "b_1-1 one", "b_2-1 two"]
    assert lines("segments")[1:4] == ["a_1-2 rec_x 1.000 2.000", "a_3-1 rec_y 0.000 0.500", "b_1-1 b_1-1 0.000 1.500"]
    assert lines("wav.scp") == ["b_1-1 /b1.wav", "b_2-1 /b2.wav", "rec_x /x.wav", "rec_y /y.wav"]
    assert lines("spk2utt") == ["a_1 a_1-1 a_1-2", "a_3 a_3-1", "b_1 b_1-1", "b_2 b_2-1"]
    assert lines("text_pron") == ["b_2-1 zwei"] and lines("dropped.txt") == ["x empty_text", "y empty_text"]
    sums = [(whole, 2, 3.5), (shards[0], 2, 1), (shards[1], 1, 1)]
    parts = [dict(dir=str(path), utts=utts, hours=round(seconds / 3600, 6)) for path, utts, seconds in sums]
    whole_sum = dict(utts=5, hours=round(5.5 / 3600, 6), dropped={"empty_text": 2})
    assert json.loads("".join(lines("stats.json"))) == {**whole_sum, "parts": parts}


def test_pieces_become_segments_of_their_files(data_dir, shards, tmp_path):
    entries = ["/b.wav#t=0.200,0.800", "/b.tar:512#t=1.000&channel=1"]
    pieces = data_dir("pieces", [row("b_1-1", "0.600", "one", entries[0]), row("b_2-1", "2.000", "two", entries[1])])
    lines = combined(tmp_path / "out", pieces, *shards)
    assert lines("segments")[3:] == ["b_1-1 b_1-1 0.200 0.800", "b_2-1 b_2-1 1.000 -1 1"]
    assert lines("wav.scp")[:2] == ["b_1-1 /b.wav", "b_2-1 /b.tar:512"]


def test_counts_of_lost_symbols_are_summed(whole, shards, tmp_path):
    for directory, lost in ((shards[0], {"™": 2, "★": 1}), (shards[1], {"™": 3})):
        stats = {"dropped": {}, "lost_symbols": lost, "unread_numbers": {"1e10": 1}}
        (directory / "stats.json").write_text(json.dumps(stats))
    stats = json.loads("".join(combined(tmp_path / "out", whole, *shards)("stats.json")))
    assert stats["lost_symbols"] == {"★": 1, "™": 5} and stats["unread_numbers"] == {"1e10": 2}


def test_excluded_utterances_and_their_recordings_go(whole, shards, tmp_path):
    (tmp_path / "exclude.txt").write_text("a_3-1\nb_2-1\nof_another_corpus\n")
    lines = combined(tmp_path / "out", whole, *shards, "--exclude", tmp_path / "exclude.txt")
    assert lines("text") == ["a_1-1 three", "a_1-2 five", "b_1-1 one"]
    assert lines("wav.scp") == ["b_1-1 /b1.wav", "rec_x /x.wav"]
    assert lines("dropped.txt")[2:] == ["a_3-1 overlaps_test", "b_2-1 overlaps_test"]
    assert json.loads("".join(lines("stats.json")))["dropped"] == {"empty_text": 2, "overlaps_test": 2}
    assert not (tmp_path / "out" / "text_pron").exists()


def test_whole_recordings_alone_need_no_segments(whole, tmp_path):
    lines = combined(tmp_path / "out", whole)
    assert lines("wav.scp") == ["b_1-1 /b1.wav", "b_2-1 /b2.wav"] and not (tmp_path / "out" / "segments").exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_mistakes_are_one_line_and_leave_the_old_directory(whole, shards, data_dir, command, tmp_path):
    out = tmp_path / "out"
    combined(out, whole)
    twin = data_dir("twin", [row("b_2-1", "1.000", "other", "/z.wav")])
    other = data_dir("other", [row("a_9-1", "1.000", "six", "rec_y 0.000 1.000")], {"rec_y": "/other.wav"})
    late = data_dir("late", [row("b_15-1", "1.000", "seven", "/late.wav", speaker="z")])
    torn = data_dir("torn", [row("c_1-1", "1.000", "seven", "/c.wav"), row("c_1-2", "1.000", "x", "/d.wav")])
    (torn / "text").write_text("c_1-1 seven\n")
    for parts, said in (
        ([whole, twin], f"b_2-1 is in {whole} and in {twin}: ids must differ"),
        ([shards[0], other], "two recordings are called rec_y: /other.wav and /y.wav"),
        ([whole, late], f"b_2-1 of {whole} comes after b_15-1, but its speaker b_2 before z"),
        ([torn], f"{torn}: utterance 'c_1-2' is not in text: bin.check_data {torn} lists all problems"),
        ([whole, whole], f"{whole} is given twice"),
        ([tmp_path / "none"], f"{tmp_path}/none is no directory"),
        ([out], f"{out} would replace {out}"),
        ([whole, "--exclude", tmp_path / "none"], f"{tmp_path}/none does not exist"),
    ):
        result = command(combine_data, out, *parts)
        assert result.code == 1 and said in result.err and result.err.count("\n") == 1, result.err
        assert (out / "text").read_text() == "b_1-1 one\nb_2-1 two\n"


def test_a_directory_inside_the_output_is_not_lost(whole, command, tmp_path):
    result = command(combine_data, whole.parent, whole)
    assert result.code == 1 and "choose another output directory" in result.err and (whole / "text").exists()


def test_more_directories_than_files_may_be_open(data_dir, tmp_path):
    parts = [str(data_dir(f"p{i}", [row(f"c_{i}-1", "1.000", "x", f"/{i}.wav")])) for i in range(12)]
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 1024)); import sys;"
        " from espnet_llmasr.bin.combine_data import main; main(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out"), *parts], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out" / "text").read_text().splitlines()) == 12


def test_some_utterances_at_equal_distances(whole, shards, tmp_path):
    for wanted, expected in ((2, "a_3-1 b_2-1"), (4, "a_1-2 a_3-1 b_1-1 b_2-1"), (9, "a_1-1 a_1-2 a_3-1 b_1-1 b_2-1")):
        lines = combined(tmp_path / str(wanted), whole, *shards, "--utts", wanted)
        assert [line.split()[0] for line in lines("text")] == expected.split()
