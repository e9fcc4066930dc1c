"""Freezes the Mandarin reading tables under espnet_llmasr/text/tables.

    pip install --target build/pypinyin pypinyin==0.55.0
    PYTHONPATH=build/pypinyin python local/tables/mandarin.py

pypinyin (MIT licence) 0.55 reads more heteronyms correctly than the 0.44 that ESPnet pins, so the tables are built once
and kept. Readings are taken as pypinyin gives them, except for syllables without a vowel (SYLLABIC), OVERRIDES,
OTHER_READING, and the words in mandarin_words.txt, which states where they come from. 一 and 不 get open tones, which
espnet_llmasr.text.han fills in by its rule SANDHI, except where they keep their own (see `own_tone`).
"""

import re
import sys
from itertools import product
from pathlib import Path

import pypinyin
from pypinyin.constants import PHRASES_DICT, PINYIN_DICT
from pypinyin.contrib.tone_convert import to_finals, to_initials, to_tone3
from table_files import out_option, read, write_tables

VERSION = "0.55.0"
WORDS = Path(__file__).with_name("mandarin_words.txt")
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


# 一 and 不 with an open tone, and the words in which they keep a tone of their own. 一 is a number or an ordinal beside
# another digit, after 第 and 初, in ORDINALS, and at the end of a word; 不 is neutral between a verb and its complement,
# or a verb and its repetition.
OPEN = {"一": "yi*", "不": "bu*"}
DIGITS = "〇零一二三四五六七八九"
ORDINALS = (
    "一月 一号 一楼 一级 一等奖 一等功 一等舱 一年级 一季度 一战 一审 一中 一把手 "
    "一加一 一减一 一比零 一比一 一比二 一比三"
).split()
ENDING_IN_1 = (
    "唯一 惟一 统一 单一 专一 之一 星期一 礼拜一 周一 其一 逐一 均一 如一 归一 第一 初一 高一 零一一 〇一一 "
    "零点一 零比一 二比一 三比一 四比一"
).split()
# Words that begin with 一 after such a word or digit, and words after which 一 is no number.
NOT_NUMBERS = (
    "同一 不一起 不一般 大一些 大一点 每周一次 万一千 万一百 一中午 一中年 一号人 一战成名 一级级 百分之一百".split()
)
_WEEKDAY = [f"{day}{word}" for day, word in product("二三四五六", "一起 一定 一直 一早 一大早 一样 一般".split())]
_REPEATED = (
    "是会能要有对好来去走看听吃喝买卖想说做学用给让敢肯该应可知认喜愿打开关坐睡起到在像信怕爱急忙累饿渴痛疼冷热大小多少快慢高低长短"
    "远近贵难容重轻新旧老早晚美丑香臭甜苦酸辣咸亮黑红白干湿脏乱满空够准真假值配疯傻懂见记写读问答等找换玩帮住穿戴洗死活动停变算管放"
    "拿带送借交收接回进出上下过方漂舒清明合同相觉介考需希担害严安健简复"
)
_VERBS = (
    "看 听 说 想 吃 喝 做 干 买 卖 拿 打 走 跑 找 睡 坐 站 住 用 学 记 写 读 讲 等 受 忍 管 免 少 大 死 忘 离 算 办 帮 改 搞 弄 "
    "赶 跟 摸 碰 穿 拉 推 放 挡 拦 抓 留 停 靠 经 禁 保 架 对 了 瞧 惹 输 赢 玩 养 伤 信 比 够 顾 谈 犯 达 见 猜 分 认 逃 "
    "躲 解 装 扛 熬 撑 憋 挺 稳 沉 按 解释 完成 控制 承受 接受 享受 阻止 改变 理解 离开 忍受 代表 影响"
).split()
_COMPLEMENTS = "了 到 起 住 着 完 动 懂 清 见 出 上 下 过 惯 透".split()
_NEUTRAL = (
    "差不多 来不及 行不通 说不定 恨不得 巴不得 怪不得 舍不得 由不得 要不得 了不得 使不得 免不得 怨不得 顾不得 容不得 见不得 "
    "少不得 算不得 说不得 恨不能 冷不丁 冷不防 保不齐 划不来 合不来 吃不消 吃不准 吃不开 离不开 想不开 分不开 走不开 睁不开 "
    "打不开 解不开 想不通 打不通 说不通 讲不通 回不去 回不来 过不去 过不来 下不去 下不来 上不去 上不来 出不来 出不去 进不来 "
    "进不去 起不来 说不准 拿不准 拿不定 看不中 搞不好 弄不好 说不好 做不好 睡不好 吃不好 瞧不起 担不起 小不点 赶不及 等不及 "
    "比不得 拗不过 数不清 数不尽 数不完 得不到 得不出 说不尽 用不尽 受不得 动不得 碰不得 了不起 对不起 禁不起 经不起 "
    "买不起 看不起 惹不起 干不干净"
).split()
# 着 and 了 as complements have their full tones.
_COMPLEMENT_TONES = {"了": "liao3", "着": "zhao2", "得": "de5"}


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


def add_words(readings):
    """Adds the readings of mandarin_words.txt."""
    lines = [line.split() for line in WORDS.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    readings.update({text: " ".join(rest) for text, *rest in lines if len(text) > 1 or len(rest) == 1})
    for character, syllable, *words in (line for line in lines if len(line[0]) == 1 and len(line) > 2):
        for word in words:
            syllables = read(word, readings).split()
            readings[word] = " ".join(syllable if c == character else s for c, s in zip(word, syllables, strict=True))


def own_tone(word, index):
    """Whether 一 at this place of a word is a number or an ordinal."""
    before, after = word[index - 1 : index], word[index + 1 : index + 2]
    if word in NOT_NUMBERS or word in _WEEKDAY:
        return False
    if any(word[: index + 1].endswith(end) for end in ENDING_IN_1):
        return True
    ordinal = before == "月" and after in "日号" or not index and any(word.startswith(start) for start in ORDINALS)
    beside_digit = before and before in DIGITS + "十第初" or after and after in DIGITS + "十"
    return ordinal or beside_digit or not after


def open_tones(readings):
    """Adds words with 一 and 不, and opens the tones of 一 and 不 where the next syllable decides."""
    digits, months = DIGITS[2:], [*DIGITS[2:], "十", "十一", "十二"]
    numbers = {*ENDING_IN_1, *ORDINALS, *NOT_NUMBERS, *_WEEKDAY, *(f"{month}月一日" for month in months)}
    numbers.update(pair for digit in DIGITS + "十" for pair in (f"{digit}一", f"一{digit}"))
    numbers.update(f"{ten}十一" for ten in digits[1:])
    neutral = {f"{verb}不{verb}" for verb in _REPEATED} | set(_NEUTRAL)
    neutral.update(f"{verb}不{complement}" for verb, complement in product(_VERBS, _COMPLEMENTS))
    able = {f"{verb}得{complement}" for verb, complement in product(_VERBS, "了着")} - {"了得了", "了得着"}
    for word in sorted(numbers | neutral | able):
        readings.setdefault(word, read(word, readings))
    readings.update(OPEN)
    for word in (text for text in readings if len(text) > 1):
        syllables = readings[word].split()
        for index, character in enumerate(word):
            if character in OPEN:
                syllables[index] = "yi1" if character == "一" and own_tone(word, index) else OPEN[character]
        if word in neutral or word in able:
            syllables[word.index("得" if word in able else "不")] = "de5" if word in able else "bu5"
            syllables[-1] = _COMPLEMENT_TONES.get(word[-1], syllables[-1])
        readings[word] = " ".join(syllables)


def main():
    if pypinyin.__version__ != VERSION:
        sys.exit(f"mandarin.py: found pypinyin {pypinyin.__version__}, needed is {VERSION}: see this file")
    readings = read_pypinyin()
    add_words(readings)
    open_tones(readings)
    write_tables(out_option("Build the Mandarin tables."), "zh", readings, phones_of)


if __name__ == "__main__":
    main()
