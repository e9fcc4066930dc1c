"""bin.prepare_corpus: bad input is a counted, named drop or one clear line; failures, kills and shards."""

import os

import pytest

from espnet_llmasr.bin import prepare_corpus
from espnet_llmasr.data.formats.readers import json_lines, key_values
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.text.transcript import Transcript


def contents(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# What ends with one line


GOOD = "librispeech SRC dev-clean OUT"
MISTAKES = {
    "CORPUS: invalid choice: 'librispeach'": "librispeach SRC dev-clean OUT",
    "librispeech has no part 'dev', its parts are train-clean-100, ": "librispeech SRC dev OUT",
    "SRC/none is no folder: librispeech comes from https://www.openslr.org/12": "librispeech SRC/none dev-clean OUT",
    "SRC holds no dev-clean and no LibriSpeech/dev-clean: is it the folder of this corpus": GOOD,
    "--set a=1: this corpus has no options": f"{GOOD} --set a=1",
    "shard '3/2' is not i/n": f"{GOOD} --shard 3/2",
    "argument --limit: 0 is no whole number": f"{GOOD} --limit 0",
    "argument --text_style: invalid choice: 'fancy'": f"{GOOD} --text_style fancy",
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_one_line_and_leave_no_trace(command, write, tmp_path, message):
    write(tmp_path / "src" / "other-corpus.txt", "")
    src, out = tmp_path / "src", tmp_path / "data" / "out"
    arguments = MISTAKES[message].replace("SRC", str(src)).replace("OUT", str(out)).split()
    done = command(prepare_corpus, *arguments)
    assert done.code == 1 and done.err.count("\n") == 1, done.err
    assert message.replace("SRC", str(src)) in done.err and not out.exists()


def test_options_of_a_corpus_have_types(run, as_corpus, sound, tmp_path):
    wav = str(sound(tmp_path / "a.wav", 0.4))

    def read(source, confidence=0.5, field="text"):
        yield Utterance(field, wav, "sure" if confidence > 0.6 else "unsure")

    as_corpus(read)
    for wrong, message in (
        ("confidence=high", "expected a value such as 0.5"),
        ("field", "has confidence=..., field=.."),
    ):
        done = run(tmp_path, "all", tmp_path / "out", "--set", wrong)
        assert done.code == 1 and f"--set {wrong}: " in done.err and message in done.err
    assert run(tmp_path, "all", tmp_path / "out", "--set", "confidence=0.7", "--set", "field=a=b").code == 0
    assert (tmp_path / "out" / "text").read_text() == "librispeech_a_b sure\n"


def test_nothing_left_is_an_error_that_counts_what_was_dropped(run, utterances, tmp_path):
    src = utterances(("a", "...", {}), ("b", "x", dict(audio="/none")))
    done = run(src, "all", tmp_path / "out")
    assert done.code == 1 and "is left (dropped: empty_text 1, missing_wav 1): is it the right folder?" in done.err


# What becomes of the output directory


def test_a_directory_that_is_not_ours_is_refused(run, utterances, write, tmp_path):
    src = utterances(("a", "x", {}))
    before = contents(src)
    assert run(src, "all", src).code == 1 and contents(src) == before
    write(tmp_path / "out" / "thesis.txt", "")
    done = run(src, "all", tmp_path / "out")
    assert done.code == 1 and "exists and was not made here" in done.err
    assert [path.name for path in tmp_path.rglob("out/*")] == ["thesis.txt"]
    assert run(src, "all", write(tmp_path / "file", "kept")).code == 1 and (tmp_path / "file").read_text() == "kept"


@pytest.fixture
def previous(run, utterances, tmp_path):
    """An output directory of an earlier run."""
    assert run(utterances(("old", "x", {})), "all", tmp_path / "out").code == 0
    return tmp_path / "out"


@pytest.mark.parametrize("error", [ValueError("the list ends here"), OSError(5, "Input/output error"), KeyError("gap")])
def test_failure_in_the_middle_changes_nothing(run, as_corpus, previous, tmp_path, error):
    before = contents(previous)

    def read(source):
        for number in range(3):
            yield Utterance(f"u{number}", str(tmp_path / "src" / "a.wav"), "x")
        raise error

    as_corpus(read)
    if isinstance(error, KeyError):  # our own fault: a traceback, not one line
        with pytest.raises(KeyError):
            run(tmp_path / "src", "all", previous)
    else:
        assert run(tmp_path / "src", "all", previous).code == 1
    assert contents(previous) == before and sorted(os.listdir(tmp_path)) == ["out", "src"]


@pytest.mark.parametrize("between_renames", [False, True])
def test_a_run_after_a_kill_puts_things_right(run, utterances, write, previous, tmp_path, between_renames):
    write(tmp_path / ".out.new" / "audio" / "half.tar", "x")
    if between_renames:  # the old directory is aside, the new one not yet there
        previous.rename(tmp_path / ".out.old")
    before = contents(tmp_path / ".out.old" if between_renames else previous)
    src = utterances(("a", "...", {}))
    assert run(src, "all", previous).code == 1 and contents(previous) == before
    src = utterances(("new", "x", {}))
    assert run(src, "all", previous).code == 0
    assert (previous / "text").read_text() == "librispeech_new x\n"
    assert sorted(os.listdir(tmp_path)) == ["out", "src"] and not (previous / "audio").exists()


def test_a_link_stays_and_what_it_points_to_is_replaced(run, utterances, previous, tmp_path):
    (tmp_path / "link").symlink_to(previous)
    for text in ("first", "second"):
        assert run(utterances(("new", text, {})), "all", tmp_path / "link").code == 0
        assert (previous / "text").read_text() == f"librispeech_new {text}\n"
    assert (tmp_path / "link").is_symlink() and sorted(os.listdir(tmp_path)) == ["link", "out", "src"]


# Shards and limits


@pytest.mark.parametrize("shards, chapters", [(3, 5), (4, 2)], ids=["files are dealt out", "ids are dealt out"])
def test_shards_together_are_the_whole(make, check_shards, as_corpus, sound, write, tmp_path, shards, chapters):
    wav = sound(tmp_path / "src" / "a.wav", 0.4)
    for chapter in range(chapters):
        lines = (f"{chapter}-{number} {'...' if number == 3 else 'x'}\n" for number in range(7))
        write(tmp_path / "src" / f"{chapter}.txt", "".join(lines))

    def read(source):
        source.drop("list.txt:7\ud83d", "broken_line")  # before the files are dealt out
        for path in source.share(source.find("*.txt")):
            for name, text in key_values(path):
                if name.endswith("-5"):
                    source.drop(name, "no_wav")
                else:
                    yield Utterance(name, str(wav), text, speaker=path.stem)

    as_corpus(read)
    whole = make("librispeech", tmp_path / "src", "all")
    assert whole.stats["dropped"] == {"broken_line": 1, "empty_text": chapters, "no_wav": chapters}
    check_shards("librispeech", tmp_path / "src", "all", shards)


def test_limit_stops_reading(make, as_corpus, sound, tmp_path):
    wav = str(sound(tmp_path / "src" / "a.wav", 0.4))

    def read(source):
        for number in range(5):
            yield Utterance(f"u{number}", wav, "x")
        raise AssertionError("read to the end")

    as_corpus(read)
    data = make("librispeech", tmp_path / "src", "all", "--limit", "5")
    assert data.stats["utts"] == 5
    data = make("librispeech", tmp_path / "src", "all", "--limit", "2")
    assert data.lines("text") == ["librispeech_u0 x", "librispeech_u1 x"]


# Bad input


LIST = [  # a line, what is dropped, why
    (b'\xef\xbb\xbf{"id": "ok-1", "wav": "a.wav", "text": "First \\"quoted\\" line"}\r\n', "", ""),
    (b'{"id": "broken", "wav": "a.wav"\r\n', "list.jsonl:2", "broken_json"),
    (b"\r\n", "", ""),
    (b'["no", "object"]\n', "list.jsonl:4", "broken_json"),
    ('{"id": "gbk", "wav": "a.wav", "text": "你好"}\n'.encode("gbk"), "gbk", "not_utf8"),
    ('{"id": "名-gbk", "wav": "a.wav", "text": "x"}\n'.encode("gbk"), "??-gbk", "not_utf8"),
    ('{"id": "han", "wav": "a.wav", "text": "你好"}\n'.encode(), "", ""),
    (b'{"id": "with blank/and slash", "wav": "a.wav", "text": "tab\\tand\\nline"}\n', "", ""),
    (b'{"id": "mute", "wav": "a.wav", "text": " ... "}\n', "mute", "empty_text"),
    (b'{"id": "gone", "wav": "b.wav", "text": "x"}\n', "gone", "missing_wav"),
    (b'{"id": "zero bytes", "wav": "zero.wav", "text": "x"}\n', "zero bytes", "empty_wav"),
    (b'{"id": "no samples", "wav": "samples.wav", "text": "x"}\n', "no samples", "empty_wav"),
    (b'{"id": "cut", "wav": "cut.wav", "text": "x"}\n', "cut", "truncated_wav"),
    (b'{"id": "noise", "wav": "noise.flac", "text": "x"}\n', "noise", "unreadable_wav"),
    (b'{"id": "tab in path", "wav": "a\\tb.wav", "text": "x"}\n', "tab in path", "bad_path"),
    (b'{"id": " ", "wav": "a.wav", "text": "x"}\n', "", "empty_id"),
    (b'{"id": "tag", "wav": "a.wav", "text": "<unk> &amp; x"}\n', "tag", "markup"),
    ('{"id": "signs", "wav": "a.wav", "text": "na\ufffdve"}\n'.encode(), "signs", "mojibake"),
]


def test_one_list_with_every_fault(make, as_corpus, sound, tmp_path):
    sound(tmp_path / "src" / "a.wav", 0.4)
    sound(tmp_path / "src" / "samples.wav", 0)
    whole = sound(tmp_path / "src" / "cut.wav", 0.4).read_bytes()
    (tmp_path / "src" / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "src" / "zero.wav").write_bytes(b"")
    (tmp_path / "src" / "noise.flac").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "src" / "list.jsonl").write_bytes(b"".join(line for line, _, _ in LIST))

    def read(source):
        for row in json_lines(source, source.path / "list.jsonl"):
            yield Utterance(row["id"], str(source.path / row["wav"]), row["text"])

    as_corpus(read, lang="zh")
    data = make("librispeech", tmp_path / "src", "all")
    assert data.lines("text") == [
        "librispeech_han 你好",
        "librispeech_ok_1 first quoted line",
        "librispeech_with_blank_and_slash tab and line",
    ]
    assert data.dropped == {name: reason for _, name, reason in LIST if reason}


def test_durations_and_times_that_cannot_be(make, utterances):
    seconds = dict(given=0.4, none=0.0, nan=float("nan"), inf=float("inf"))
    gone = ("gone", "x", dict(duration=0.4, audio="/none.wav"))
    src = utterances(*((key, "x", dict(duration=value)) for key, value in seconds.items()), gone)
    data = make("librispeech", src, "all")
    assert data.lines("utt2dur") == ["librispeech_given 0.400"]
    data.check_dropped(bad_duration="none nan inf", missing_wav="gone")
    times = dict(ok=(0.1, 0.3), little_over=(0.2, 0.45), over=(0.2, 0.6), back=(0.3, 0.2), before=(-0.1, 0.2))
    times |= dict(never=(0.1, float("nan")), behind=(0.42, 0.48), at_end=(0.4, 0.45))
    src = utterances(*((key, "x", dict(start=a, end=b, recording="r")) for key, (a, b) in times.items()))
    data = make("librispeech", src, "all")
    assert data.lines("segments") == [
        "librispeech_little_over librispeech_r 0.200 0.400",
        "librispeech_ok librispeech_r 0.100 0.300",
    ]
    data.check_dropped(beyond_end="over behind at_end", bad_times="back before never")


@pytest.mark.parametrize(
    "wrong",
    [
        *(dict(id=None), dict(id=3), dict(text=None), dict(text=["a"]), dict(speaker=5), dict(audio=None)),
        *(dict(duration="1"), dict(start="0", end="1"), dict(start=0, end=1, recording=7), dict(lang=None)),
    ],
)
def test_fields_of_a_wrong_type_are_a_drop(make, utterances, wrong):
    odd = {"id": "odd", **wrong}
    data = make("librispeech", utterances(("fine", "x", {}), ("odd", "y", odd)), "all")
    assert data.lines("text") == ["librispeech_fine x"]
    assert data.dropped == {str(odd["id"]): "wrong_type"}


def test_kaldi_order_whatever_the_speakers_are_called(make, utterances):
    speakers = ("160", "16", "a-b", "a", "a.b", "A", "é", " ", "16-1")
    src = utterances(*((f"{speaker}-{n}", "x", dict(speaker=speaker)) for n in (2, 1) for speaker in speakers))
    data = make("librispeech", src, "all", "--prefix", "my-corpus")
    numbers = "16-1 16-2 160-1 160-2 16_1-16-1-1 16_1-16-1-2"
    letters = "A-1 A-2 _1 _2 a-1 a-2 a.b-1 a.b-2 a_b-a-b-1 a_b-a-b-2 é-1 é-2"
    expected = [f"my_corpus_{name}" for name in (*numbers.split(), *letters.split())]
    assert [line.split()[0] for line in data.lines("text")] == expected
    assert data.table("utt2spk")["my_corpus_a_b-a-b-1"] == "my_corpus_a_b"
    assert data.table("utt2spk")["my_corpus__1"] == "my_corpus__1"


@pytest.mark.parametrize("second", ["a", "a ", "a/b", "a b"])
def test_duplicate_ids_are_refused_also_those_that_cleaning_makes(run, utterances, tmp_path, second):
    first = "a/b" if "b" in second else "a"
    src = utterances((first, "x", {}), ("other", "x", {}), (second, "x", {}))
    done = run(src, "all", tmp_path / "out")
    assert done.code == 1 and done.err.count("\n") == 1 + done.err.count(" INFO: ")
    assert "two utterances are called librispeech_a" in done.err
    assert not (tmp_path / "out").exists() and os.listdir(tmp_path) == ["src"]


def test_text_cannot_make_columns_and_lines(make, utterances, monkeypatch):
    monkeypatch.setattr(Transcript, "__call__", lambda self, text, lang: (text, text.upper()))
    src = utterances(("a", "one\ttwo\nthree\u2028four\x85five", {}))
    data = make("librispeech", src, "all")
    assert data.lines("text") == ["librispeech_a one two three four five"]
    assert data.lines("text_pron") == ["librispeech_a ONE TWO THREE FOUR FIVE"]


@pytest.mark.parametrize("style", ["plain", "formatted"])
def test_symbols_without_words_and_unread_numbers_are_counted_and_named(make, utterances, caplog, style):
    pytest.importorskip("tn", reason="pip install WeTextProcessing")
    lines = ["the brand™ ★", "a™, 3 ≥ 2!", "no 12/34/56/78", "on 1e10 and 12/34/56/78", "plain (words)"]
    src = utterances(*((f"u{number}", line, {}) for number, line in enumerate(lines)))
    data = make("librispeech", src, "all", "--text_style", style)
    assert data.stats["lost_symbols"] == {"★": 1, "™": 2}
    assert data.stats["unread_numbers"] == {"12/34/56/78": 2, "1e10": 1}
    assert "lost symbols: ™ 2, ★ 1" in caplog.text and "unread numbers: 12/34/56/78 2, 1e10 1" in caplog.text


def test_without_such_symbols_nothing_is_said(make, utterances, caplog):
    data = make("librispeech", utterances(("a", "plain, words!", {})), "all")
    assert not {"lost_symbols", "unread_numbers"} & set(data.stats) and "lost" not in caplog.text
