import pytest

from espnet_llmasr.data.corpora import tedlium3

STM = """\
;; LABEL "o" "Overall"
AnnaBee_2010X 1 AnnaBee_2010X 0.00 0.25 <o,f0,female> ignore_time_segment_in_scoring
AnnaBee_2010X 1 AnnaBee_2010X 0.25 0.875 <o,f0,female> i 'm here <unk> {NOISE} to read(2) that it 's <sil> fun
AnnaBee_2010X 1 AnnaBee_2010X 0.90 1.30 <F0_F> the talk (AnnaBee_2010X-0.90-1.30-F0_F-S12)
AnnaBee_2010X 1 AnnaBee_2010X 1.30 1.40 <o,f0,female> <unk> {COUGH}
AnnaBee_2010X 1 AnnaBee_2010X 1.40 1.60
AnnaBee_2010X 1 AnnaBee_2010X 1.60 1.90 <o,f0,female> without end
AnnaBee_2010X 1 AnnaBee_2010X then now <o,f0,female> no times
AnnaBee_2010X 1 AnnaBee_2010X nan 1e999 <o,f0,female> no numbers
AnnaBee_2010X 1 AnnaBee_2010X 1.0 1e999 <o,f0,female> no end
"""


@pytest.fixture
def corpus(sound, write, tmp_path):
    legacy = tmp_path / "TEDLIUM_release-3" / "legacy" / "train"
    sound(legacy / "sph" / "AnnaBee_2010X.sph", 1.6)
    sound(legacy / "sph" / "NoText_2012.sph", 0.3)
    write(legacy / "stm" / "AnnaBee_2010X.stm", STM)
    write(legacy / "stm" / "NoSound_2011.stm", "NoSound_2011 1 NoSound_2011 0.0 0.5 <o,f0,male> hello\n")
    return tmp_path


def test_tags_variants_suffixes_and_names(make, corpus):
    data = make("tedlium3", corpus, "train")
    first, second = "tedlium3_AnnaBee_2010X-0000250-0000875", "tedlium3_AnnaBee_2010X-0000900-0001300"
    assert data.lines("text") == [f"{first} i'm here to read that it's fun", f"{second} the talk"]
    assert data.lines("segments") == [
        f"{first} tedlium3_AnnaBee_2010X 0.250 0.875",
        f"{second} tedlium3_AnnaBee_2010X 0.900 1.300",
    ]
    sph = corpus / "TEDLIUM_release-3" / "legacy" / "train" / "sph" / "AnnaBee_2010X.sph"
    assert data.lines("wav.scp") == [f"tedlium3_AnnaBee_2010X {sph}"]
    assert data.lines("utt2spk") == [f"{first} tedlium3_AnnaBee_2010X", f"{second} tedlium3_AnnaBee_2010X"]
    data.check_dropped(
        ignored_segment="AnnaBee_2010X-0000000-0000250",
        empty_text="AnnaBee_2010X-0001300-0001400 AnnaBee_2010X-0001400-0001600",
        beyond_end="AnnaBee_2010X-0001600-0001900",
        broken_line="AnnaBee_2010X.stm:8 AnnaBee_2010X.stm:9 AnnaBee_2010X.stm:10",
        missing_wav="NoSound_2011-0000000-0000500",
        no_text="NoText_2012",
    )


def test_a_talk_without_text_is_counted_in_one_shard(make, corpus):
    shards = [make("tedlium3", corpus, "train", "--shard", f"{n}/3") for n in (1, 2, 3)]
    assert [shard.stats["dropped"].get("no_text", 0) for shard in shards] == [0, 0, 1]


@pytest.mark.parametrize(
    "stm, words",
    [
        ("<o,f0,male> i {NOISE} 'm sure they 'll say we 've won", "i'm sure they'll say we've won"),
        ("the <unk> 's head", "the head"),
        ("my parents ' house at five o 'clock", "my parents' house at five o'clock"),
        ("get 'em in the '90s 'til 'cause(2)", "get 'em in the '90s 'til 'cause"),
        ("read(12) the(3) rest (Talk_2010-001)", "read the rest"),
        ("<sil> {BREATH} <unk>", ""),
    ],
)
def test_words(stm, words):
    assert tedlium3.words(stm) == words
