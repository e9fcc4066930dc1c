"""WenetSpeech-Chuan: 10 K h of Sichuanese and Chongqing speech from the web. HF ASLP-lab/WSC-Train, metadata only.

Layout: wsc_metadata.jsonl, JSON lines {"utt", "filename", "text", "confidence"}; SRC holds it and audio/, see
crawled.py; what is not there is counted as missing_wav. The field names are those that users mention; the licence is
not stated there.
Quirks: names of fields differ between versions, so --set id=, text=, audio= (a link or file), times=
("620.270_624.350"), confidence= name others ("a.b" is field b of object a, "a|b" the first that is there); --set
times= if audio/ holds no whole recordings; the confidence is meaningful, users filter with --set min_confidence=0.9.
"""

from functools import partial

from espnet_llmasr.data.formats.crawled import read
from espnet_llmasr.data.formats.source import Corpus

PARTS = {"train": "10 K h"}
READ = partial(read, id="utt|utt_id|key", text="text|rover_result", audio="meta_info.link|link|filename|wav_utt_id")
CORPUS = Corpus(
    READ, "zh-sichuan", PARTS, "see the dataset's page", "https://huggingface.co/datasets/ASLP-lab/WSC-Train"
)
