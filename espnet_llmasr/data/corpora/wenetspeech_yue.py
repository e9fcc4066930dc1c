"""WenetSpeech-Yue: 21.8 K h of Cantonese from the web. HF ASLP-lab/WenetSpeech-Yue, CC BY-NC 4.0.

Layout: metadata only, JSON lines {"key", "rover_result", "confidence", "duration", "meta_info": {"link", "time_stamp":
"620.270_624.350"}}; the audio is crawled from the links or asked from the authors. SRC holds the *.jsonl and audio/,
see crawled.py; what is not there is counted as missing_wav.
Quirks: names of fields differ between versions, so --set id=, text=, audio= (the link), times=, confidence= name
others ("a.b" is field b of object a, "a|b" the first that is there); take the metadata of January 2026 or later, which
was corrected; --set min_confidence=0.9 keeps what the authors call strong labels. Whether the script is traditional is
not known; it is kept.
"""

from functools import partial

from espnet_llmasr.data.formats.crawled import read
from espnet_llmasr.data.formats.source import Corpus

PARTS = {"train": "21.8 K h"}
READ = partial(read, id="key|utt|utt_id", text="rover_result|text", audio="meta_info.link|link")
CORPUS = Corpus(READ, "yue", PARTS, "CC BY-NC 4.0", "https://huggingface.co/datasets/ASLP-lab/WenetSpeech-Yue")
