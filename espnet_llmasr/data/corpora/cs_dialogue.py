"""CS-Dialogue: 104 h of Mandarin-English conversation, 200 speakers, 16 kHz wav. BAAI/CS-Dialogue (Hugging Face,
ModelScope), on request, CC BY-NC-SA 4.0.

Layout: data/index/short_wav/{train,dev,test}/{text,wav.scp}, with paths relative to data/
(short_wav/WAVE/C0/ZH-CN_U0001_S0/ZH-CN_U0001_S0_4.wav); the audio is data/short_wav/short_wav.tar.gz00 and so on, one
tar in pieces, whose top folder is short_wav/. SRC is the folder that holds data/, or data/. long_wav is the same uncut.
Quirks: the tags <FIL/> <SPK/> <NON/> <NPS/>, a leading <MIX>, <CN> or <EN>, and ** go; lines of nothing else are
dropped (only_tags); the language is that of each line: zh, en or zh-en.
"""

import re

from espnet_llmasr.data.formats.mandarin import complete, language_of, missing
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

UNPACK = "cat short_wav/short_wav.tar.gz* | tar xzf -"
_TAGS = re.compile(r"<[A-Z]+/?>|\*\*")


def audio_root(data):
    """Where the paths of wav.scp begin: data/, or data/short_wav/ if the archive was unpacked beside its pieces."""
    for root in (data, data / "short_wav"):
        if (root / "short_wav" / "WAVE").is_dir():
            return root
    raise missing(data, "short_wav/WAVE", "short_wav/short_wav.tar.gz*", UNPACK)


def read(source: Source) -> Utterances:
    index = source.need(f"data/index/short_wav/{source.part}", f"index/short_wav/{source.part}")
    root = audio_root(index.parents[2])
    for name, (path, text) in complete(source, dict(wav=index / "wav.scp", text=index / "text")):
        spoken = _TAGS.sub(" ", text).strip()
        if spoken or not text:
            speaker = name.rpartition("_")[0]
            yield Utterance(name, str(root / path), spoken, speaker=speaker, lang=language_of(spoken))
        else:
            source.drop(name, "only_tags")


PARTS = {"train": "training", "dev": "development", "test": "test"}
CORPUS = Corpus(read, "zh-en", PARTS, "CC BY-NC-SA 4.0, on request", "https://huggingface.co/datasets/BAAI/CS-Dialogue")
