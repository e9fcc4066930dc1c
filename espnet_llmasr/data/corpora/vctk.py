"""VCTK 0.92: 44 h of 110 English speakers of many accents reading newspapers, 48 kHz flac. CC BY 4.0, Edinburgh
DataShare.

Layout: wav48_silence_trimmed/p225/p225_001_mic1.flac (and _mic2) with txt/p225/p225_001.txt, case and punctuation.
SRC is VCTK-Corpus-0.92/ or the folder that holds it.
Quirks: two microphones recorded the same speech, and p280 lacks the second: only mic1 is taken. p315 has no text
(dropped as no_text), p362 lacks some audio (missing_wav). There is only one part.
"""

from pathlib import Path
from typing import Set

from espnet_llmasr.data.formats.readers import lines
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances


def read(source: Source) -> Utterances:
    audio = source.need("wav48_silence_trimmed", "VCTK-Corpus-0.92/wav48_silence_trimmed")
    texts = audio.with_name("txt")
    speakers = sorted({folder.name for root in (audio, texts) for folder in root.iterdir() if folder.is_dir()})
    for speaker in source.share([Path(name) for name in speakers]):
        written = stems(texts / speaker, ".txt")
        for name in sorted(written | stems(audio / speaker, "_mic1.flac")):
            if name in written:
                text = " ".join(lines(texts / speaker / f"{name}.txt"))
                yield Utterance(name, str(audio / speaker / f"{name}_mic1.flac"), text, speaker=speaker.name)
            else:
                source.drop(name, "no_text")


def stems(folder: Path, ending: str) -> Set[str]:
    return {path.name[: -len(ending)] for path in folder.glob(f"*{ending}")}


PARTS = {"all": "44 h, microphone 1"}
CORPUS = Corpus(read, "en", PARTS, "CC BY 4.0", "https://doi.org/10.7488/ds/2645")
