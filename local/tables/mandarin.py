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
from table_files import out_option, read, write_tables

VERSION = "0.55.0"
INITIALS = "b p m f d t n l g k h j q x zh ch sh r z c s".split()
# The nasal of 嗯 becomes the nearest ordinary final; 呣 keeps the consonant as its only phone; ê is read ei.
SYLLABIC = {"n": "en", "ng": "en", "m": "m", "hm": "h en", "hng": "h eng", "ê": "ei"}
# Character defaults and phrases that pypinyin reads in a rarer way than speakers do ...
OVERRIDES = {
    **{"谁": "shei2", "诶": "ei1", "喔": "o1", "呒": "m2", "长": "chang2", "得": "de5"},
    **{"脏": "zang1", "似": "si4", "颇": "po1", "咯": "lo5", "呐": "na5"},
    **{"头发": "tou2 fa5", "东西": "dong1 xi5", "大夫": "dai4 fu5", "结实": "jie1 shi5", "没关系": "mei2 guan1 xi5"},
    **{"倒车": "dao4 che1", "朝鲜": "chao2 xian3", "曾国藩": "zeng1 guo2 fan1", "数一数": "shu3 yi1 shu3"},
    **{"薄荷": "bo4 he5", "长得": "zhang3 de5", "差不多": "cha4 bu5 duo1", "数钱": "shu3 qian2"},
    **{
        "倒是": "dao4 shi4",
        "落下": "luo4 xia4",
        "当天": "dang1 tian1",
        "美发": "mei3 fa4",
        "用不着": "yong4 bu4 zhao2",
    },
    **{"心脏": "xin1 zang4", "肾脏": "shen4 zang4", "肝脏": "gan1 zang4", "脏器": "zang4 qi4", "五脏": "wu3 zang4"},
    **{"视为": "shi4 wei2", "最为": "zui4 wei2", "颇为": "po1 wei2", "为例": "wei2 li4", "为人民": "wei4 ren2 min2"},
    **{"不得了": "bu4 de2 liao3", "受得了": "shou4 de5 liao3", "了结果": "le5 jie2 guo3", "了结婚": "le5 jie2 hun1"},
}
# ... and the words it has no phrase for that still need the other reading of a character (beside character defaults).
_ADVERBS = (
    "慢慢 静静 轻轻 渐渐 深深 默默 悄悄 偷偷 好好 狠狠 紧紧 缓缓 远远 牢牢 微微 淡淡 呆呆 久久 死死 细细 暗暗 匆匆 频频 "
    "冷冷 大大 高高 早早 稳稳 高兴 开心 愉快 认真 仔细 努力 不断 不停 特别 非常 突然 忽然 迅速 快速 轻松 顺利 成功 积极 "
    "主动 自觉 平静 深刻 深入 广泛 充分 完全 清楚 明显 严格 严肃 严厉 激动 兴奋 热情 热烈 温柔 愤怒 生气 伤心 难过 痛苦 幸福 "
    "快乐 疯狂 拼命 用力 坚定 坚决 果断 耐心 细心 小心 专心 真诚 诚恳 亲切 骄傲 惊讶 惊奇 好奇 害怕 紧张 着急 焦急 尽情 "
    "尽可能 更好 更多 很好 很快 及时 大声 小声 大胆 勇敢 冷静 随意 反复 持续 准确 逐步 逐渐 下意识 情不自禁 不由自主 一个劲 "
    "毫不犹豫 源源不断 理所当然 不知不觉 高高兴兴"
).split()
_SUBJECTS = "你 我 他 她 它 咱 您 我们 你们 他们 她们 咱们 大家 还 也 就 都 又".split()
_GOT = "到 了 知 出 过 奖 分 意 罪 以 益 名 第".split()
_COUNTED = "这 那 哪 每 某 两 三 四 五 六 七 八 九 十 百 千 半 整".split()
OTHER_READING = (
    (
        "长",
        "zhang3",
        "长大 长高 长胖 长出 长满 长在 区长 乡长 园长 舰长 营长 防长 厅长 秘书长 理事长 检察长 事务长".split(),
    ),
    ("得", "de2", "得到 得分 得出 得奖 得病 得以 得失 得主 得票 得救 得宠 得名 得过 求得".split()),
    ("教", "jiao1", "教我 教你 教他 教她 教书 教过 教会了".split()),
    ("得", "dei3", [f"{subject}得" for subject in _SUBJECTS]),
    ("得", "de2", [f"{subject}得{verb}" for subject in _SUBJECTS for verb in _GOT]),
    ("地", "de5", [f"{adverb}地" for adverb in _ADVERBS]),
    ("只", "zhi1", [f"{number}只" for number in _COUNTED]),
    ("只", "zhi3", [f"{number}只{verb}" for number in "这那每" for verb in "是有能要会好"]),
)


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


def read_pypinyin():
    """Characters and phrases with their syllables."""
    readings = {chr(code): numbered(text.split(",")[0]) for code, text in PINYIN_DICT.items()}
    readings.update({p: " ".join(numbered(r[0]) for r in units) for p, units in PHRASES_DICT.items() if len(p) > 1})
    readings.update(OVERRIDES)
    for character, syllable, words in OTHER_READING:
        for word in words:
            before, _, after = word.partition(character)
            readings[word] = " ".join(filter(None, (read(before, readings), syllable, read(after, readings))))
    return readings


def main():
    if pypinyin.__version__ != VERSION:
        sys.exit(f"mandarin.py: found pypinyin {pypinyin.__version__}, needed is {VERSION}: see this file")
    write_tables(out_option("Build the Mandarin tables."), "zh", read_pypinyin(), phones_of)


if __name__ == "__main__":
    main()
