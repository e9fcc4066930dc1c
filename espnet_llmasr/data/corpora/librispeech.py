"""LibriSpeech: 960 h of read English audiobooks, 16 kHz flac. OpenSLR 12, CC BY 4.0.

Layout: PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac beside SPEAKER-CHAPTER.trans.txt ("84-121123-0000 GO DO YOU
HEAR"); PART is one of the seven folders of the archives. SRC is LibriSpeech/ or the folder that holds it.
Quirks: upper case without punctuation.
"""

from espnet_llmasr.data.formats.readers import key_values
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

PARTS = {"train-clean-100": "100 h", "train-clean-360": "364 h", "train-other-500": "497 h"}
PARTS |= {"dev-clean": "5.4 h", "dev-other": "5.1 h", "test-clean": "5.4 h", "test-other": "5.1 h"}


def read(source: Source) -> Utterances:
    folder = source.need(source.part, f"LibriSpeech/{source.part}")
    transcripts = sorted(folder.glob("*/*/*.trans.txt"))
    for path in source.share(transcripts):
        for name, text in key_values(path):
            yield Utterance(name, str(path.parent / f"{name}.flac"), text, speaker=name.partition("-")[0])


CORPUS = Corpus(read, "en", PARTS, "CC BY 4.0", "https://www.openslr.org/12")
