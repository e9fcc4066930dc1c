def test_upper_case_text_and_a_line_without_audio(make, sound, write, tmp_path):
    chapter = tmp_path / "LibriSpeech" / "dev-clean" / "84" / "121123"
    for number in (0, 1):
        sound(chapter / f"84-121123-000{number}.flac", 0.5 + number)
    lines = "84-121123-0000 GO\r\n84-121123-0001 DON'T YOU\r\n84-121123-0002 GONE\r\n../0 UP\n"
    write(chapter / "84-121123.trans.txt", f"{lines}{'a' * 300} LONG\n")
    data = make("librispeech", tmp_path, "dev-clean")
    assert data.lines("text") == ["librispeech_84-121123-0000 go", "librispeech_84-121123-0001 don't you"]
    assert data.lines("utt2spk")[0] == "librispeech_84-121123-0000 librispeech_84"
    assert set(data.table("utt2lang").values()) == {"en"}
    assert data.dropped == dict.fromkeys(("84-121123-0002", "../0", "a" * 300), "missing_wav")
