"""Speaks the miniature bilingual corpus with espeak-ng: python3 mini_zh_en.py --train_hours 5

Writes <data_dir>/{train,valid,cka,test_zh,test_en,test_cs}. The voices and the texts of the test sets, and the texts of
valid, do not occur in train; cka is the beginning of valid. A second run with the same options does nothing.

The vocabulary is closed, and sound determines spelling: no two Han characters share a syllable (tone apart), no two
English words sound alike, and no word has two readings. A recogniser that gets the phonemes right can write the line.
"""

import random

import espeak
import numpy as np
from espeak import SAMPLE_RATE_HZ, Espeak, load_library

from espnet_llmasr.cli import run
from espnet_llmasr.data.synthetic import AudioWriter, corpus_parser, make_in_chunks, make_once, silence
from espnet_llmasr.data.utterance import Utterance

SETS = ("train", "valid", "cka", "test_zh", "test_en", "test_cs")
TRAIN_VOICES = "m1 m2 m3 m4 m5 m7 m8 adam edward max michel quincy robert f1 Annie belinda shelby steph".split()
TEST_VOICES = "m6 john f4 grandma".split()  # as in training no voice with breath: its noise differs from run to run
ESPEAK_LANGUAGE = {"zh": "cmn-latn-pinyin", "en": "en-us"}
RATE_WPM = {"zh": 165, "en": 120}  # together about 8 phones a second
SPEED = (0.9, 1.1)
PITCH = (35, 65)
PITCH_RANGE = (35, 65)
PAUSE_S = (0.03, 0.1)  # where the languages meet
EDGE_S = (0.1, 0.25)
PEAK = (0.25, 0.9)
NOISE_LEVEL = (0.0002, 0.002)
MEAN_S = 1.78  # a training utterance, measured
CHUNK = 250  # utterances a process; part of the result, since espeak-ng's noise depends on what it said before

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


def get_parser():
    parser = corpus_parser(__doc__, "downloads/mini_zh_en")
    parser.add_argument("--train_hours", type=float, default=5.0)
    parser.add_argument("--num_valid", type=int, default=120)
    parser.add_argument("--num_cka", type=int, default=40, help="the first utterances of valid, for CKA")
    parser.add_argument("--num_test", type=int, default=100, help="utterances in each of the three test sets")
    return parser


def main():
    args = get_parser().parse_args()
    load_library()
    if args.train_hours <= 0 or args.nj < 1 or not 0 < args.num_cka <= args.num_valid or args.num_test < 1:
        raise ValueError("need train_hours > 0, nj >= 1, num_test >= 1 and 0 < num_cka <= num_valid")
    make_once(args, [__file__, espeak.__file__], SETS, lambda: make_sets(args))


def make_sets(args):
    """Writes the wavs; returns {set: utterances}."""
    lines = draw_sets(args)
    return {name: make_in_chunks(speak_chunk, args, name, lines[name], CHUNK) for name in lines}


def draw_sets(args):
    """Returns {set: lines}; a line is a list of words."""
    sizes = {f"test_{kind}": (kind, args.num_test) for kind in KINDS}
    sets = draw_held_out(args.seed, {"valid": (None, args.num_valid), **sizes})
    held_out = {text_of(words) for lines in sets.values() for words in lines}
    rng = random.Random(f"{args.seed}-train")
    num_train = round(args.train_hours * 3600 / MEAN_S)
    return {**sets, "train": [draw_training_line(rng, held_out) for _ in range(num_train)]}


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


def speak_chunk(task):
    """Speaks one chunk of lines in a process of its own; returns its utterances. `task` as in make_in_chunks."""
    audio_dir, name, seed, start, lines = task
    writer, synthesiser, utterances = AudioWriter(audio_dir), Espeak(), []
    for number, words in enumerate(lines, start):
        rng = random.Random(f"{seed}-{name}-{number}")
        voice = rng.choice(TEST_VOICES if name.startswith("test") else TRAIN_VOICES)
        samples = speak_line(synthesiser, words, voice, rng)
        key, duration_s = f"{voice}-{name}-{number:06d}", len(samples) / SAMPLE_RATE_HZ
        wav = writer.write(name, key, samples, SAMPLE_RATE_HZ)
        utterances.append(Utterance(key, wav, text_of(words), voice, language_of(words), duration=duration_s))
    return utterances


def speak_line(synthesiser, words, voice, rng):
    """Each language's part by its own voice of the same speaker, joined; float32, (num_samples,)."""
    speed, pitch, pitch_range = rng.uniform(*SPEED), rng.randint(*PITCH), rng.randint(*PITCH_RANGE)
    pieces = []
    for language, part in language_runs(words):
        pieces.append(silence(rng.uniform(*(PAUSE_S if pieces else EDGE_S)), SAMPLE_RATE_HZ))
        voice_name = f"{ESPEAK_LANGUAGE[language]}+{voice}"
        rate_wpm = round(RATE_WPM[language] * speed)
        samples = synthesiser.speak(spoken(language, part), voice_name, rate_wpm, pitch, pitch_range)
        pieces.append(samples / np.abs(samples).max())
    samples = np.concatenate([*pieces, silence(rng.uniform(*EDGE_S), SAMPLE_RATE_HZ)]) * rng.uniform(*PEAK)
    noise = np.random.default_rng(rng.getrandbits(64)).standard_normal(len(samples), dtype=np.float32)
    return samples + np.float32(rng.uniform(*NOISE_LEVEL)) * noise


if __name__ == "__main__":
    run(main)
