"""WenetSpeech: 10 K h of Mandarin from YouTube and podcasts (and 2.4 K h weakly labelled), 16 kHz opus. On request (or
ModelScope wenet/WenetSpeech); CC BY 4.0, for research.

Layout: WenetSpeech.json, {"audios": [{"aid", "path", "segments": [{"sid", "begin_time", "end_time", "text",
"confidence", "subsets"}]}]}, and audio/train/youtube/B00000/Y0000000000_x.opus. SRC is the folder of WenetSpeech.json.
Quirks: subsets contain each other, L > M > S, and W is the weakly labelled rest; no speakers; the text is read from
subtitles, without punctuation, with some English; TEST_NET has wrong labels, corrections stand in issue 63 of the
project.
"""

from espnet_llmasr.data.formats.segments import segments
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterances


def read(source: Source) -> Utterances:
    return segments(source, source.need("WenetSpeech.json"), "text")


PARTS = {"L": "10 K h", "M": "1 K h", "S": "100 h", "W": "2.4 K h, weak labels"}
PARTS |= {"dev": "20 h", "test_net": "23 h", "test_meeting": "15 h"}
CORPUS = Corpus(read, "zh", PARTS, "CC BY 4.0, for research, on request", "https://wenet.org.cn/WenetSpeech")
