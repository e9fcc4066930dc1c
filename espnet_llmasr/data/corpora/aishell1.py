"""AISHELL-1: 178 h of read Mandarin, 400 speakers, 16 kHz wav. OpenSLR 33, Apache 2.0.

Layout: data_aishell/wav/{train,dev,test}/S0002/BAC009S0002W0122.wav and transcript/aishell_transcript_v0.8.txt
("BAC009S0002W0122 而 对 楼市 成交") with the lines of all parts. SRC is data_aishell/ or the folder that holds it.
Quirks: the archive holds one more archive for each speaker, wav/S0002.tar.gz, to be unpacked; texts are segmented into
words; letters are full-width and lower-case (ｂ超, ｃｂａ) and are spelled in speech, so they become capitals; some wavs
have no text (no_text). A line without audio is missing_wav in the part of its speaker.
"""

from collections import defaultdict

from espnet_llmasr.data.formats.mandarin import missing
from espnet_llmasr.data.formats.readers import key_values
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

TRANSCRIPT = "transcript/aishell_transcript_v0.8.txt"
CAPITALS = {code: code - 32 for code in range(ord("ａ"), ord("ｚ") + 1)}
UNPACK = "for archive in *.tar.gz; do tar xzf $archive; done"


def read(source: Source) -> Utterances:
    transcript = source.need(f"data_aishell/{TRANSCRIPT}", TRANSCRIPT)
    wavs = transcript.parent.parent / "wav"
    if not (wavs / source.part).is_dir():
        raise missing(wavs, f"{source.part}: is it all of AISHELL-1?", "*.tar.gz", UNPACK)
    texts = defaultdict(dict)
    for name, text in key_values(transcript):
        texts[name[6:11]][name] = text  # BAC009S0002W0122 -> S0002
    folders = sorted(path for path in (wavs / source.part).iterdir() if path.is_dir())
    for folder in source.share(folders):
        yield from utterances(source, folder, texts[folder.name])


def utterances(source, folder, texts):
    """Those of one speaker, by wav; then the lines without one."""
    for path in sorted(folder.glob("*.wav")):
        if path.stem in texts:
            text = texts.pop(path.stem).translate(CAPITALS)
            yield Utterance(path.stem, str(path), text, speaker=folder.name)
        else:
            source.drop(path.stem, "no_text")
    for name in texts:
        source.drop(name, "missing_wav")


PARTS = {"train": "150 h, 340 speakers", "dev": "40 speakers", "test": "7176 utterances, 20 speakers"}
CORPUS = Corpus(read, "zh", PARTS, "Apache 2.0", "https://www.openslr.org/33")
