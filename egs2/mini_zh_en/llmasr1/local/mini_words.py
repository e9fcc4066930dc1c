"""The closed vocabulary of the miniature, and lines drawn from it.

Sound determines spelling: no two Han characters share a syllable (tone apart), no two English words sound alike, and no
word has two readings, so whoever hears the phonemes right can write the line right.
"""

import random

MANDARIN = dict(
    entry.split("=")
    for entry in """
    我=wo3 你=ni3 他=ta1 老师=lao3-shi1 律师=lv4-shi1 司机=si1-ji1 学校=xue2-xiao4 大学=da4-xue2 北京=bei3-jing1 南京=nan2-jing1
    天津=tian1-jin1 广州=guang3-zhou1 上海=shang4-hai3 湖北=hu2-bei3 苹果=ping2-guo3 牛奶=niu2-nai3 面包=mian4-bao1
    米饭=mi3-fan4 白菜=bai2-cai4 红茶=hong2-cha2 啤酒=pi2-jiu3 冰水=bing1-shui3 猪肉=zhu1-rou4 巧克力=qiao3-ke4-li4
    汽车=qi4-che1 火车=huo3-che1 飞机=fei1-ji1 手机=shou3-ji1 洗衣机=xi3-yi1-ji1 地铁=di4-tie3 电脑=dian4-nao3 电影院=dian4-ying3-yuan4
    钢琴=gang1-qin2 网球=wang3-qiu2 跑步=pao3-bu4 游泳=you2-yong3 唱歌=chang4-ge1 跳舞=tiao4-wu3 图书馆=tu2-shu1-guan3
    明天=ming2-tian1 昨天=zuo2-tian1 春天=chun1-tian1 冬天=dong1-tian1 现在=xian4-zai4 森林=sen1-lin2
    大海=da4-hai3 猫=mao1 狗=gou3 鸟=niao3 鱼=yu2 马=ma3 蛇=she2 龙=long2 风=feng1 山=shan1 花=hua1 月=yue4
    三=san1 六=liu4 八=ba1 爱=ai4 看=kan4 听=ting1 买=mai3 吃=chi1 喝=he1 去=qu4 来=lai2 要=yao4
    很=hen3 高=gao1 快=kuai4 慢=man4 热=re4 冷=leng3 黑=hei1 黄=huang2 蓝=lan2
    """.split()
)

ENGLISH = """
    airport apple bank basket bird black book bread bridge brother carpet candle chicken city cookie computer
    dinner driver dog dragon drink elephant farmer finger fish friend garden green guitar happy hospital hotel
    house hammer island jump kitchen lemon lunch milk monkey music number ocean open paper pencil pizza rocket
    river school seven silver sister sleep slow small star summer table teacher sugar tiger train thunder
    violin water zebra window winter yellow
    """.split()

KINDS = ("zh", "en", "cs")  # Mandarin, English, code-switched
SINGLE_WORDS = 0.25  # share of training lines that are one word, so that CTC takes off
KIND_WEIGHTS = (0.35, 0.3, 0.35)
NUM_WORDS = (2, 3, 4, 5)
NUM_WORDS_WEIGHTS = (3, 4, 3, 2)


def language(word):
    return "zh" if word in MANDARIN else "en"


def draw_line(rng, kind):
    """Returns 2-5 freely combined words of the kind; a "cs" line holds both languages."""
    num_words = rng.choices(NUM_WORDS, NUM_WORDS_WEIGHTS)[0]
    languages = [kind] * num_words
    while kind == "cs" and len(set(languages)) != 2:
        languages = [rng.choice(("zh", "en")) for _ in range(num_words)]
    return [rng.choice(list(MANDARIN) if name == "zh" else ENGLISH) for name in languages]


def draw_training_line(rng, held_out):
    """Returns a word, or a line whose text is not among the held-out texts."""
    if rng.random() < SINGLE_WORDS:
        return [rng.choice([*MANDARIN, *ENGLISH])]
    while True:
        words = draw_line(rng, rng.choices(KINDS, KIND_WEIGHTS)[0])
        if text_of(words) not in held_out:
            return words


def draw_held_out(seed, sizes):
    """{set: (kind, number)} -> {set: lines}, all texts different; kind None alternates over the three kinds."""
    rng, seen, sets = random.Random(f"{seed}-held-out"), set(), {}
    for name, (kind, number) in sizes.items():
        lines = sets[name] = []
        while len(lines) < number:
            words = draw_line(rng, kind or KINDS[len(lines) % len(KINDS)])
            if text_of(words) not in seen:
                seen.add(text_of(words))
                lines.append(words)
    return sets


def language_runs(words):
    """我 爱 cookie -> [("zh", [我, 爱]), ("en", [cookie])]"""
    runs = []
    for word in words:
        if not runs or runs[-1][0] != language(word):
            runs.append((language(word), []))
        runs[-1][1].append(word)
    return runs


def text_of(words):
    """Canonical text: no blank between Han, one blank between English words and where the languages meet."""
    return " ".join("".join(run) if name == "zh" else " ".join(run) for name, run in language_runs(words))


def language_of(words):
    """Returns the line's value in utt2lang: zh, en or zh-en."""
    return "-".join(name for name in ("zh", "en") if name in {language(word) for word in words})


def spoken(name, words):
    """What espeak-ng reads: pinyin with tone digits for Mandarin, so that no reading is left to its dictionary."""
    return " ".join(MANDARIN[word].replace("-", "") if name == "zh" else word for word in words)
