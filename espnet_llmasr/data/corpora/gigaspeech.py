"""GigaSpeech: 10 K h of English audiobooks, podcasts and YouTube, 16 kHz opus. SpeechColab, on request, for research.

Layout: GigaSpeech.json, {"audios": [{"aid", "path", "segments": [{"sid", "begin_time", "end_time", "text_tn",
"speaker", "subsets"}]}]}, and audio/podcast/P0001/POD0000000001.opus, each up to hours long. SRC is the folder of
GigaSpeech.json.
Quirks: subsets stand in braces ({XL}) and contain each other, XL > L > M > S > XS; upper case; punctuation is spelled
<COMMA> <PERIOD> <QUESTIONMARK> <EXCLAMATIONPOINT>; segments of <SIL> <MUSIC> <NOISE> <OTHER> are no speech (dropped,
garbage); the speaker is N/A, so each recording counts as one. Scores leave out the fillers UH UHH UM EH MM HM AH HUH
HA ER.
"""

import re
from dataclasses import replace

from espnet_llmasr.data.formats.segments import segments
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterances

MARKS = {"COMMA": ",", "PERIOD": ".", "QUESTIONMARK": "?", "EXCLAMATIONPOINT": "!"}
_MARK = re.compile(rf"\s*<({'|'.join(MARKS)})>")
_GARBAGE = re.compile(r"<(SIL|MUSIC|NOISE|OTHER)>")


def read(source: Source) -> Utterances:
    for utterance in segments(source, source.need("GigaSpeech.json"), "text_tn"):
        if _GARBAGE.search(utterance.text):
            source.drop(utterance.id, "garbage")
            continue
        text = _MARK.sub(lambda match: MARKS[match[1]], utterance.text)
        speaker = utterance.recording if utterance.speaker in ("", "N/A") else utterance.speaker
        yield replace(utterance, text=text, speaker=speaker)


PARTS = {"XL": "10 K h", "L": "2.5 K h", "M": "1 K h", "S": "250 h", "XS": "10 h", "dev": "12 h", "test": "40 h"}
CORPUS = Corpus(read, "en", PARTS, "for research, on request", "https://github.com/SpeechColab/GigaSpeech")
