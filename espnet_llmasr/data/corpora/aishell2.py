"""AISHELL-2: 1000 h of read Mandarin recorded with iOS phones, 16 kHz wav; dev and test also with Android phones and a
microphone. By application to AISHELL, for research only.

Layout: AISHELL-2/iOS/data/{wav.scp,trans.txt,wav/C0001/IC0001W0001.wav}; dev and test are a second archive,
AISHELL-DEV-TEST-SET/{iOS,Android,Mic}/{dev,test} with the same files in each; others keep these as iOS/dev beside
iOS/data. Paths in wav.scp are relative to their folder. SRC is the folder that holds iOS/, AISHELL-2/ or
AISHELL-DEV-TEST-SET/.
Quirks: IC0803W0380 is a bad recording (known_bad); a stray ' follows some Han characters (断'拉抽屉'); letters are
full-width here and there (Ａ Ｔ Ｍ). Lines with English words (听Yesterday Once More) are zh-en, or en without Han.
"""

import re

from espnet_llmasr.data.formats.mandarin import complete, language_of
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances
from espnet_llmasr.text.normalize import HAN

BAD = ("IC0803W0380",)
CHANNELS = {"ios": "iOS", "android": "Android", "mic": "Mic"}
PARTS = {"train": "1000 h, iOS"}
PARTS.update({f"dev_{name}": f"2500 utterances, {channel}" for name, channel in CHANNELS.items()})
PARTS.update({f"test_{name}": f"5000 utterances, {channel}" for name, channel in CHANNELS.items()})
_STRAY = re.compile(f"(?<=[{HAN}])['’]")


def folder_of(source):
    if source.part == "train":
        return source.need("iOS/data", "AISHELL-2/iOS/data")
    part, _, name = source.part.partition("_")
    places = ("AISHELL-DEV-TEST-SET/", "", "AISHELL-2/")
    spellings = dict.fromkeys((CHANNELS[name], CHANNELS[name].upper()))  # also IOS and ANDROID are found
    return source.need(*(f"{place}{channel}/{part}" for place in places for channel in spellings))


def read(source: Source) -> Utterances:
    folder = folder_of(source)
    for name, (path, text) in complete(source, dict(wav=folder / "wav.scp", text=folder / "trans.txt")):
        if name in BAD:
            source.drop(name, "known_bad")
            continue
        text = _STRAY.sub("", text)
        yield Utterance(name, str(folder / path), text, speaker=name[1:6], lang=language_of(text))


CORPUS = Corpus(read, "zh", PARTS, "by application, research only", "https://www.aishelltech.com/aishell_2")
