"""The route `speechio` beside the SpeechIO leaderboard's own scripts, and the speed of the routes in text/routes.

    git clone https://github.com/SpeechColab/Leaderboard
    python benchmarks/routes.py Leaderboard    (prints the tables of routes.md)

The lines are made on the spot with a seed. Mandarin and mixed lines pass utils/textnorm_zh.py with the options of
utils/benchmark.sh and are split into characters as utils/error_rate_zh does; English lines pass utils/textnorm_en.py.
Lines count as equal when both give the same tokens, case aside.
"""

import datetime
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from common import cpu_s_of_lines, head, machine, row

from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.text.routes import make_route

LINES, ENGLISH_LINES, SHOWN = 2000, 150, 3  # of each kind; the leaderboard's English grammar reads 4 lines a second
HAN = "我们今天在北京说了很多话他也去看电影可是没有时间学习中文因为那里的老师非常忙大家都想知道为什么会这样"
LATIN = "demo Python AI OK iPhone WiFi don't B2B P2P GDP CEO new York e-mail".split()
ENGLISH = (
    "the people said that they would go to a market and then walk home with their friends after work because it was "
    "late and nobody had seen the dog which lived in our small town"
).split()


def number(rng, size=None):
    return str(rng.randrange(10 ** (size or rng.randint(1, 9))))


MANDARIN = {
    "plain": [lambda r: ""],
    "cardinals and measure words": [lambda r: number(r) + r.choice("个张座条只年月日天块岁人克倍") for _ in "1"],
    "decimals, fractions, percent": [
        lambda r: f"{number(r, 3)}.{number(r, 2)}",
        lambda r: f"{number(r, 1)}/{number(r, 2)}",
        lambda r: f"{number(r, 2)}.{number(r, 1)}%",
        lambda r: f"{number(r, 2)}％",
    ],
    "dates and times": [
        lambda r: f"{r.randint(1900, 2029)}年{r.randint(1, 12)}月{r.randint(1, 31)}{r.choice('日号')}",
        lambda r: f"{r.randint(10, 99)}年",
        lambda r: f"{r.randint(1, 12):02}月{r.randint(1, 31):02}日",
        lambda r: f"{r.randint(0, 23)}:{r.randint(0, 59):02}",
        lambda r: f"{r.randint(0, 23)}点{r.randint(0, 59)}分",
    ],
    "money": [
        lambda r: f"{number(r, 4)}{r.choice(['元', '块', '万元', '亿', '多块', '千万'])}",
        lambda r: f"{number(r, 2)}块{number(r, 1)}",
        lambda r: f"{number(r, 3)}.{number(r, 1)}万元{number(r, 1)}角",
        lambda r: f"{r.randint(1, 99)},{r.randrange(1000):03}元",
    ],
    "telephones and codes": [
        lambda r: f"{r.choice(['', '+86 ', '86'])}1{r.choice('38')}{r.randrange(10**9):09}",
        lambda r: f"010-{r.randint(10**7, 10**8 - 1)}",
        lambda r: number(r, 6),
    ],
    "fillers and erhua": [
        lambda r: r.choice(["呃", "啊", "嗯"]) + r.choice(["，", ""]),
        lambda r: r.choice("哪这那花玩事孩女幼少孤") + "儿" + r.choice(["", "子", "童", "女", "歌"]),
        lambda r: r.choice(["婴幼儿", "托儿所", "新生儿", "鹿儿岛", "吊儿郎当"]),
    ],
    "mixed": [
        lambda r: r.choice(LATIN),
        lambda r: r.choice(["A", "H", "GPT-", "ＡＢＣ"]) + number(r, 2),
        lambda r: f"{r.choice(LATIN)} {number(r, 2)}",
    ],
    "full width and punctuation": [lambda r: r.choice("，。！？、；：“”‘’（）《》【】…—·～＆＃＠１２ａｂ")],
    "other symbols": [lambda r: number(r, 2) + r.choice("℃°€£¥×÷±→①½²♪")],
}
SPOKEN = {
    "plain": [lambda r: ""],
    "cardinals, ordinals, decimals": [
        lambda r: number(r, r.randint(1, 6)),
        lambda r: f"{r.randint(1, 9)},{r.randrange(1000):03}",
        lambda r: f"{number(r, 2)}.{number(r, 1)}",
        lambda r: r.choice(["1st", "2nd", "3rd", "11th", "21st"]),
        lambda r: f"{number(r, 2)}%",
    ],
    "money": [
        lambda r: f"${number(r, 3)}",
        lambda r: f"${r.randint(2, 99)}.{r.randint(10, 99)}",
        lambda r: f"${r.randint(2, 99)} million",
        lambda r: f"£{number(r, 2)}",
    ],
    "years, dates, times": [
        lambda r: f"in {r.randint(1700, 2029)}",
        lambda r: f"on {r.choice(['may', 'october', 'june'])} {r.randint(1, 28)}",
        lambda r: f"in the {r.randint(190, 199)}0s",
        lambda r: f"at {r.randint(1, 12)}:{r.randint(10, 59)}",
    ],
    "titles, units": [
        lambda r: r.choice(["mr. smith", "Mrs. Jones", "Dr. Brown", "St. Paul", "U.S.A.", "AT&T", "etc."]),
        lambda r: f"{r.randint(2, 99)} {r.choice(['km', 'kg', 'mph', 'cm'])}",
    ],
    "interjections, spelling, quotes": [
        lambda r: r.choice(["uh,", "um", "Hmm", "oh", "huh", "mhm"]),
        lambda r: r.choice(["colour", "organise", "travelled", "centre", "gauge", "grey"]),
        lambda r: r.choice(["don’t", "I'm", "'yes'", "o'clock", "rock 'n' roll", "parents'", "well-known"]),
    ],
}


def make_lines(rng, pieces, words, joint):
    """Lines of three pieces of a kind, with one to six words around each."""

    def run():
        return joint.join(rng.choices(words, k=rng.randint(1, 6)))

    count = ENGLISH_LINES if joint else LINES
    return [joint.join([run(), *(rng.choice(pieces)(rng) + joint + run() for _ in range(3))]) for _ in range(count)]


def their_mandarin(checkout, lines):
    sys.path.insert(0, str(checkout / "utils"))
    from textnorm_zh import TextNorm

    norm = TextNorm(to_banjiao=True, to_upper=True, remove_fillers=True, remove_erhua=True)
    return [list("".join(norm(line).split()).lower()) for line in lines]


def their_english(checkout, lines):
    """All lines in one call, since it takes half a minute to load its grammar."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "given"), Path(folder, "made")
        given.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        script = (checkout / "utils" / "textnorm_en.py").resolve()
        subprocess.run([sys.executable, script, "--to_upper", given, made], check=True)
        return [line.lower().split() for line in made.read_text(encoding="utf-8").split("\n")[:-1]]


KINDS = {
    "Mandarin and mixed": (MANDARIN, list(HAN), "", "zh", their_mandarin),
    "English": (SPOKEN, ENGLISH, " ", "en", their_english),
}


def compare(checkout, name, templates, words, joint, lang, theirs):
    """The tables of equal lines, and of some lines that differ."""
    rng, route, equal, total, examples = random.Random(4), make_route("speechio"), Counter(), Counter(), []
    lines = [(kind, line) for kind, pieces in templates.items() for line in make_lines(rng, pieces, words, joint)]
    for (kind, line), their in zip(lines, theirs(checkout, [line for _, line in lines]), strict=True):
        our = score_tokens(route.normalize(line, lang))
        for counted in (kind, "all"):
            equal[counted] += our == their
            total[counted] += 1
        if our != their and total[kind] - equal[kind] <= SHOWN:
            examples.append((kind, line, " ".join(our), " ".join(their)))
    head(name, "the same tokens")
    for kind in (*templates, "all"):
        row(kind, f"{equal[kind]:,} of {total[kind]:,}")
    head("differs", "line", "ours", "leaderboard")
    for example in examples:
        row(*example)


def speed(name, pieces, words, joint, lang):
    """Lines a second of CPU time: seen first, and seen before."""
    rng, route = random.Random(5), make_route(name)
    lines = [line for kind in pieces for line in make_lines(rng, kind, words, joint)]
    seconds = [cpu_s_of_lines(lambda line: route.normalize(line, lang), lines) for _ in range(3)]
    return f"{len(lines) / seconds[0]:,.0f}", f"{len(lines) / min(seconds[1:]):,.0f}"


def main(checkout):
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    print(f"{datetime.date.today()}; leaderboard at {commit.stdout.strip()}; {make_route('speechio')},")
    print(f"{make_route('whisper')}; {machine()}.", flush=True)
    for name, kind in KINDS.items():
        compare(checkout, name, *kind)
    head("lines/s", "seen first", "seen before")
    for name, (templates, words, joint, lang, _) in KINDS.items():
        plain, *others = templates.values()
        for route in ("speechio", "whisper"):
            row(f"{route}, {name}, plain", *speed(route, [plain], words, joint, lang))
            row(f"{route}, {name}, the other kinds", *speed(route, others, words, joint, lang))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
