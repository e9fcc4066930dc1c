"""Sources, batches of pieces, order, bad files, and segments that overlap; the decoder is a stand-in."""

import ctypes
import io
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from espnet_llmasr.guard.gaps import Gap
from espnet_llmasr.guard.verifier import Word
from espnet_llmasr.inference import transcribe as module
from espnet_llmasr.inference.hypothesis import Hypothesis
from espnet_llmasr.inference.long_audio import Piece
from espnet_llmasr.inference.transcribe import (
    Heap,
    Recording,
    Segment,
    Source,
    Transcript,
    batches,
    find_sources,
    joined,
    script_of,
    transcribe,
    without_overlap,
)

RATE = 8000


class Decoder:
    """Writes the length of each piece, and keeps the lengths of each batch."""

    def __init__(self):
        self.batches = []

    def __call__(self, speech, languages):
        self.batches.append([len(samples) for samples in speech])
        return [Hypothesis(f"{len(samples)}", -0.1) for samples in speech]


@pytest.fixture
def wav(tmp_path):
    """(name, samples) -> the path of a file of noise."""

    def write(name, number=800):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(number).uniform(-0.5, 0.5, number), RATE)
        return str(path)

    return write


def sources(lengths):
    return [Source(f"{number}", np.ones(length, np.float32)) for number, length in enumerate(lengths)]


def test_results_are_in_order_and_batches_are_sorted_by_length():
    lengths, decoder = [900, 100, 500, 700, 300, 200, 600, 800, 400, 1000], Decoder()
    found = list(transcribe(sources(lengths), decoder, RATE, batch_size=2))
    assert [(one.id, one.text) for one in found] == [(f"{row}", f"{length}") for row, length in enumerate(lengths)]
    assert decoder.batches[:4] == [[100, 200], [300, 500], [600, 700], [800, 900]]  # the first window of 8 pieces
    assert all(len(batch) <= 2 for batch in decoder.batches)


def test_the_budget_bounds_padded_samples():
    rows = [("", length) for length in ([0] * 3, [0] * 3, [0] * 4, [0] * 9, [0] * 30)]
    assert [[len(last) for _, last in batch] for batch in batches(rows, 16, 12)] == [[3, 3, 4], [9], [30]]
    assert [[len(last) for _, last in batch] for batch in batches(rows, 2, 100)] == [[3, 3], [4, 9], [30]]
    assert list(batches([], 2, 100)) == []


def test_results_come_before_all_is_read():
    read = []
    given = (read.append(source.id) or source for source in sources([100] * 1000))
    assert next(transcribe(given, Decoder(), RATE, batch_size=2)).id == "0" and len(read) == 8


def test_bad_files_are_named_and_the_others_transcribed(wav, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "empty.wav").touch()
    whole = open(wav("cut.wav", 8000), "rb").read()
    (tmp_path / "cut.wav").write_bytes(whole[:-6000])
    names = ["text.wav", "cut.wav", "none.wav", "empty.wav"]
    given = [Source(name, f"{tmp_path}/{name}") for name in names] + [Source("good", wav("good.wav", 900))]
    found = {one.id: one for one in transcribe(given, Decoder(), RATE)}
    reasons = {name: found[name].error.rpartition(": ")[2] for name in names}
    assert reasons.pop("cut.wav") in ("truncated_wav", "wrong_length")
    assert reasons == {"text.wav": "unreadable_wav", "none.wav": "missing_wav", "empty.wav": "empty_wav"}
    assert all(not found[name].segments for name in names)
    assert (found["good"].text, found["good"].error, found["good"].seconds) == ("900", "", 900 / RATE)


def test_files_folders_kaldi_directories_and_standard_input(wav, tmp_path, monkeypatch):
    one, two, data = wav("a/b/1.wav"), wav("a/2.wav", 500), tmp_path / "data"
    data.mkdir()
    (data / "wav.scp").write_text(f"u1 {one}\nu2 {two}\n")
    (data / "utt2lang").write_text("u1 yue\n")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(open(two, "rb").read())))
    with find_sources([one, tmp_path / "a", data, "-"]) as found:
        assert found[:3] == [Source(one, one), Source(two, two), Source(one, one)]
        assert found[3:5] == [Source("u1", one, "yue"), Source("u2", two)]
        assert found[5].id == "stdin" and len(soundfile.read(found[5].speech)[0]) == 500
    (data / "segments").write_text("s1 u1 0.01 0.05\ns2 u2 0 -1\n")
    with find_sources([data], "en") as found:
        assert found == [Source("s1", f"{one}#t=0.01,0.05", "en"), Source("s2", f"{two}#t=0", "en")]
    for line in ("s1 u3 0 1", "s1 u1 1 0", "s1"):
        (data / "segments").write_text(f"{line}\n")
        with pytest.raises(ValueError, match="'s1' has no recording in wav.scp, or no times"), find_sources([data]):
            pass
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="nothing has no audio"), find_sources([tmp_path / "nothing"]):
        pass


def test_a_long_recording_is_cut_and_its_times_are_its_own(monkeypatch):
    def decode(speech, languages):
        word, gap = Word("a", 0.1, 0.2, 0.9), Gap(0.3, 0.4, "unheard")
        return [Hypothesis("a", -len(samples), 0.5, ("loop",), words=(word,), gaps=(gap,)) for samples in speech]

    monkeypatch.setattr(module, "silero", lambda rate: lambda samples: np.abs(samples).reshape(-1, 256).max(1))
    speech = np.concatenate([np.zeros(16000), np.ones(8192), np.zeros(16000), np.ones(12288), np.zeros(16000)])
    (found,) = transcribe([Source("x", speech.astype(np.float32))], decode, RATE, longest_s=4.0)
    times = [time for one in found.segments for time in (one.start_s, one.end_s)]
    assert times == pytest.approx([1.792, 3.232, 4.832, 6.752], abs=0.07)
    starts = [one.start_s for one in found.segments]
    assert [word.start_s for word in found.words] == pytest.approx([start + 0.1 for start in starts])
    whole = found.hypothesis
    assert (whole.text, whole.confidence, whole.flags) == ("a a", pytest.approx(0.5), ("loop",))
    lengths = [(one.end_s - one.start_s) for one in found.segments]
    assert whole.score == pytest.approx(-sum(length * length for length in lengths) * RATE / sum(lengths))
    assert whole.words == tuple(found.words) and [gap.start_s - 0.3 for gap in whole.gaps] == pytest.approx(starts)


def test_a_recording_that_is_too_long_is_refused_by_its_header_or_its_samples(wav, monkeypatch):
    long, samples = Source("x", wav("long.wav", 9000)), Source("x", np.zeros(9000))
    assert Recording(long, max_seconds=2.0).pieces(RATE, 20.0).__next__()[0] == 0
    monkeypatch.setattr(module.audio, "stream", None)
    for source in (long, samples):
        recording = Recording(source, max_seconds=1.0)
        assert list(recording.pieces(RATE, 20.0)) == [] and recording.is_done
        assert recording.transcript().error == "x: too_long"


def test_segments_are_settled_when_no_later_piece_changes_them(monkeypatch):
    parts = [Piece(0.0, 2.0, np.zeros(1)), Piece(2.0, 4.0, np.zeros(1)), Piece(3.0, 5.0, np.zeros(1), 1.0)]
    monkeypatch.setattr(module, "pieces", lambda *_: iter(parts))
    recording, settled = Recording(Source("x", np.zeros(1))), []
    read = recording.pieces(RATE, 2.0)
    for number, text in ((0, "a"), (None, ""), (None, ""), (1, "b c d"), (2, "c d e")):
        next(read, None)
        if number is not None:
            recording.put(number, Hypothesis(text, -0.1))
        settled.append(recording.settled)
    assert settled == [0, 1, 1, 1, 3] and [one.hypothesis.text for one in recording.segments] == ["a", "b c d", "e"]


def test_a_recording_without_speech_is_empty(monkeypatch):
    monkeypatch.setattr(module, "silero", lambda rate: lambda samples: np.zeros(len(samples) // 256))
    (found,) = transcribe([Source("x", np.zeros(RATE * 30, np.float32))], None, RATE)
    assert found == Transcript("x", (), 30.0, "", "") and found.hypothesis == Hypothesis("", 0.0)


def words(text, *times):
    return tuple(Word(word, start, start + 0.2, 0.9) for word, start in zip(text.split(), times))


def test_words_of_an_overlap_are_kept_once():
    gaps = Gap(1.0, 2.0, "unwritten"), Gap(9.2, 9.9, "unheard")
    left = Segment(0.0, 10.0, Hypothesis("a b c d", -0.1, words=words("a b c d", 6.0, 8.2, 8.8, 9.6), gaps=gaps))
    gaps = Gap(8.0, 8.4, "unheard"), Gap(13.0, 14.0, "unwritten")
    right = Segment(8.0, 18.0, Hypothesis("b c e f", -0.1, words=words("b c e f", 8.2, 8.8, 9.7, 12.0), gaps=gaps))
    first, second = without_overlap(left, right, 2.0)
    assert (first.hypothesis.text, second.hypothesis.text) == ("a b c", "e f")
    assert [word.text for word in (*first.hypothesis.words, *second.hypothesis.words)] == ["a", "b", "c", "e", "f"]
    assert first.end_s == second.start_s == 9.0
    assert [gap.start_s for gap in (*first.hypothesis.gaps, *second.hypothesis.gaps)] == [1.0, 13.0]


def test_a_segment_without_its_last_gap_has_no_flag_of_gaps():
    flagged = Hypothesis("a b", -0.1, flags=("loop", "gap"), gaps=(Gap(9.2, 9.9, "unheard"),))
    left, right = Segment(0.0, 10.0, flagged), Segment(8.0, 18.0, flagged)
    first, second = without_overlap(left, right, 2.0)
    assert first.hypothesis.flags == ("loop",) and second.hypothesis.flags == ("loop", "gap")


def test_times_decide_where_no_word_is_common():
    left = Segment(0.0, 10.0, Hypothesis("a b", -0.1, words=words("a b", 8.2, 9.4)))
    right = Segment(8.0, 18.0, Hypothesis("x y", -0.1, words=words("x y", 8.3, 9.5)))
    first, second = without_overlap(left, right, 2.0)
    assert (first.hypothesis.text, second.hypothesis.text) == ("a", "y")
    bare = left._replace(hypothesis=Hypothesis("a b", -0.1))
    first, second = without_overlap(bare, right, 2.0)
    assert (first.hypothesis.text, second.hypothesis.text) == ("a b", "x y")
    digits = Hypothesis(
        "1999 please help", -0.1, words=words("nineteen ninety nine please help", 8.1, 8.3, 8.5, 8.7, 9.8)
    )
    for sides in ((left, right._replace(hypothesis=digits)), (left._replace(hypothesis=digits), right)):
        assert [side.hypothesis for side in without_overlap(*sides, 2.0)] == [side.hypothesis for side in sides]


def test_joined_and_script():
    assert joined(["我们", "去", "", "london", "bridge", "好"]) == "我们去 london bridge 好"
    assert [script_of(text) for text in ("我", "a", "我 a", "", "12")] == ["zh", "en", "zh-en", "", ""]


def test_free_memory_is_returned_now_and_then_where_the_c_library_can(monkeypatch):
    given, clock = [], iter([0.0, 0.4, 0.6, 1.0])
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(malloc_trim=given.append))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    sources = [Source(f"{number}", np.zeros(80 * number, np.float32)) for number in range(1, 6)]
    decode = lambda speech, _: [Hypothesis(f"{len(samples)}", 0.0) for samples in speech]
    assert [one.text for one in transcribe(sources, decode, 8000, batch_size=2)] == ["80", "160", "240", "320", "400"]
    assert given == [0]  # 0.6 s after the start
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=iter([0.0, 2.0]).__next__))
    Heap().trim()
