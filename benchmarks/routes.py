"""The route `speechio` beside the SpeechIO leaderboard's own scripts, and the speed of the routes in text/routes.

    git clone https://github.com/SpeechColab/Leaderboard
    python benchmarks/routes.py Leaderboard

The lines are made on the spot with a seed. Mandarin and mixed lines pass utils/textnorm_zh.py with the options of
utils/benchmark.sh and are split into characters as utils/error_rate_zh does; English ones pass utils/textnorm_en.py.
Lines count as equal when both give the same tokens, case aside. Writes benchmarks/routes.md.
"""

import datetime
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from espnet_llmasr.text.normalize import score_tokens  # noqa: E402
from espnet_llmasr.text.routes import make_route  # noqa: E402

LINES, ENGLISH_LINES, SHOWN = 2000, 150, 3  # of each kind; the English grammar there reads 4 lines a second
KNOWN = """Known differences of `speechio`, all of them on purpose or without a library that would do it:

- Symbols: the score tokens drop °, ℃, €, emoji and the like; the leaderboard keeps what is not in its list of marks.
- The leaderboard drops utterances with an empty hypothesis and counts rates without them; here they are deletions.
- A line of a Mandarin set without any Han character in its reference is scored here as an English one, by words.
- English: a quote beside a blank ('yes', parents') stays in a word there; 18 spellings (gauge, gases, flyer); mhm;
  symbols and names of NeMo's long list (#5, 50/50, HVAC); Roman numerals; its table of contractions.

The English rewriting was made by looking at lines of these kinds, so its figures say nothing of other kinds.
"""
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


def compare(kinds, lines, ours, theirs):
    """Rows of the table and some lines that differ."""
    equal, examples = Counter(), []
    for kind, line, our, their in zip(kinds, lines, ours, theirs, strict=True):
        equal[kind] += our == their
        if our != their and sum(kind in example for example in examples) < SHOWN:
            examples.append(f"| {kind} | {line} | {' '.join(our)} | {' '.join(their)} |")
    rows = [f"| {kind} | {equal[kind]:,} of {total:,} |" for kind, total in Counter(kinds).items()]
    return rows + [f"| all | {sum(equal.values()):,} of {len(lines):,} |"], examples


def speed(name, pieces, words, joint, lang):
    """Lines a second of CPU time: seen first, and seen before."""
    rng, route = random.Random(5), make_route(name)
    lines = [line for kind in pieces for line in make_lines(rng, kind, words, joint)]
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        for line in lines:
            route.normalize(line, lang)
        seconds.append(time.process_time() - begin)
    return f"{len(lines) / seconds[0]:,.0f} | {len(lines) / min(seconds[1:]):,.0f}"


def sides(templates, words, joint, lang, theirs):
    """(kind of each line, lines, our tokens, their tokens)."""
    rng, route = random.Random(4), make_route("speechio")
    grouped = {kind: make_lines(rng, pieces, words, joint) for kind, pieces in templates.items()}
    kinds, lines = zip(*((kind, line) for kind, group in grouped.items() for line in group))
    return kinds, lines, [score_tokens(route.normalize(line, lang)) for line in lines], theirs(lines)


def report(checkout):
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    yield "# The routes `speechio` and `whisper`\n"
    yield "    git clone https://github.com/SpeechColab/Leaderboard\n    python benchmarks/routes.py Leaderboard\n"
    yield (
        f"{datetime.date.today()}; leaderboard at {commit.stdout.strip()}; {make_route('speechio')},\n"
        f"{make_route('whisper')}; one of {os.cpu_count()} {platform.machine()} cores; "
        f"Python {platform.python_version()}.\n"
    )
    yield KNOWN
    kinds = {
        "Mandarin and mixed": (MANDARIN, list(HAN), "", "zh", lambda lines: their_mandarin(checkout, lines)),
        "English": (SPOKEN, ENGLISH, " ", "en", lambda lines: their_english(checkout, lines)),
    }
    for name, kind in kinds.items():
        rows, examples = compare(*sides(*kind))
        yield "\n".join([f"| {name} | the same tokens |", "|---|---|", *rows, ""])
        yield "\n".join(["| differs | line | ours | leaderboard |", "|---|---|---|---|", *examples, ""])
    yield "| lines/s | seen first | seen before |\n|---|---|---|"
    for name, (templates, words, joint, lang, _) in kinds.items():
        for route in ("speechio", "whisper"):
            yield f"| {route}, {name}, plain | {speed(route, [templates['plain']], words, joint, lang)} |"
            numbers = [pieces for kind, pieces in templates.items() if kind != "plain"]
            yield f"| {route}, {name}, the other kinds | {speed(route, numbers, words, joint, lang)} |"


if __name__ == "__main__":
    lines = list(report(Path(sys.argv[1]).resolve()))
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
