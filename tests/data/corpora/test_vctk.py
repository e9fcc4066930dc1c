def test_microphone_1_only_and_what_lacks_text_or_audio(make, check_shards, sound, write, tmp_path):
    """Three speakers; p315 has no text, p362 lacks an audio, p280 microphone 2."""
    audio, texts = (tmp_path / "VCTK-Corpus-0.92" / name for name in ("wav48_silence_trimmed", "txt"))
    for name in "p225_001_mic1 p225_001_mic2 p225_002_mic1 p225_003_mic1 p280_001_mic1 p315_001_mic1".split():
        sound(audio / name[:4] / f"{name}.flac", 0.4, rate=48000)
    write(audio / "log.txt", "trimmed\n")
    write(texts / "p225" / "p225_001.txt", "Please call Stella.\n")
    write(texts / "p225" / "p225_002.txt", "It's the Zoo's \u201cBig Day\u201d.")
    write(texts / "p280" / "p280_001.txt", "\ufeffAsk her.\r\n")
    write(texts / "p362" / "p362_010.txt", "Six spoons\n")
    data = make("vctk", tmp_path, "all")
    assert data.lines("text") == [
        "vctk_p225-p225_001 please call stella",
        "vctk_p225-p225_002 it's the zoo's big day",
        "vctk_p280-p280_001 ask her",
    ]
    assert data.lines("spk2utt") == ["vctk_p225 vctk_p225-p225_001 vctk_p225-p225_002", "vctk_p280 vctk_p280-p280_001"]
    assert data.dropped == {"p225_003": "no_text", "p315_001": "no_text", "p362_010": "missing_wav"}
    assert data.table("wav.scp")["vctk_p225-p225_001"] == str(audio / "p225" / "p225_001_mic1.flac")
    assert set(data.table("utt2dur").values()) == {"0.400"}
    check_shards("vctk", tmp_path, "all", 2)
