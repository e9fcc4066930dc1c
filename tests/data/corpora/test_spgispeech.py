import pytest

CSV = """\
wav_filename|wav_filesize|transcript
0018ad92bb/1.wav|12844|It's Q3's EBITDA, up 5.5%.
0018ad92bb/12.wav|12844|"Adjusted" | as we call it | for SG&A's 2.
0018ad92bb/2.wav|12844|
7f00e1aa01/1.wav|12844|We don't.
cut off
"""


@pytest.fixture
def corpus(sounds, write, tmp_path):
    sounds(tmp_path / "spgispeech" / "val" / "0018ad92bb", "1.wav 12.wav 2.wav", 0.4)
    write(tmp_path / "spgispeech" / "val.csv", CSV)
    return tmp_path


def test_pipes_in_the_text_and_each_utterance_its_own_speaker(make, corpus):
    data = make("spgispeech", corpus, "val")
    assert list(data.table("text")) == ["spgispeech_0018ad92bb_1", "spgispeech_0018ad92bb_12"]
    assert data.lines("utt2spk")[0] == "spgispeech_0018ad92bb_1 spgispeech_0018ad92bb_1"
    assert data.table("wav.scp")["spgispeech_0018ad92bb_12"] == str(corpus / "spgispeech/val/0018ad92bb/12.wav")
    data.check_dropped(empty_text="0018ad92bb/2", missing_wav="7f00e1aa01/1", broken_line="val.csv:6")


def test_the_reader_gives_the_text_as_written(as_read, corpus):
    texts = list(as_read("spgispeech", corpus, "val").values())
    assert texts[:2] == ["It's Q3's EBITDA, up 5.5%.", '"Adjusted" | as we call it | for SG&A\'s 2.']


def test_another_header_is_one_clear_error(make, corpus, write):
    write(corpus / "spgispeech" / "val.csv", "file|text\na.wav|b\n")
    with pytest.raises(ValueError, match="val.csv has no column wav_filename, transcript, only"):
        make("spgispeech", corpus, "val")
