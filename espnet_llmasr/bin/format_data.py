"""Stage 2: checks and filters a Kaldi data directory, makes the labels, and writes the dump directory in one step.

    python -m espnet_llmasr.bin.format_data --data data/train --out dump/train --tokens dump/phones.txt --unit phone

Every utterance that cannot be used is dropped, counted by reason in stats.json and named in dropped.txt.
"""

import logging
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Optional

from espnet_llmasr.bin._audio import Audio, Dropped, check_audio, encoder_frames, fbank_frames
from espnet_llmasr.bin._cli import MIN_FS, Parser, at_least, run
from espnet_llmasr.bin._dump import Result, Utterance, read_utterances, report, write_dump
from espnet_llmasr.files import read_scp, replacing, write_atomically
from espnet_llmasr.text.phonemes import UNKNOWN, Characters, make_units, min_frames


@dataclass
class Check:
    """All checks of one utterance; runs in the worker processes."""

    units: Callable[[str], List[str]]
    rate: int
    min_duration_s: float
    max_duration_s: float
    staged: Path
    final: Path
    test: bool = False

    def __call__(self, utterance: Utterance) -> Result:
        try:
            labels = self.labels(utterance)
            audio = self.audio(utterance)
            self.fit(labels, audio)
        except Dropped as dropped:
            self.copy_of(self.staged, utterance.id).unlink(missing_ok=True)
            return Result(utterance.id, reason=str(dropped))
        return Result(utterance.id, audio=audio, labels=" ".join(labels))

    def labels(self, utterance: Utterance) -> List[str]:
        if utterance.wav is None:
            raise Dropped("no_wav")
        if utterance.text is None:
            raise Dropped("no_text")
        if not utterance.text:
            raise Dropped("empty_text")
        labels = self.units(utterance.text)
        if not self.test and all(label == UNKNOWN for label in labels):
            raise Dropped("no_known_label")
        return labels

    def audio(self, utterance: Utterance) -> Audio:
        audio = check_audio(utterance.wav, self.rate, self.copy_of(self.staged, utterance.id))
        copied = audio.resampled or audio.mixed_down
        return replace(audio, path=str(self.copy_of(self.final, utterance.id))) if copied else audio

    def fit(self, labels: List[str], audio: Audio) -> None:
        """Drops what is too short, too long, or has fewer encoder frames than CTC needs for the labels.

        A test set keeps all that the encoder can read at all, or its error rate would be of another set.
        """
        frames = encoder_frames(fbank_frames(audio.samples, self.rate))
        if self.test and frames > 0:
            return
        duration_s = audio.samples / self.rate
        if duration_s < self.min_duration_s:
            raise Dropped("too_short")
        if duration_s > self.max_duration_s:
            raise Dropped("too_long")
        if frames < max(1, min_frames(labels)):
            raise Dropped("too_few_frames")

    @staticmethod
    def copy_of(directory: Path, utterance: str) -> Path:
        return directory / "wav" / (utterance.replace("/", "%2F") + ".wav")


_check: Optional[Check] = None


def _start_worker(check: Check) -> None:
    global _check
    _check = check


def _work(utterance: Utterance) -> Result:
    return _check(utterance)


def check_all(check: Check, utterances: List[Utterance], nj: int) -> Iterator[Result]:
    """Results in the order of the utterances, from `nj` processes.

    Raises:
        ValueError: a process was killed.
    """
    if nj == 1:
        yield from map(check, utterances)
        return
    pool = ProcessPoolExecutor(nj, multiprocessing.get_context("spawn"), _start_worker, (check,))
    try:
        yield from pool.map(_work, utterances, chunksize=16)
    except BrokenProcessPool as error:
        raise ValueError(f"one of --nj {nj} processes was killed, perhaps for want of memory: lower --nj") from error
    finally:
        pool.shutdown(cancel_futures=True)


def with_progress(results: Iterable[Result], total: int, interval_s: float = 10.0) -> Iterator[Result]:
    last = time.monotonic()
    for number, result in enumerate(results, 1):
        if time.monotonic() - last > interval_s:
            logging.info("%d of %d utterances checked", number, total)
            last = time.monotonic()
        yield result


def write_tokens(path: Path, tokens: List[str]) -> None:
    """One token per line; the line number is the index."""
    write_atomically(path, "".join(f"{token}\n" for token in tokens))


def read_tokens(path: Path) -> List[str]:
    return Path(path).read_text(encoding="utf-8").split("\n")[:-1]


def prepare_units(unit: str, tokens: Path, text: Path, text_given: bool):
    """The units to label with, equal to an existing token file.

    The character list comes from `text` if that was asked for or there is no token file yet, otherwise from the file.

    Raises:
        ValueError: the token file holds another list.
    """
    if unit == "char" and tokens.exists() and not text_given:
        return Characters(read_tokens(tokens))
    units = make_units(unit, read_scp(text).values() if unit == "char" else ())
    if tokens.exists() and read_tokens(tokens) != units.tokens:
        raise ValueError(
            f"{tokens} holds {len(read_tokens(tokens))} tokens, other than the {len(units.tokens)} of --unit {unit}:"
            " remove it (and what was trained on it) or name another file with --tokens"
        )
    return units


def get_parser() -> Parser:
    parser = Parser(description="Check and filter a data directory and make its labels.")
    parser.add_argument("--data", type=Path, required=True, help="Kaldi data directory with wav.scp and text")
    parser.add_argument("--out", type=Path, required=True, help="dump directory to write; replaced when complete")
    parser.add_argument("--tokens", type=Path, required=True, help="token list, shared by all sets")
    parser.add_argument("--unit", choices=["phone", "char"], default="phone")
    parser.add_argument("--token_text", type=Path, help="training text for --unit char; else the token list or --data")
    parser.add_argument(
        "--fs", type=at_least(MIN_FS), default=16000, help="sample rate in Hz; other rates are resampled"
    )
    parser.add_argument("--min_duration", type=float, default=0.1, help="in seconds")
    parser.add_argument("--max_duration", type=float, default=30.0, help="in seconds")
    parser.add_argument("--nj", type=at_least(1), default=1, help="processes")
    parser.add_argument("--test", action="store_true", help="a test set: only what cannot be decoded is dropped")
    return parser


def format_data(args) -> dict:
    """Runs the stage and returns its statistics.

    Raises:
        ValueError: see `read_utterances`, `prepare_units` and `replacing`, or no utterance is left.
    """
    if not 0 <= args.min_duration < args.max_duration:
        raise ValueError(f"--min_duration {args.min_duration} must be below --max_duration {args.max_duration}")
    utterances = read_utterances(args.data)
    units = prepare_units(args.unit, args.tokens, args.token_text or args.data / "text", args.token_text is not None)
    with replacing(args.out) as staged:
        check = Check(units, args.fs, args.min_duration, args.max_duration, staged, args.out, args.test)
        results = list(with_progress(check_all(check, utterances, args.nj), len(utterances)))
        stats = write_dump(staged, args.data, {u.id: u.text for u in utterances}, results, args.fs)
        report(args.data, results, stats, args.fs)
        if not stats["utts"]:
            raise ValueError(f"no utterance of {args.data} is left: all {len(results)} dropped, see the line above")
        if not args.tokens.exists():
            write_tokens(args.tokens, units.tokens)
    return stats


def main(argv: Optional[List[str]] = None) -> None:
    format_data(get_parser().parse_args(argv))


if __name__ == "__main__":
    run(main)
