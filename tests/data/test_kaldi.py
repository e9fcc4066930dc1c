"""The reader of Kaldi directories: sorted streams joined by id; what is missing or out of order is refused."""

import pytest

from espnet_llmasr.data.kaldi import SortedTable, read_complete, read_utt2lang, read_utterances
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.data.writer import DataWriter


def rows(*speakers):
    return [(f"{name}-{n}", name, "en", "1.500", f"text {n}", f"/{name}{n}.wav") for name in speakers for n in (1, 2)]


def test_every_table_is_joined(data_dir):
    data = data_dir("data", rows("a", "b"))
    (data / "text_pron").write_text("a-2 said\n")
    read = list(read_complete(data))
    assert [utterance.id for utterance in read] == ["a-1", "a-2", "b-1", "b-2"]
    assert read[1] == Utterance("a-2", "/a2.wav", "text 2", "a", "en", duration=1.5, pronunciation_text="said")
    assert [utterance.pronunciation_text for utterance in read] == ["", "said", "", ""]
    assert list(read_utterances(data, data)) == read


def test_pieces_keep_their_times_and_the_name_of_their_recording(data_dir):
    data = data_dir("cut", [("a-1", "a", "en", "1.5", "text", "rec 0 1.50")], {"rec": "/x.flac"})
    (utterance,) = read_complete(data)
    assert (utterance.audio, utterance.recording, utterance.duration) == ("/x.flac#t=0,1.50", "rec", 1.5)


def test_pieces_are_written_as_they_are_read(data_dir, tmp_path):
    times = {"a-1": "rec 1.0 -1", "a-2": "rec 1.0 2.5 1", "a-3": "rec 0.5 -1 0"}
    data = data_dir("cut", [(key, "a", "en", "1.5", "text", piece) for key, piece in times.items()], {"rec": "/x.flac"})
    (tmp_path / "out").mkdir()
    with DataWriter(tmp_path / "out", cut=True) as writer:
        for utterance in read_complete(data):
            writer.add(utterance)
    assert (tmp_path / "out" / "segments").read_text() == "".join(f"{key} {piece}\n" for key, piece in times.items())
    assert (tmp_path / "out" / "wav.scp").read_text() == "rec /x.flac\n"


@pytest.mark.parametrize(
    "table, content, message",
    [
        ("utt2dur", "a-1 inf\na-2 1\n", r"utterance 'a-1' cannot be used \(bad_duration\)"),
        ("utt2dur", "a-1 1\n", "utterance 'a-2' is not in utt2dur: .*bin.check_data .* lists all problems"),
        ("utt2dur", "a-1 1\na-2 1\na-3 1\n", "utterance 'a-3' is not in text and utt2spk and utt2lang and wav.scp"),
        ("text", "a-1 x\na-3 x\n", "utterance 'a-2' is not in text"),
        ("text", "a-1 x\na-0 x\n", "text: 'a-0' comes after 'a-1', expected ids in the order of LC_ALL=C sort"),
        ("text", "a-1 x\na-1 x\n", "text: 'a-1' comes after 'a-1'"),
        ("utt2dur", "a-1 long\na-2 1\n", "utt2dur has 'long' for a-1, expected a number"),
    ],
)
def test_tables_that_differ_are_refused(data_dir, table, content, message):
    data = data_dir("data", rows("a"))
    (data / table).write_text(content)
    with pytest.raises(ValueError, match=message):
        list(read_complete(data))


def test_a_segment_of_an_unknown_recording_is_refused(data_dir):
    data = data_dir("cut", [("a-1", "a", "en", "1.5", "text", "gone 0 1.5")], {"rec": "/x.flac"})
    with pytest.raises(ValueError, match=r"'a-1' cannot be used \(no_recording\)"):
        list(read_complete(data))


def test_a_recording_that_is_a_command_is_refused(data_dir):
    data = data_dir("cut", [("a-1", "a", "en", "1.5", "text", "rec 0 1.5")], {"rec": "sph2pipe -f wav /x.sph |"})
    with pytest.raises(ValueError, match="'a-1' is a command .*only plain paths are allowed"):
        list(read_complete(data))


def test_every_line_of_a_sorted_table_is_found(tmp_path):
    table = {f"rec-{i:02}{'x' * (i % 7)}": f"/a b/{i}.wav" for i in range(50)}
    path = tmp_path / "wav.scp"
    for count in (0, 1, 2, 50):
        part = dict(list(table.items())[:count])
        path.write_text("".join(f"{key}\t{value}\r\n" for key, value in part.items()), newline="")
        sorted_table = SortedTable(path)
        for key in table:
            assert sorted_table.get(key) == part.get(key)
        assert [sorted_table.get(key) for key in ("a", "rec", "rec-01", "rec-49xxxxxxxx", "z")] == [None] * 5


def test_a_missing_table_is_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match="wav.scp does not exist"):
        list(read_utterances(tmp_path, tmp_path))


def test_languages_where_there_are_any(tmp_path):
    assert read_utt2lang(tmp_path) == {}
    (tmp_path / "utt2lang").write_text("a zh\nb en\n")
    assert read_utt2lang(tmp_path) == {"a": "zh", "b": "en"}
