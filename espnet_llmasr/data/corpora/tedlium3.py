"""TED-LIUM 3: 452 h of English TED talks, 16 kHz NIST sph. OpenSLR 51, CC BY-NC-ND 3.0.

Layout: legacy/{train,dev,test}/{sph/TALK.sph,stm/TALK.stm}; a line of stm is "TALK 1 SPEAKER 5.10 9.20 <o,f0,male> i
'm here <unk> {NOISE}". SRC is TED-LIUM_release-3 (also written TEDLIUM_release-3) or the folder that holds it.
Quirks: segments with the text ignore_time_segment_in_scoring are no speech to learn (dropped as ignored_segment).
Noise {NOISE}, <unk> and <sil> go; word(2) is a pronunciation of word; a line of train may end in "(TALK-...)", the
name of the utterance. A suffix stands alone ("i 'm", "it 's") and is joined; words that begin with an apostrophe
('cause) are not. The label may be <F0_M>, and may be absent (from memory: all are read). Lower case without
punctuation.
Times are taken as published; Kaldi and ESPnet add 0.15 s before and 0.1 s after those of train.
"""

import re
from pathlib import Path

from espnet_llmasr.data.formats.readers import lines
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

IGNORED = "ignore_time_segment_in_scoring"
_UTTERANCE_NAME = re.compile(r"(?:^|\s)\([^()\s]+\)$")
_NO_WORD = re.compile(r"<(?!unk>)[^>]*>|\{[^}]*\}|\(\d+\)")
_UNKNOWN = re.compile(r"<unk>\S*")
_SUFFIX = re.compile(r" +(?='(?!(?:bout|cause|cuz|em|kay|n|round|til|till|tis|twas)\b|\d))")
"""The blanks before an apostrophe, unless it begins a word of its own or a year ('90s)."""


def read(source: Source) -> Utterances:
    folder = source.need(
        *(f"{parent}legacy/{source.part}" for parent in ("", "TEDLIUM_release-3/", "TED-LIUM_release-3/"))
    )
    talks = {path.stem for path in (*folder.glob("stm/*.stm"), *folder.glob("sph/*.sph"))}
    for path in source.share([folder / "stm" / f"{talk}.stm" for talk in sorted(talks)]):
        if path.exists():
            yield from talk(source, path, folder / "sph" / f"{path.stem}.sph")
        else:
            source.drop(path.stem, "no_text")


def talk(source: Source, stm: Path, audio: Path) -> Utterances:
    for number, line in enumerate(lines(stm), 1):
        if line.startswith(";;"):
            continue
        fields = line.split(maxsplit=5)
        try:
            _, _, speaker, start, end = fields[:5]
            times = [float(start), float(end)]
            name = "-".join([stm.stem, *(f"{round(1000 * seconds):07d}" for seconds in times)])
        except (ValueError, OverflowError):
            source.drop(f"{stm.name}:{number}", "broken_line")
            continue
        text = "".join(fields[5:])
        if IGNORED in text:
            source.drop(name, "ignored_segment")
        else:
            yield Utterance(name, str(audio), words(text), speaker, start=times[0], end=times[1], recording=stm.stem)


def words(text: str) -> str:
    """Joins suffixes before <unk> goes, which takes its suffix along, but after noise goes, which stands in between.

    >>> words("<o,f0,male> i {NOISE} 'm here <unk> 's to read(2) 'cause it 's (Talk-001)")
    "i'm here to read 'cause it's"
    """
    text = " ".join(_NO_WORD.sub("", _UTTERANCE_NAME.sub("", text.strip())).split())
    return " ".join(_UNKNOWN.sub("", _SUFFIX.sub("", text)).split())


PARTS = {"train": "452 h", "dev": "1.6 h", "test": "2.6 h"}
CORPUS = Corpus(read, "en", PARTS, "CC BY-NC-ND 3.0", "https://www.openslr.org/51")
