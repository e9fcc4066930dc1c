"""The route `sure`: Mandarin numbers as digits, as in SURE-EVAL's default Mandarin CER.

SURE-EVAL (github.com/PigeonDan1/sure-evaluation at 3964c29, asr.zh.cer.wetext_norm_zh_itn_v1.wenet_cer_v1) passes both
sides through WeTextProcessing's Mandarin inverse normalisation with its defaults, then through WeNet's scorer. This
route uses the same FSTs: "二十五点五度" -> "25.5°", "三十美元" -> "$30"; 啊 and 呃 are dropped. "一个" does not change,
nor does text without a Han numeral ("2024年", all English).

Differences:
- Tokens are those of every route here: 25 and 5, 2024 and 03 and 05, 5km, and no punctuation. WeNet's scorer has
  "25.5", "2024/03/05" and "5km" as one token each, and most punctuation marks as tokens.
- To keep the sign of a number, "-5" becomes "负5", "+5" "正5", and %, $, ¥, €, £ beside a digit become words.
- Lines are given in half width and lower case (SURE-EVAL ignores case after the FSTs, but not width).
- SURE-EVAL scores English and code-switch sets by other rules; here this route is for all sets (for English use the
  route `whisper`).
- A reference of 啊 alone, which is empty there, falls back to its own text (`tokens_of`).

Only the runs of a line around its numerals pass the FSTs. A run ends at a character that occurs in none of the tables
in the package; the tests prove on the FSTs themselves that no rule takes such a character.
"""

import re
from functools import lru_cache, partial
from typing import Callable, Dict, Pattern, Tuple

from espnet_llmasr.text import wetext
from espnet_llmasr.text.normalize import HAN
from espnet_llmasr.text.routes import Route, installed

DESCRIPTION = "WeTextProcessing's inverse normalisation: Mandarin numbers as digits, as in SURE-EVAL's Mandarin CER"
PACKAGES = ("WeTextProcessing",)
OUR_VERSION = "2"

_WORDS = {"%": " percent ", "$": " dollar ", "€": " euro ", "+": "正", "-": "负"}
_WORDS.update({**dict.fromkeys("¥\uffe5", " yuan "), **dict.fromkeys("£\uffe1", " pound ")})
_SIGN = re.compile(r"(?<=\d)%|[$¥\uffe5€£\uffe1](?=\d)|(?<![a-z\d])[+-](?=\d)")


def make() -> Route:
    """Raises ValueError if WeTextProcessing is not installed."""
    version = installed("WeTextProcessing", "sure")
    name = f"{OUR_VERSION}, WeTextProcessing {version} zh_itn"
    return Route("sure", name, partial(normalize, short_cuts=version in wetext.VERIFIED_VERSIONS))


def normalize(text: str, lang: str, short_cuts: bool) -> str:
    """ "负五点二度啊" -> "负5.2°", whatever the language; without short cuts each whole line passes the FSTs."""
    line = wetext.readable(text)
    if short_cuts:
        run, has_numeral, fillers = pieces()
        line = run.sub(lambda m: _read(m[0]) if has_numeral(m[0]) else m[0], line).translate(fillers)
    else:
        line = _read(line)
    return _SIGN.sub(lambda sign: _WORDS[sign[0]], line)


def _read(line: str) -> str:
    return wetext.run_fst("zh_itn", line)


@lru_cache(None)
def pieces() -> Tuple[Pattern, Callable, Dict[int, None]]:
    """Pattern of the runs of characters that a rule may take together, search for a numeral, and the fillers.

    Without one of the numerals no rule changes anything. All that is not Han counts as part of a run.
    """
    rows = partial(wetext.rows, "itn")
    digits = rows("chinese/data/number/digit.tsv") + rows("chinese/data/number/zero.tsv")
    numerals = "十百" + "".join(row[0] for row in digits)  # 百 for 百分百, which is 100%
    in_rules = "".join(sorted({character for row in rows("chinese/data/*/*.tsv") for character in "".join(row)}))
    fillers = dict.fromkeys(ord(row[0]) for row in rows("chinese/data/default/blacklist.tsv"))
    run = re.compile(f"(?:[{re.escape(in_rules)}]|[^{HAN}])+")
    return run, re.compile(f"[{numerals}]").search, fillers
