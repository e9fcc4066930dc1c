"""Mandarin readings in words, names and running text, and the tones of 一 and 不, as a dictionary and a teacher give them."""

import pytest

from espnet_llmasr.text.phonemes import Phonemizer

WORDS = """
佛山 f o2 sh an1 | 拜佛 b ai4 f o2 | 伊丽莎白 i1 l i4 sh a1 b ai2 | 高尔夫 g ao1 er3 f u1 | 阿勒颇 a1 l e4 p o1
缅甸人 m ian3 d ian4 r en2 | 内蒙古 n ei4 m eng3 g u3 | 布什 b u4 sh i2 | 照片 zh ao4 p ian4 | 委员长 uei3 van2 zh ang3
逆差 n i4 ch a1 | 推倒 t uei1 d ao3 | 多重 d uo1 ch ong2 | 进行曲 j in4 x ing2 q v3 | 麻将 m a2 j iang4 | 运转 vn4 zh uan3
染发 r an3 f a4 | 青藏 q ing1 z ang4 | 支行 zh i1 h ang2 | 尼泊尔 n i2 b o2 er3 | 颈椎 j ing3 zh uei1 | 电子 d ian4 z i3
孔子 k ong3 z i3 | 所得 s uo3 d e2 | 身着 sh en1 zh uo2 | 窗户 ch uang1 h u5 | 耳朵 er3 d uo5 | 月亮 ve4 l iang5
"""
NAMES = """
任弼时 r en2 b i4 sh i2 | 曾志伟 z eng1 zh i4 uei3 | 华罗庚 h ua4 l uo2 g eng1 | 诸葛亮 zh u1 g e3 l iang4
解晓东 x ie4 x iao3 d ong1 | 乐毅 ve4 i4 | 朴槿惠 p iao2 j in3 h uei4 | 刘少奇 l iou2 sh ao4 q i2 | 繁峙 f an2 sh i4
漯河 l uo4 h e2 | 天台山 t ian1 t ai1 sh an1 | 燕赵 ian1 zh ao4 | 阆中 l ang4 zh ong1 | 乐陵 l ao4 l ing2
"""
RUNNING = """
我们都会游泳 uo3 m en5 d ou1 h uei4 iou2 iong3 | 他被评为模范 t a1 b ei4 p ing2 uei2 m o2 f an4
昨天还了书 z uo2 t ian1 h uan2 l e5 sh u1 | 菜切好了 c ai4 q ie1 h ao3 l e5 | 用尽力气 iong4 j in4 l i4 q i5
成绩很差 ch eng2 j i4 h en3 ch a4 | 头发晒干了 t ou2 f a5 sh ai4 g an1 l e5 | 肚子饿了 d u4 z i5 e4 l e5
书还了 sh u1 h uan2 l e5 | 种了树 zh ong4 l e5 sh u4 | 看得见 k an4 d e5 j ian4 | 吃得了 ch i1 d e5 l iao3
还了解 h ai2 l iao3 j ie3 | 必须得去 b i4 x v1 d ei3 q v4
"""
ONE = """
一天 i4 t ian1 | 一条路 i4 t iao2 l u4 | 一种 i4 zh ong3 | 一块 i2 k uai4 | 看一看 k an4 i2 k an4 | 想一想 x iang3 i4 x iang3
进一步 j in4 i2 b u4 | 同一个 t ong2 i2 g e4 | 这一年 zh e4 i4 n ian2 | 一百 i4 b ai3 | 一万 i2 uan4 | 一心一意 i4 x in1 i2 i4
星期三一起去 x ing1 q i1 s an1 i4 q i3 q v4 | 不一样 b u4 i2 iang4 | 每周一次 m ei3 zh ou1 i2 c i4
"""
NUMERALS = """
第一次 d i4 i1 c i4 | 第一个 d i4 i1 g e4 | 初一 ch u1 i1 | 十一月 sh i2 i1 ve4 | 二十一个 er4 sh i2 i1 g e4 | 一月 i1 ve4
一九九一年 i1 j iou3 j iou3 i1 n ian2 | 二零一一年 er4 l ing2 i1 i1 n ian2 | 星期一 x ing1 q i1 i1 | 统一 t ong3 i1
统一的 t ong3 i1 d e5 | 一号楼 i1 h ao4 l ou2 | 五月一日 u3 ve4 i1 r i4 | 一 i1 | 唯一 uei2 i1
一加一等于二 i1 j ia1 i1 d eng3 v2 er4 | 二比一战胜 er4 b i3 i1 zh an4 sh eng4 | 百分之一 b ai3 f en1 zh i1 i1
"""
NOT = """
不是 b u2 sh i4 | 不要 b u2 iao4 | 不来 b u4 l ai2 | 不好 b u4 h ao3 | 不听 b u4 t ing1 | 绝不 j ve2 b u4 | 绝不会 j ve2 b u2 h uei4
从不说 c ong2 b u4 sh uo1 | 他不在 t a1 b u2 z ai4 | 要不 iao4 b u4 | 不但 b u2 d an4 | 不不 b u2 b u4
是不是 sh i4 b u5 sh i4 | 对不起 d uei4 b u5 q i3 | 来不及 l ai2 b u5 j i2 | 听不懂 t ing1 b u5 d ong3 | 睡不着 sh uei4 b u5 zh ao2
要不要 iao4 b u5 iao4 | 忘不了 uang4 b u5 l iao3 | 差不多 ch a4 b u5 d uo1
"""


@pytest.mark.parametrize(
    "table, number", [(WORDS, 28), (NAMES, 14), (RUNNING, 14), (ONE, 15), (NUMERALS, 18), (NOT, 20)]
)
def test_the_readings_are_right(table, number):
    cases = [case.split(maxsplit=1) for line in table.strip().splitlines() for case in line.split("|")]
    phonemize = Phonemizer()
    wrong = {text: phonemize(text) for text, phones in cases if phonemize(text) != phones.split()}
    assert len(cases) == number and not wrong


@pytest.mark.parametrize(
    "text, tones",
    [
        ("一个", "˧˥ ˥˩"),
        ("一年", "˥˩ ˧˥"),
        ("不是", "˧˥ ˥˩"),
        ("不来", "˥˩ ˧˥"),
        ("第一", "˥˩ ˥"),
        ("一双", "˥˩ ˥"),
        ("不", "˥˩"),
    ],
)
def test_sandhi_in_shared_ipa(text, tones):
    symbols = Phonemizer("shared_ipa")(text)
    assert [symbol.lstrip("aɑɛəɤiouyɨɔɐ") for symbol in symbols if symbol[-1] in "˥˩˧˨˦"] == tones.split()


def test_a_pause_ends_the_influence_of_the_next_syllable():
    assert Phonemizer()("不，是") == ["b", "u4", "sh", "i4"]
