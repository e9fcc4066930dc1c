import pytest

EVENT = "20120702-0900-PLENARY-10-en_20120702-18:09:45"
HEADER = "id raw_text normalized_text speaker_id split gender is_gold_transcript accent".split()
ROWS = [
    (0, "\"Madam President, it's done. ", "madam president it's done", "2002"),
    (1, "", "it ended there", "None"),
    (2, "Gone.", "gone", "2002"),
    (3, "", "", "2002"),
]
DROPPED = {f"{EVENT}_3": "empty_text"}


def check(data):
    spoken, alone = f"voxpopuli_2002-{EVENT}_0", f"voxpopuli_{EVENT.replace('-', '_')}_1"
    assert data.lines("text") == [f"{spoken} madam president it's done", f"{alone} it ended there"]
    assert data.lines("utt2spk") == [f"{spoken} voxpopuli_2002", f"{alone} {alone}"]
    assert set(data.table("utt2lang").values()) == {"en"} and data.table("utt2dur")[spoken] == "0.400"


@pytest.mark.parametrize("columns", [8, 6])
def test_the_owners_cut_files(make, sounds, write, tmp_path, columns):
    folder = tmp_path / "transcribed_data" / "en"
    sounds(folder / "2012", f"{EVENT}_0.ogg {EVENT}_1.ogg {EVENT}_3.ogg", 0.4)
    table = [HEADER, *([f"{EVENT}_{n}", *texts, "dev", "female", "True", "None"] for n, *texts in ROWS)]
    write(folder / "asr_dev.tsv", "".join("\t".join(row[:columns]) + "\n" for row in table))
    data = make("voxpopuli", tmp_path, "dev")
    check(data)
    assert data.table("wav.scp")[f"voxpopuli_2002-{EVENT}_0"] == str(folder / "2012" / f"{EVENT}_0.ogg")
    assert data.dropped == {f"{EVENT}_2": "missing_wav", **DROPPED}


@pytest.mark.parametrize("folder", ["en", "data/en"])
def test_parquet(make, parquet, tmp_path, folder):
    rows = [
        dict(audio_id=f"{EVENT}_{n}", language=0, audio=("wav", 0 if n == 2 else 0.4))
        | dict(raw_text=raw, normalized_text=normal, speaker_id=speaker, is_gold_transcript=True)
        for n, raw, normal, speaker in ROWS
    ]
    parquet(tmp_path / folder / "validation-00000-of-00001.parquet", *rows)
    data = make("voxpopuli", tmp_path, "dev")
    check(data)
    assert data.dropped == {f"{EVENT}_2": "empty_wav", **DROPPED}
