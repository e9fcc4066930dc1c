"""Times and confidences of words: against the true times, and against whether the word is right.

python benchmarks/word_figures.py --recipe egs2/mini_zh_en/llmasr1 --hyp_dir OUT test_zh test_en test_cs
FSDD=<dir> python benchmarks/word_figures.py --recipe egs2/fsdd/llmasr1 --hyp_dir OUT test

OUT/<set>/words.jsonl comes from `bin.llm_asr_inference --guard flag`, or from `bin.verify_transcripts` (which has no
LLM, so with --hyp_dir dump/<set> all words are right). The audio is made again, as the recipe did: espeak-ng's own word
events are the true times of mini_zh_en, the places where recordings were joined are those of fsdd. Audio that is not
the recipe's ends the program.
"""

import argparse
import ctypes
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from common import table
from rapidfuzz.distance import Levenshtein

from espnet_llmasr.files import read_scp
from espnet_llmasr.guard.evaluation import area_under_roc
from espnet_llmasr.text.normalize import score_tokens

WORD_EVENT, END_OF_LIST = 1, 0


class Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


def times_of(runs, spoken):
    """[(word, start_s, end_s)] of a line: of its runs of words, and text, places and times of the events of each."""
    times = []
    for (_, part), (text, positions, bounds) in zip(runs, spoken):
        begins = np.cumsum([0, *(len(one) + 1 for one in text.split())])[:-1] + 1
        for number, word in enumerate(part):  # an event may be that of a syllable: the first one of a word counts
            start = [bounds[n] for n, place in enumerate(positions) if place >= begins[number]][:1]
            after = begins[number + 1] if number + 1 < len(part) else np.inf
            end = [bound for n, bound in enumerate(bounds[:-1]) if positions[n] >= after]
            times.append((word, *start, *(end[:1] or bounds[-1:])))
    return times


def speak_set(name, seed, audio_dir):
    """{id: [(word, start_s, end_s)]} of a set of mini_zh_en, in a fresh process like the recipe's chunk."""
    import espeak
    import mini_zh_en

    lines = mini_zh_en.draw_sets(argparse.Namespace(seed=seed, num_valid=120, num_test=100, train_hours=1e-9))[name]
    clock, words, plain_silence = [0.0], [], mini_zh_en.silence
    rate = espeak.SAMPLE_RATE_HZ

    class Timed(espeak.Espeak):
        """Notes the word events of what it speaks, in seconds of the line."""

        def _collect(self, samples, num_samples, events):
            event = ctypes.cast(events, ctypes.POINTER(Event))
            number = 0
            while event[number].type != END_OF_LIST:
                if event[number].type == WORD_EVENT:
                    self.starts.append((event[number].audio_position_ms / 1000, event[number].text_position))
                number += 1
            return super()._collect(samples, num_samples, events)

        def speak(self, text, *options):
            self.starts = []
            samples = super().speak(text, *options)
            whole = np.concatenate([*self._blocks, np.zeros(1, np.int16)]).astype(np.float32) / 32768
            whole = espeak.soxr.resample(whole, self._rate_hz, rate)
            cut = np.flatnonzero(np.abs(whole) > espeak.EDGE_LEVEL * np.abs(whole).max())[0] / rate
            begins = [clock[0] + max(0.0, start - cut) for start, _ in self.starts]
            clock[0] += len(samples) / rate
            words.append((text, [position for _, position in self.starts], [*begins, clock[0]]))
            return samples

    def timed_silence(seconds, rate_hz):
        samples = plain_silence(seconds, rate_hz)
        clock[0] += len(samples) / rate_hz
        return samples

    mini_zh_en.Espeak, mini_zh_en.silence, events = Timed, timed_silence, {}
    plain_line = mini_zh_en.speak_line

    def speak_line(synthesiser, line, *more):
        clock[0] = 0.0
        words.clear()
        samples = plain_line(synthesiser, line, *more)
        speak_line.times.append(times_of(mini_zh_en.language_runs(line), words))
        return samples

    speak_line.times = []
    mini_zh_en.speak_line = speak_line
    writer = mini_zh_en.AudioWriter(audio_dir)
    writer.start()
    utterances = mini_zh_en.speak_chunk((audio_dir, name, seed, 0, lines))
    writer.publish()
    for utterance, times in zip(utterances, speak_line.times):
        events[utterance.id] = times
    return events


def join_set(name, seed, audio_dir):
    """{id: [(word, start_s, end_s)]} of a set of fsdd: where each recording begins and ends."""
    import fsdd

    plain_join, plain_silence, joins = fsdd.join, fsdd.silence, []

    def join(recordings, rng):
        silences = []

        def noted_silence(*args):
            silences.append(plain_silence(*args))
            return silences[-1]

        fsdd.silence = noted_silence
        samples, begin, times = plain_join(recordings, rng), len(silences[0]), []
        for recording, pause in zip(recordings, silences[1:]):
            times.append((begin / fsdd.SAMPLE_RATE_HZ, (begin + len(recording)) / fsdd.SAMPLE_RATE_HZ))
            begin += len(recording) + len(pause)
        joins.append(times)
        return samples

    fsdd.join = join
    splits = fsdd.split_recordings(fsdd.recordings_in(os.environ["FSDD"]))
    writer = fsdd.AudioWriter(audio_dir)
    writer.start()
    strings = fsdd.draw_strings(seed, name, {"test": 300, "valid": 120}[name], splits)
    utterances = fsdd.join_chunk((audio_dir, name, seed, 0, strings))
    writer.publish()
    words = ([(word, *times) for word, times in zip(u.text.split(), each)] for u, each in zip(utterances, joins))
    return {utterance.id: each for utterance, each in zip(utterances, words)}


MAKERS = {"mini_zh_en.py": speak_set, "fsdd.py": join_set}


def make_again(local, *task):
    """The true times of a recipe's set, and its audio in a folder."""
    sys.path.insert(0, local)
    (maker,) = (make for file, make in MAKERS.items() if Path(local, file).exists())
    return maker(*task)


def spoken_words(local, name, seed):
    """{id: [(word, start_s, end_s)]} of a set of the recipe.

    Raises:
        ValueError: audio that is not that of the recipe.
    """
    wavs = read_scp(f"dump/{name}/wav.scp")
    with TemporaryDirectory() as audio_dir:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            events = fresh.submit(make_again, local, name, seed, audio_dir).result()
        for uid in events:
            (again,) = Path(audio_dir).rglob(f"{uid}.wav")
            if not np.array_equal(soundfile.read(again)[0], soundfile.read(wavs[uid])[0]):
                raise ValueError(f"{uid} sounds different now: take the espeak-ng and options that made the data")
    return events


def time_errors(spoken, found):
    """Signed errors (start, end) in seconds of the words of a right transcript; Han characters are joined to words."""
    errors, rest = [], list(found)
    for word, start, end in spoken:
        units = [rest.pop(0) for _ in score_tokens(word)]
        assert "".join(unit["text"] for unit in units) == word, (word, units)
        errors.append((units[0]["start_s"] - start, units[-1]["end_s"] - end))
    return errors


def are_right(reference, hypothesis):
    """For each token of the hypothesis whether an alignment with the reference has it as right."""
    right = [False] * len(hypothesis)
    for block in Levenshtein.opcodes(reference, hypothesis):
        if block.tag == "equal":
            right[block.dest_start : block.dest_end] = [True] * (block.dest_end - block.dest_start)
    return right


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="its folder after stage 2, made by default options")
    parser.add_argument("--hyp_dir", required=True, type=Path, help="<set>/words.jsonl")
    parser.add_argument("--seed", type=int, default=0, help="of the corpus")
    parser.add_argument("sets", nargs="+")
    args = parser.parse_args()
    hyp_dir = args.hyp_dir.resolve()
    local = str(Path(args.recipe, "local").resolve())
    os.chdir(args.recipe)
    rows, every, right, wrong, untimed = [], [], [], [], 0
    for name in args.sets:
        texts, errors = read_scp(f"dump/{name}/text"), []
        spoken = spoken_words(local, name, args.seed)
        for line in (hyp_dir / name / "words.jsonl").read_text(encoding="utf-8").splitlines():
            uid, words = json.loads(line).values()
            reference, found = score_tokens(texts[uid]), [word["text"].lower() for word in words]
            if found == reference:
                errors += time_errors(spoken[uid], words)
            for word, is_right in zip(words, are_right(reference, found)):
                (right if is_right else wrong).append(word["confidence"])
            untimed += not words
        every += errors
        rows.append((name, *times_row(errors)))
    rows.append(("all", *times_row(every)))
    head = (
        "set",
        "words",
        "start: mean error ms",
        "end: mean error ms",
        "both",
        "start: bias",
        "end: bias",
        "95 % below",
    )
    table(head, rows)
    print(f"\n{len(right)} right and {len(wrong)} wrong words; {untimed} utterances without words")
    if wrong:
        print(f"area under the ROC curve of the word confidence: {area_under_roc(right, wrong):.4f}")


def times_row(errors):
    ms = 1000 * np.array(errors)
    size = np.abs(ms)
    values = *size.mean(0), size.mean(), *ms.mean(0), np.quantile(size, 0.95)
    return len(ms), *(f"{value:.1f}" for value in values)


if __name__ == "__main__":
    main()
