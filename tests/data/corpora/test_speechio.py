import pytest

METADATA = """ID\tAUDIO\tDURATION\tTEXT
U_00001\twav/2dlc__CCTV_201.wav\t0.4\t今天的"节目"主要内容
U_00002\twav/2dlc__CCTV_202.wav\t0.4\t我们用 SpeechIO
U_00003\twav/none.wav\t0.4\t没有录音
U_00004\twav/2dlc__CCTV_202.wav
"""


@pytest.fixture
def sets(sound, write, tmp_path):
    """Two sets: one with metadata.tsv, one with trans.txt; both have an utterance U_00001."""
    first, second = tmp_path / "SPEECHIO_ASR_ZH00001", tmp_path / "SPEECHIO_ASR_ZH00002"
    write(first / "metadata.tsv", METADATA)
    sound(first / "wav" / "2dlc__CCTV_201.wav", 0.4)
    sound(first / "wav" / "2dlc__CCTV_202.wav", 0.6)
    write(second / "trans.txt", "U_00001\t鲁豫 有约\n")
    sound(second / "wav" / "U_00001.wav", 0.4)
    return tmp_path


FIRST = [
    "speechio_SPEECHIO_ASR_ZH00001__U_00001 今天的节目主要内容",
    "speechio_SPEECHIO_ASR_ZH00001__U_00002 我们用speechio",
]
SECOND = ["speechio_SPEECHIO_ASR_ZH00002__U_00001 鲁豫有约"]
DROPPED = {"SPEECHIO_ASR_ZH00001__U_00003": "missing_wav", "metadata.tsv:5": "broken_line"}


def test_all_sets_together_and_each_alone(make, sets):
    data = make("speechio", sets, "all")
    assert data.lines("text") == FIRST + SECOND and data.dropped == DROPPED
    assert [line.split()[1] for line in data.lines("utt2lang")] == ["zh", "zh-en", "zh"]
    assert data.lines("utt2dur")[1].endswith(" 0.600"), "the header counts, not the list"
    data = make("speechio", sets / "SPEECHIO_ASR_ZH00001", "SPEECHIO_ASR_ZH00001")
    assert data.lines("text") == FIRST and data.dropped == DROPPED
    assert make("speechio", sets, "SPEECHIO_ASR_ZH00002").lines("text") == SECOND


def test_the_folder_of_one_set_is_no_other_set(make, sets):
    with pytest.raises(ValueError, match="holds no SPEECHIO_ASR_ZH00002"):
        make("speechio", sets / "SPEECHIO_ASR_ZH00001", "SPEECHIO_ASR_ZH00002")
