import pytest

from espnet_llmasr.bin import check_data


@pytest.fixture
def good(data_dir, sound, tmp_path):
    """Two speakers and three utterances, whole files: wav, flac and mp3 of 0.5, 0.75 and 1.0 s."""
    rows = [
        ("a_1-1", "a_1", "en", "0.500", "some words", sound(tmp_path / "a_1-1.wav", 0.5)),
        ("a_1-2", "a_1", "zh-en", "0.750", "some words", sound(tmp_path / "a_1-2.flac", 0.75)),
        ("a_1b-1", "a_1b", "zh-ji-lu", "1.000", "some words", sound(tmp_path / "a_1b-1.mp3", 1.0)),
    ]
    return data_dir("good", rows)


@pytest.fixture
def cut(data_dir, sound, tmp_path):
    """Two segments of one recording of 2 s, and one of another."""
    rows = [
        ("a_1-1", "a_1", "en", "0.500", "one", "rec_x 0.000 0.500"),
        ("a_1-2", "a_1", "en", "1.250", "two", "rec_x 0.750 2.000"),
        ("a_2-1", "a_2", "en", "1.000", "three", "rec_y 1.000 2.000"),
    ]
    recordings = {"rec_x": sound(tmp_path / "x.wav", 2.0), "rec_y": sound(tmp_path / "y.wav", 2.0)}
    return data_dir("cut", rows, recordings)


@pytest.fixture
def problems(capsys):
    """problems(directory, *options) -> the printed lines without the directory, and the exit code."""

    def run(directory, *options):
        code = check_data.main([str(directory), *options])
        return [line.replace(f"{directory}/", "") for line in capsys.readouterr().out.splitlines()], code

    return run


def change(directory, table, old, new):
    path = directory / table
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def test_one_line_if_all_is_well(good, cut, problems):
    lines, code = problems(good)
    assert code == 0
    assert lines == [f"{good}: 3 utterances, 0.00 h, 2 speakers; en 0.00 h, zh-en 0.00 h, zh-ji-lu 0.00 h"]
    assert problems(cut) == ([f"{cut}: 3 utterances, 0.00 h, 2 speakers; en 0.00 h"], 0)
    change(cut, "segments", b"2.000\na_2", b"-1 0\na_2")
    assert problems(cut)[1] == 0, "to the end, and a channel"
    change(cut, "segments", b"-1 0\na_2", b"1.999\na_2")
    assert problems(cut)[1] == 0, "a millisecond is allowed"


LANGUAGE = (
    "the language must be zh, en, zh-en, yue (not zh-yue), zh-DIALECT, or for a table of pronunciations its code (es)"
)


@pytest.mark.parametrize(
    "table, old, new, expected",
    [
        ("text", b"a_1-1 some", b"\xef\xbb\xbfa_1-1 some", "text:1: a byte order mark"),
        ("text", b"words\n", b"words\r\n", "text:1: the line ends in \\r\\n"),
        ("text", b"some words\na_1b", b"\na_1b", "text:2: no value after the id"),
        ("text", b"some", b"\xff", "text:1: not UTF-8"),
        ("text", b"a_1-1 ", b"a_1-1\t", "text:1: expected an id, one blank and a value"),
        ("wav.scp", b"a_1-2", b"a_1-0", "wav.scp:2: the order is not that of LC_ALL=C sort: a_1-0"),
        ("utt2spk", b"a_1-2", b"a_1-1", "utt2spk:2: this id occurs twice: a_1-1"),
        ("utt2lang", b" en", b" english", f"utt2lang:1: {LANGUAGE}: english"),
        ("utt2lang", b" en", b" zh-yue", f"utt2lang:1: {LANGUAGE}: zh-yue"),
        ("utt2dur", b"0.500", b"-1", "utt2dur:1: no positive number of seconds: -1"),
        ("utt2dur", b"0.500", b"nan", "utt2dur:1: no positive number of seconds: nan"),
        ("utt2dur", b"a_1-2 0.750\n", b"", "text:2: this id is not in utt2dur: a_1-2"),
        ("text", b"a_1b-1", b"a_1b-2", "text:3: this id is not in utt2spk: a_1b-2"),
        ("spk2utt", b"a_1-1 a_1-2", b"a_1-2 a_1-1", "spk2utt:1: not the inverse of utt2spk, from a_1-1 on"),
        ("spk2utt", b"a_1b-1\n", b"a_1b-1 a_1b-2\n", "spk2utt:2: not the inverse of utt2spk, which lacks a_1b-2"),
        ("utt2spk", b" a_1\n", b" a_3\n", "utt2spk:2: sorted by utterance, the speakers must be sorted, too: a_1-2"),
        ("utt2spk", b"a_1b\n", b"a_1b", "utt2spk:3: the last line has no end"),
    ],
)
def test_each_problem_is_a_line_with_its_place(good, problems, table, old, new, expected):
    change(good, table, old, new)
    lines, code = problems(good, "--audio", "0")
    assert expected in lines and code == 1 and lines[-1].startswith(f"{good}: ")


@pytest.mark.parametrize(
    "table, old, new, expected",
    [
        ("segments", b"2.000\na_2", b"1.998\na_2", "utt2dur:2: not the length of its segment: a_1-2 1.25 and 1.248"),
        ("segments", b"0.000 0.500", b"0.500 0.500", "segments:1: expected 0 <= start < end: rec_x 0.500 0.500"),
        ("segments", b"0.000 0.500", b"0.500", "segments:1: expected 'id recording start end': rec_x 0.500"),
        ("segments", b"a_2-1 rec_y", b"a_2-1 rec_z", "segments:3: this id is not in wav.scp: rec_z"),
        ("segments", b"a_2-1 rec_y", b"a_2-1 rec_x", "wav.scp:2: this id is not in segments: rec_y"),
    ],
)
def test_segments(cut, problems, table, old, new, expected):
    change(cut, table, old, new)
    lines, code = problems(cut, "--audio", "0")
    assert expected in lines and code == 1


def test_missing_table_and_sparse_text(good, problems):
    (good / "text_pron").write_text("a_1-2 said\n")
    assert problems(good)[1] == 0
    (good / "text_pron").write_text("a_1-2 said\na_1-3 said\n")
    assert problems(good)[0][0] == "text_pron:2: this id is not in text: a_1-3"
    (good / "utt2lang").unlink()
    assert problems(good)[0][0] == "utt2lang: this table is missing"


def test_audio_is_decoded_and_measured(good, cut, problems, tmp_path):
    change(good, "utt2dur", b"0.500", b"0.502")
    change(good, "utt2dur", b"1.000", b"1.090")  # of mp3, whose padding a manifest does not count
    flac = (tmp_path / "a_1-2.flac").read_bytes()
    (tmp_path / "a_1-2.flac").write_bytes(flac[: len(flac) // 2])
    lines, code = problems(good)
    assert lines[0] == "wav.scp a_1-1: the audio has another length than utt2dur says: 0.500 s, not 0.502 s"
    assert lines[1].startswith("wav.scp a_1-2: ") and len(lines) == 3 and code == 1
    assert problems(good, "--audio", "0")[1] == 0
    (tmp_path / "y.wav").unlink()
    assert problems(cut)[0][0].startswith("segments a_2-1: missing_wav")


def test_many_problems_of_a_kind_are_counted(data_dir, problems):
    directory = data_dir("many", [(f"a-{i:03}", "a", "??", "1.0", "x", "a.wav") for i in range(100)])
    lines, _ = problems(directory)
    assert len(lines) == 22 and lines[20].startswith("... 80 more: the language") and lines[21].endswith("100 problems")


def test_mistakes_are_one_line(command, tmp_path):
    result = command(check_data, tmp_path / "none")
    assert result.code == 1 and result.err == f"check_data: {tmp_path}/none is no directory\n"
