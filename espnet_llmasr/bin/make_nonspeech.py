"""Makes the non-speech suite: clips of silence, noise, hum, clicks, music-like tones and babble, with empty references.

    python -m espnet_llmasr.bin.make_nonspeech --out dump/nonspeech --wav_scp dump/train/wav.scp

Any word that a system writes for them is made up. The clips last 0.5 to 8 s; their peaks lie between -60 and -6 dBFS.
Babble is made of the utterances of --wav_scp: 24 at a time in pieces of 0.1 to 0.4 s, so that no word is intelligible.
The output is a directory as stage 2 makes it, with the kind of each clip as its speaker; the same seed and the same
utterances give the same bytes.
"""

import logging
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np
import soundfile

from espnet_llmasr.data.checks import Audio, Result
from espnet_llmasr.cli import MIN_FS, Parser, at_least, run
from espnet_llmasr.data.dump import Dump
from espnet_llmasr.data.nonspeech import Sound, read_voices, sounds
from espnet_llmasr.data.kaldi import Utterance
from espnet_llmasr.files import replacing

SECONDS = 0.5, 8.0
PEAK_DBFS = -60.0, -6.0


def clip(sound: Sound, kind: str, rng: np.random.Generator, rate: int) -> np.ndarray:
    """(N,) 16-bit samples of random length and level; silence keeps its own level."""
    samples = sound(int(rng.uniform(*SECONDS) * rate), rng)
    if kind != "silence":
        samples = samples * (10 ** (rng.uniform(*PEAK_DBFS) / 20) / np.abs(samples).max())
    return np.round(samples * 32768).astype(np.int16)


def names(kinds: List[str], clips: int) -> Dict[str, str]:
    """Id -> kind of so many clips in the order of the ids, all kinds as often (up to one)."""
    return dict(sorted((f"{kinds[n % len(kinds)]}-{n // len(kinds):05d}", kinds[n % len(kinds)]) for n in range(clips)))


def get_parser() -> Parser:
    parser = Parser(description="Make clips without speech, to see what a system writes for them.")
    parser.add_argument("--out", type=Path, required=True, help="dump directory to write; replaced when complete")
    parser.add_argument("--wav_scp", type=Path, required=True, help="training utterances, for babble")
    parser.add_argument("--clips", type=at_least(1), default=1200, help="how many, evenly of all kinds")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--fs", type=at_least(MIN_FS), default=16000, help="sample rate in Hz")
    return parser


def main(argv: Optional[List[str]] = None) -> None:
    """Raises ValueError: see `read_voices` and `replacing`."""
    args = get_parser().parse_args(argv)
    with replacing(args.out) as staged:
        kinds = sounds(read_voices(args.wav_scp, args.seed, args.fs), args.fs)
        (staged / "audio").mkdir()
        with Dump(staged, args.fs) as dump:
            for uid, kind in names(list(kinds), args.clips).items():
                rng = np.random.default_rng([args.seed, *uid.encode()])
                samples = clip(kinds[kind], kind, rng, args.fs)
                soundfile.write(staged / "audio" / f"{uid}.wav", samples, args.fs, subtype="PCM_16")
                entry = str(args.out / "audio" / f"{uid}.wav")
                utterance = Utterance(uid, entry, None, "", kind, "", None, None)
                dump.add(utterance, Result(None, Audio(len(samples)), "", ""))
        stats = dump.finish()
    logging.info("%s: %d clips of %s (%.2f h)", args.out, stats["utts"], ", ".join(kinds), stats["hours"])


if __name__ == "__main__":
    run(main)
