"""Freezes the Mandarin reading tables under espnet_llmasr/text/tables.

    pip install --target build/pypinyin pypinyin==0.55.0
    PYTHONPATH=build/pypinyin python local/tables/mandarin.py

pypinyin (MIT licence) 0.55 reads more heteronyms correctly than the 0.44 that ESPnet pins, so the tables are built once
and kept. Readings are taken as pypinyin gives them, except for OVERRIDES and syllables without a vowel (SYLLABIC).
"""

import re
import sys

import pypinyin
from pypinyin.constants import PHRASES_DICT, PINYIN_DICT
from pypinyin.contrib.tone_convert import to_finals, to_initials, to_tone3
from table_files import out_option, write_tables

VERSION = "0.55.0"
INITIALS = "b p m f d t n l g k h j q x zh ch sh r z c s".split()
# The nasal of 嗯 becomes the nearest ordinary final; 呣 keeps the consonant as its only phone; ê is read ei.
SYLLABIC = {"n": "en", "ng": "en", "m": "m", "hm": "h en", "hng": "h eng", "ê": "ei"}
# Character defaults and phrases that pypinyin reads in a rarer way than speakers do ...
OVERRIDES = {
    **{"谁": "shei2", "诶": "ei1", "喔": "o1", "呒": "m2", "长": "chang2", "得": "de5"},
    **{"头发": "tou2 fa5", "东西": "dong1 xi5", "大夫": "dai4 fu5", "结实": "jie1 shi5", "没关系": "mei2 guan1 xi5"},
    **{"倒车": "dao4 che1", "朝鲜": "chao2 xian3", "曾国藩": "zeng1 guo2 fan1", "数一数": "shu3 yi1 shu3"},
    **{"薄荷": "bo4 he5", "长得": "zhang3 de5", "差不多": "cha4 bu5 duo1"},
}
# ... and the words it has no phrase for that still need the other reading of 长, 得, 教 (beside character defaults).
OTHER_READING = {
    "长": ("zhang3", "长大 长高 长胖 长出 长满 长在 区长 乡长 园长 舰长 营长 防长 厅长 秘书长 理事长 检察长 事务长"),
    "得": ("de2", "得到 得分 得出 得奖 得病 得以 得失 得主 得票 得救 得宠 得名 得过 求得"),
    "教": ("jiao1", "教我 教你 教他 教她 教书 教过 教会了"),
}


def split_tone(syllable):
    """Reading with a tone mark -> (letters, tone digit): "lǜ" -> ("lv", "4")."""
    marked = to_tone3(syllable, neutral_tone_with_five=True)
    letters, tone = re.fullmatch(r"([a-zêü]+)([1-5])", marked).groups()
    return letters.replace("ü", "v"), tone


def numbered(reading):
    letters, tone = split_tone(reading)
    return letters + tone


def phones_of(syllable):
    """ "zhang3" -> ["zh", "ang3"]; the tone stays on the final, "m" stays bare."""
    letters, tone = syllable[:-1], syllable[-1]
    if letters in SYLLABIC:
        return [p if p in INITIALS else p + tone for p in SYLLABIC[letters].split()]
    initial, final = to_initials(letters, strict=True), to_finals(letters, strict=True).replace("ü", "v") + tone
    return [initial, final] if initial else [final]


def read_characters():
    readings = {chr(code): numbered(text.split(",")[0]) for code, text in PINYIN_DICT.items()}
    return {**readings, **{k: v for k, v in OVERRIDES.items() if len(k) == 1}}


def read_phrases(characters):
    """Phrase -> its syllables."""
    phrases = {p: " ".join(numbered(r[0]) for r in readings) for p, readings in PHRASES_DICT.items() if len(p) > 1}
    phrases.update({k: v for k, v in OVERRIDES.items() if len(k) > 1})
    for character, (syllable, words) in OTHER_READING.items():
        readings = {**characters, character: syllable}
        phrases.update({word: " ".join(readings[c] for c in word) for word in words.split()})
    return phrases


def main():
    if pypinyin.__version__ != VERSION:
        sys.exit(f"mandarin.py: found pypinyin {pypinyin.__version__}, needed is {VERSION}: see this file")
    characters = read_characters()
    write_tables(out_option("Build the Mandarin tables."), "zh", characters, read_phrases(characters), phones_of)


if __name__ == "__main__":
    main()
