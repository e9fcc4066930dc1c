"""WSC-Eval-ASR (Sichuanese) and WSYue-ASR-eval (Cantonese)."""

WSC = "c-1 你 晓得＊*不嘛\nc-2\t（莫得）问题(噻)\nc-3 ***\nc-4 没有录音\n"


def test_wsc_marks_go_and_the_words_in_brackets_stay(make, as_read, sounds, write, tmp_path):
    easy = tmp_path / "WSC-Eval" / "WSC-Eval-ASR" / "Easy"
    write(easy / "text", WSC)
    write(easy / "wav.scp", "".join(f"c-{n} /home/authors/Eval/Easy/wav/c-{n}.wav\n" for n in range(1, 5)))
    sounds(easy / "wav", "c-1.wav c-2.wav c-3.wav c-5.wav", 0.4)
    raw = {"c-1": "你 晓得不嘛", "c-2": "莫得问题噻", "c-3": "", "c-4": "没有录音"}
    assert as_read("wsc_eval", tmp_path / "WSC-Eval", "easy") == raw
    data = make("wsc_eval", tmp_path / "WSC-Eval", "easy")
    assert data.lines("text") == ["wsc_eval_c_1 你晓得不嘛", "wsc_eval_c_2 莫得问题噻"]
    assert set(data.table("utt2lang").values()) == {"zh-sichuan"}
    assert data.table("wav.scp")["wsc_eval_c_1"] == str(easy / "wav" / "c-1.wav")
    assert data.dropped == {"c-3": "empty_text", "c-4": "missing_wav", "c-5": "no_text"}


CONTENT = (
    "0000004453.wav\t中年\t中立\t男\t我哋 OK 㗎\n"
    "xq0045690_251230_260310.wav\t青年\t開心\t女\t佢話“好”\n"
    "0000004454.wav\t青年\t中立\t只有四欄\n"
    "0000004455.wav\t青年\t中立\t男\t冇錄音\n"
)


def test_wsyue_short_has_five_columns(make, sounds, write, tmp_path):
    short = tmp_path / "Short"
    write(short / "content.txt", CONTENT)
    sounds(short / "wav_", "0000004453.wav 0000004454.wav 0000004456.wav xq0045690_251230_260310.wav", 0.4)
    data = make("wsyue_eval", tmp_path, "short")
    assert data.lines("text") == ["wsyue_eval_0000004453 我哋ok㗎", "wsyue_eval_xq0045690_251230_260310 佢話好"]
    assert set(data.table("utt2lang").values()) == {"yue"}
    assert data.dropped == {"0000004454": "broken_line", "0000004455": "missing_wav", "0000004456": "no_text"}


def textgrid(tier):
    """The text of a TextGrid with this tier as its second; quotes are doubled."""
    texts = {"说话人": ["S1"], tier: ["大家好", "", 'this is ""my', 'show"" 嚟㗎']}
    grid = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 2.0\nitem []:\n'
    for item, (name, intervals) in enumerate(texts.items(), 1):
        grid += f'    item [{item}]:\n        class = "IntervalTier"\n        name = "{name}"\n        xmin = 0\n'
        for number, text in enumerate(intervals, 1):
            grid += f'        intervals [{number}]:\n            xmin = {number / 2}\n            text = "{text}"\n'
    return grid


def test_wsyue_long_joins_the_intervals_of_the_text_tier(make, as_read, sound, write, tmp_path):
    grids = {
        "a": textgrid("文本").encode("utf-8"),
        "b": textgrid("文本").replace("\n", "\r\n").encode("utf-16"),
        "c": textgrid("其他").encode("utf-8"),
        "d": textgrid("文本").encode("gb18030"),
    }
    (tmp_path / "Long" / "TextGrid").mkdir(parents=True)
    for name, grid in grids.items():
        (tmp_path / "Long" / "TextGrid" / f"{name}.TextGrid").write_bytes(grid)
        sound(tmp_path / "Long" / "wav" / f"{name}.wav", 2.0)
    sound(tmp_path / "Long" / "wav" / "e.wav")
    data = make("wsyue_eval", tmp_path, "long")
    raw = '大家好 this is "my show" 嚟㗎'
    assert as_read("wsyue_eval", tmp_path, "long") == {"a": raw, "b": raw}
    text = "大家好this is my show嚟㗎"
    assert data.lines("text") == [f"wsyue_eval_a {text}", f"wsyue_eval_b {text}"]
    assert data.dropped == {"c": "broken_textgrid", "d": "broken_textgrid", "e": "no_text"}
