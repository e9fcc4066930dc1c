"""bin.format_data: tables, drops, token lists, options, and what happens to an earlier dump."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from espnet_llmasr.text.phonemes import Phonemizer

RATE = 16000
ROOT = Path(__file__).resolve().parents[2]


def test_writes_every_table(data, caplog):
    path = data.add("b", "用 Python", subtype="FLOAT")
    data.add("a", "hello", data.noise(0.5))
    (data.dir / "utt2spk").write_text("a s1\nb s1\n")
    (data.dir / "utt2lang").write_text("a en\n")
    stats = data.run()
    assert stats == {"utts": 2, "hours": pytest.approx(1.5 / 3600), "dropped": {}}
    assert data.table("wav.scp")["b"] == str(path), "audio that fits is used where it lies, finite float too"
    assert data.table("text") == {"a": "hello", "b": "用 Python"}
    assert data.table("phones") == {"a": "HH AH L OW", "b": "iong4 P AY TH AA N"}
    assert data.table("utt2spk") == {"a": "s1", "b": "s1"} and data.table("spk2utt") == {"s1": "a b"}
    assert data.table("utt2lang") == {"a": "en", "b": "zh-en"}
    assert data.table("utt2num_samples") == {"a": "8000", "b": "16000"}
    assert data.table("utt2num_frames") == {"a": "48", "b": "98"}
    assert data.tokens.read_text(encoding="utf-8").split() == Phonemizer().tokens
    assert "not sorted" in caplog.text and "kept 2 of 2" in caplog.text
    assert not list(data.out.parent.glob(".*"))


def test_every_bad_utterance_is_dropped_counted_and_named(data, caplog):
    expected = {}

    def add(key, reason, **how):
        expected[key] = reason
        return data.add(key, **how)

    data.add("good")
    add("bad_nan", "nan_samples", samples=np.where(np.arange(RATE) == 7, np.nan, 0.1), subtype="FLOAT")
    add("bad_inf", "nan_samples", samples=np.where(np.arange(RATE) == 7, np.inf, 0.1), subtype="DOUBLE")
    add("no_samples", "empty_wav", samples=data.noise(0))
    add("zero_bytes", "empty_wav").write_bytes(b"")
    add("not_audio", "unreadable_wav").write_bytes(b"hello" * 100)
    add("gone", "missing_wav").unlink()
    add("text_missing", "no_text", text=None)
    add("wav_missing", "no_wav")
    del data.wavs[-1]
    add("text_empty", "empty_text", text="")
    add("text_digits", "no_known_label", text="123 ひ")
    add("text_silent", "no_known_label", text="。！")
    add("short", "too_short", samples=data.noise(0.05))
    add("long", "too_long", samples=data.noise(3.0))
    add("crowded", "too_few_frames", text="你好" * 12)
    stats = data.run("--max_duration", "2")
    assert data.table("dropped.txt") == expected
    assert stats["utts"] == 1 and sum(stats["dropped"].values()) == 14 and stats["dropped"]["nan_samples"] == 2
    assert list(data.table("wav.scp")) == ["good"]
    summary = [r.message for r in caplog.records if "kept 1 of 15" in r.message]
    assert len(summary) == 1 and "nan_samples 2 (bad_inf, bad_nan)" in summary[0] and "gone" in summary[0]


def test_ctc_condition_to_the_frame(data):
    """One second has 98 fbank and 23 encoder frames: twelve equal labels need 23, a thirteenth one more."""
    data.add("fits", text="你好" * 5 + "你")
    data.add("fits_exactly", text="啊啊啊啊啊啊啊啊啊啊啊啊", samples=data.noise(1.0))
    data.add("one_short", text="啊啊啊啊啊啊啊啊啊啊啊啊好")
    data.run()
    assert data.table("dropped.txt") == {"one_short": "too_few_frames"}
    assert len(data.table("phones")["fits_exactly"].split()) == 12


@pytest.mark.parametrize(
    "table, rows, message",
    [
        ("wav.scp", ["a {}/a.wav", "a {}/a.wav"], "'a' stands in line 1 and in line 2"),
        ("wav.scp", ["a sox x.wav -t wav - |"], "only plain paths"),
        ("text", ["a 你好", "a 再见"], "'a' stands in line 1 and in line 2"),
        ("utt2lang", ["a z\udcff"], "utt2lang is not UTF-8 text"),
        ("utt2spk", ["a Miss Smith"], "'Miss Smith'"),
    ],
)
def test_broken_tables_are_one_line_and_damage_nothing(data, write, capsys, table, rows, message):
    data.add("a")
    data.run()
    before = data.snapshot()
    if table in ("wav.scp", "text"):
        (data.wavs if table == "wav.scp" else data.texts)[:] = [row.format(data.dir) for row in rows]
    else:
        write(data.dir / table, rows[0])
    assert data.exit_code() == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error
    assert data.snapshot() == before and not list(data.out.parent.glob(".*"))


def test_everything_dropped_keeps_the_previous_dump(data, capsys):
    path = data.add("a")
    data.run()
    before = data.snapshot()
    path.unlink()
    assert data.exit_code() == 1
    assert "no utterance" in capsys.readouterr().err
    assert data.snapshot() == before and not list(data.out.parent.glob(".*"))


def test_characters_come_from_the_training_text(data, capsys):
    data.add("a", "好 it is")
    data.run("--unit", "char")
    tokens = data.tokens.read_text(encoding="utf-8").split()
    assert tokens == ["<blank>", "<unk>", "<space>", "i", "s", "t", "好"]
    assert data.table("phones") == {"a": "好 i t <space> i s"}
    training_text = str(data.root / "train_text")
    (data.root / "train_text").write_bytes((data.dir / "text").read_bytes())
    data.texts[0] = "a 你好"
    data.run("--unit", "char")
    assert data.table("phones") == {"a": "<unk> 好"}, "another set uses the list of the first"
    data.run("--unit", "char", "--token_text", training_text)
    assert data.exit_code("--unit", "char", "--token_text", str(data.dir / "text")) == 1
    assert "remove it" in capsys.readouterr().err


def test_a_token_list_of_another_unit_is_refused(data, capsys):
    data.add("a")
    data.run()
    assert data.exit_code("--unit", "char") == 1
    assert "is this the token list of phones?" in capsys.readouterr().err
    data.tokens.write_text("<blank>\n<unk>\na\n")
    assert data.exit_code() == 1
    error = capsys.readouterr().err
    assert "3 tokens" in error and "235" in error and "--tokens" in error
    assert data.tokens.read_text() == "<blank>\n<unk>\na\n"


@pytest.mark.parametrize(
    "options, message",
    [
        (["--unit", "word"], "invalid choice"),
        (["--nj", "0"], "at least 1"),
        (["--min_duration", "5", "--max_duration", "1"], "below"),
    ],
)
def test_bad_options(data, capsys, options, message):
    data.add("a")
    assert data.exit_code(*options) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not data.out.exists()


@pytest.mark.parametrize("conf", ["conf/encoder.yaml", "conf/mini/encoder.yaml"])
def test_the_default_encoder_needs_no_torch(data, conf):
    """Its import would take 3 s and 490 MB for every set."""
    data.add("a")
    (data.dir / "wav.scp").write_text(data.wavs[0] + "\n")
    (data.dir / "text").write_text("a 你好\n", encoding="utf-8")
    argv = ["--data", data.dir, "--out", data.out, "--tokens", data.tokens, "--encoder_config", ROOT / conf]
    code = f"import sys; from espnet_llmasr.bin.format_data import main; main({[*map(str, argv)]}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (data.out / "stats.json").exists() and not {"torch", "espnet2"} & set(done.stdout.split())


def test_a_test_set_keeps_what_ctc_could_not_align(data):
    data.add("a")
    data.add("b", text="你好" * 30)
    data.add("c", text="123")
    assert data.run("--test")["utts"] == 3
    assert set(data.table("phones")["c"].split()) == {"<unk>"}
    stats = data.run()
    assert stats["utts"] == 1 and stats["dropped"] == {"too_few_frames": 1, "no_known_label": 1}


def test_tables_of_several_forms_are_joined(data, caplog):
    """Unsorted, with BOM, Windows line ends, empty lines, missing rows; spoken text makes the labels."""
    for key in ("c", "a", "b"):
        data.add(key, text=f"hello {key} 10")
    (data.dir / "utt2spk").write_bytes(b"\xef\xbb\xbfc s1\r\nb s2\r\n\r\na s1\r\n")
    (data.dir / "text_pron").write_text("b ten\nx lost\n")
    (data.dir / "utt2lang").write_text("a en\n\nb zh-en\n")
    data.run()
    assert data.table("phones")["b"] == "T EH N" and "<unk>" in data.table("phones")["a"]
    assert data.table("text")["b"] == "hello b 10"
    assert data.table("utt2spk") == {"a": "s1", "b": "s2", "c": "s1"}
    assert (data.out / "spk2utt").read_text() == "s1 a c\ns2 b\n"
    assert data.table("utt2lang") == {"a": "en", "b": "zh-en", "c": "en"}
    unsorted = [r.message for r in caplog.records if "not sorted" in r.message]
    assert [message.split()[0].rpartition("/")[2] for message in unsorted] == ["wav.scp", "text", "utt2spk"]


def test_ids_are_in_byte_order(data):
    ids = ["a", "a-1", "a_1", "a.1", "B", "é", "好", "\U00020000", "\uff21"]
    for key in ids:
        data.add(key)
    data.run()
    written = [line.split()[0] for line in (data.out / "text").read_text(encoding="utf-8").splitlines()]
    assert written == sorted(ids, key=str.encode)


def test_characters_of_spoken_text(data):
    data.add("a", "10 好")
    (data.dir / "text_pron").write_text("a 十 好\n", encoding="utf-8")
    data.run("--unit", "char")
    assert data.tokens.read_text(encoding="utf-8").split() == ["<blank>", "<unk>", "十", "好"]


def test_language_chooses_the_readings(data):
    data.add("a", "你好")
    (data.dir / "utt2lang").write_text("a yue\n")
    data.run("--inventory", "zh_en_yue")
    assert data.table("phones")["a"].split() == Phonemizer("zh_en_yue")("你好", "yue") != Phonemizer()("你好")


def test_unicode_line_breaks_in_a_transcript(data):
    data.add("a", text="你\u2028好")
    stats = data.run()
    assert data.table("text") == {"a": "你 好"} and stats["utts"] == 1 and stats["dropped"] == {}


def test_a_table_of_pronunciations(data, capsys):
    table = data.dir.parent / "es.tsv"
    table.write_text("-a-\ta\n-ch-\tt͡ʃ\n-o-\to\nel\te l\n", encoding="utf-8")
    for uid, text in (("a", "el chacho"), ("b", "hello"), ("c", "el 3")):
        data.add(uid, text)
    (data.dir / "utt2lang").write_text("b en\n")
    data.run("--inventory", str(table))
    assert data.table("phones") == {"a": "e l t͡ʃ a t͡ʃ o", "b": "h ə l o ʊ", "c": "e l <unk>"}
    assert data.table("utt2lang") == {"a": "es", "b": "en", "c": "es"}  # the name of the table
    kept = data.tokens.with_name("phones.tsv")
    assert kept.read_text(encoding="utf-8") == table.read_text(encoding="utf-8")
    data.run("--inventory", str(table))
    table.write_text("-a-\to\n-ch-\tt͡ʃ\n-o-\ta\nel\te l\n", encoding="utf-8")  # the same symbols for other letters
    assert data.exit_code("--inventory", str(table)) == 1 and "es.tsv differs from" in capsys.readouterr().err
    data.tokens.unlink()
    data.run("--inventory", "shared_ipa")
    assert not kept.exists()
    table.write_text("-a-\ta\n-ch-\tt͡ʃ\n-o-\to\nel\te l\n", encoding="utf-8")  # no symbol that shared_ipa lacks
    assert data.exit_code("--inventory", str(table)) == 1 and "es.tsv differs from" in capsys.readouterr().err
    for name in ("en.tsv", "zh-yue.tsv", "my es.tsv"):
        assert data.exit_code("--inventory", str(table.rename(table.with_name(name)))) == 1
        assert "must be a language other than zh, yue and en" in capsys.readouterr().err
        table.with_name(name).rename(table)
