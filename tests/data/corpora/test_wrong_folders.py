"""A folder that is not the corpus, or not unpacked: one clear error."""

import pytest

AISHELL1 = "transcript/aishell_transcript_v0.8.txt wav/S0002.tar.gz"
CS_DIALOGUE = "data/index/short_wav/test/ "
WRONG = [
    ("aishell1", "train", AISHELL1, r"run  cd .*/wav && for archive in \*.tar.gz; do tar xzf"),
    ("aishell2", "dev_mic", "iOS/data/", "no AISHELL-DEV-TEST-SET/Mic/dev and no .*: is it the folder"),
    ("aishell_2021_eval", "C --set transcript=here.txt", "C/wav/", "holds no here.txt: name its lines"),
    (
        "commonvoice",
        "en-dev",
        "cv-14.0/en/ cv-corpus-14.0/en/dev.tsv cv-corpus-15.0/en/dev.tsv",
        "give one of .*14.0, ",
    ),
    ("cs_dialogue", "test", CS_DIALOGUE, "/data holds no short_wav/WAVE"),
    (
        "cs_dialogue",
        "test",
        f"{CS_DIALOGUE} data/short_wav/short_wav.tar.gz00",
        r"run  cd .*/data && cat short_wav/.*-$",
    ),
    ("fleurs", "en-dev", "en_us/dev.tsv", "holds no en_us/audio/dev"),
    ("fleurs", "en-dev", "en_us/dev.tsv en_us/audio/dev.tar.gz", "packed: tar -xzf .*dev.tar.gz -C .*/en_us/audio$"),
    ("kespeech", "train_phase1", "data/test-0.parquet", "holds no Tasks/ASR/train_phase1"),
    ("libriheavy", "large", "libriheavy_cuts_large.jsonl.gz", "librilight is no folder: --set audio=FOLDER"),
    ("mls_english", "test", "mls_english/test/transcripts.txt", "audio holds no SPEAKER/BOOK/.*unpack"),
    ("peoples_speech", "clean_sa", "dirty_sa/train-0.parquet", "holds no clean_sa/"),
    ("speechio", "all", "SPEECHIO_ASR_ZH00002/wav/", "holds neither metadata.tsv nor trans.txt"),
    ("voxpopuli", "test", "", "holds no transcribed_data/en/asr_test.tsv and no en/test-.*parquet"),
    ("wsyue_eval", "long", "Long/wav.tar.gz", r"run  cd .*/Long && for archive in \*.tar.gz"),
    ("wsyue_eval", "long", "Long/wav/ Long/TextGrid.tar.gz", "archives that are not unpacked"),
]


@pytest.mark.parametrize("corpus, part, files, message", WRONG)
def test_a_wrong_folder_is_one_clear_error(make, write, tmp_path, corpus, part, files, message):
    """`files` are empty files and folders, `part` may have options."""
    (tmp_path / "src").mkdir()
    for name in files.split():
        path = tmp_path / "src" / name
        path.mkdir(parents=True) if name.endswith("/") else write(path, "")
    with pytest.raises(ValueError, match=message):
        make(corpus, tmp_path / "src", *part.split())
