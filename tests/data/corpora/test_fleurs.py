import pytest


@pytest.fixture
def corpus(sounds, write, tmp_path):
    """Two readers of one English sentence, one whose file is missing, and audio without text; a Mandarin sentence."""
    sounds(tmp_path / "data/en_us/audio/dev", "111.wav 222.wav 444.wav")
    sounds(tmp_path / "data/cmn_hans_cn/audio/test", "555.wav")
    row = "1904\t{}.wav\t\"It's late,\" (he) said\tit's late he said\ti t ' s | l a t e |\t8000\tMALE\n"
    english = row.format(111) + row.format(222) + row.format(333) + "1905\tbroken\n"
    write(tmp_path / "data" / "en_us" / "dev.tsv", english)
    chinese = "7\t555.wav\t他用 Python，很好。\t他 用 python 很 好\t他 | 用 |\t8000\tFEMALE\n"
    write(tmp_path / "data" / "cmn_hans_cn" / "test.tsv", chinese)
    return tmp_path


def test_one_sentence_of_several_readers(make, corpus):
    data = make("fleurs", corpus, "en-dev")
    assert data.lines("text") == ["fleurs_en_111 it's late he said", "fleurs_en_222 it's late he said"]
    assert data.lines("utt2spk") == ["fleurs_en_111 fleurs_en_111", "fleurs_en_222 fleurs_en_222"]
    assert set(data.table("utt2lang").values()) == {"en"}
    assert data.dropped == {"en_333": "missing_wav", "en_444": "no_text", "dev.tsv:4": "broken_line"}


def test_cmn_is_zh(make, corpus):
    data = make("fleurs", corpus / "data", "cmn-test")
    assert data.lines("text") == ["fleurs_cmn_555 他用python很好"]
    assert data.lines("utt2lang") == ["fleurs_cmn_555 zh"] and data.dropped == {}


def test_the_reader_takes_the_raw_transcription_and_the_other_only_for_want_of_it(as_read, corpus, write):
    assert as_read("fleurs", corpus, "cmn-test") == {"cmn_555": "他用 Python，很好。"}
    write(corpus / "data" / "cmn_hans_cn" / "test.tsv", "7\t555.wav\t\t他 用\t他\t8000\tFEMALE\n")
    assert as_read("fleurs", corpus, "cmn-test") == {"cmn_555": "他 用"}
