"""The route `speechio` beside the SpeechIO leaderboard's own scripts, and the speed of the routes in text/routes.

    git clone https://github.com/SpeechColab/Leaderboard
    python benchmarks/routes.py Leaderboard    (prints the tables of routes.md)

The lines are made on the spot with a seed. Mandarin and mixed lines pass utils/textnorm_zh.py with the options of
utils/benchmark.sh and are split into characters as utils/error_rate_zh does; English lines pass utils/textnorm_en.py.
Lines count as equal when both give the same tokens, case aside.
"""

import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from itertools import product
from pathlib import Path

from common import cpu_s, machine, table

from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.text.routes import make_route

LINES, ENGLISH_LINES, SHOWN = 2000, 150, 3  # of each kind; the leaderboard's English grammar reads 4 lines a second
HAN = "我们今天在北京说了很多话他也去看电影可是没有时间学习中文因为那里的老师非常忙大家都想知道为什么会这样"
LATIN = "demo|Python|AI|OK|iPhone|WiFi|don't|B2B|P2P|GDP|CEO|new|York|e-mail"
ENGLISH = (
    "the people said that they would go to a market and then walk home with their friends after work because it was "
    "late and nobody had seen the dog which lived in our small town"
).split()


# Two blanks stand between the pieces of a kind. {a-b} is a number from a to b, with as many digits as a has; {a|b|c} is
# one of these; {#} is any number.
MANDARIN = {
    "plain": "",
    "cardinals and measure words": "{#}{个|张|座|条|只|年|月|日|天|块|岁|人|克|倍}",
    "decimals, fractions, percent": "{0-999}.{0-99}  {0-9}/{0-99}  {0-99}.{0-9}%  {0-99}％",
    "dates and times": "{1900-2029}年{1-12}月{1-31}{日|号}  {10-99}年  {01-12}月{01-31}日  {0-23}:{00-59}  {0-23}点{0-59}分",
    "money": "{0-9999}{元|块|万元|亿|多块|千万}  {0-99}块{0-9}  {0-999}.{0-9}万元{0-9}角  {1-99},{000-999}元",
    "telephones and codes": "{|+86 |86}1{3|8}{000000000-999999999}  010-{10000000-99999999}  {0-999999}",
    "fillers and erhua": "{呃|啊|嗯}{，|}  {哪|这|那|花|玩|事|孩|女|幼|少|孤}儿{|子|童|女|歌}  {婴幼儿|托儿所|新生儿|鹿儿岛|吊儿郎当}",
    "mixed": "{LATIN}  {A|H|GPT-|ＡＢＣ}{0-99}  {LATIN} {0-99}",
    "full width and punctuation": "{，|。|！|？|、|；|：|“|”|‘|’|（|）|《|》|【|】|…|—|·|～|＆|＃|＠|１|２|ａ|ｂ}",
    "other symbols": "{0-99}{℃|°|€|£|¥|×|÷|±|→|①|½|²|♪}",
}
SPOKEN = {
    "plain": "",
    "cardinals, ordinals, decimals": "{0-999999}  {1-9},{000-999}  {0-99}.{0-9}  {1st|2nd|3rd|11th|21st}  {0-99}%",
    "money": "${0-999}  ${2-99}.{10-99}  ${2-99} million  £{0-99}",
    "years, dates, times": "in {1700-2029}  on {may|october|june} {1-28}  in the {190-199}0s  at {1-12}:{10-59}",
    "titles, units": "{mr. smith|Mrs. Jones|Dr. Brown|St. Paul|U.S.A.|AT&T|etc.}  {2-99} {km|kg|mph|cm}",
    "interjections, spelling, quotes": "{uh,|um|Hmm|oh|huh|mhm}  {colour|organise|travelled|centre|gauge|grey}  "
    "{don’t|I'm|'yes'|o'clock|rock 'n' roll|parents'|well-known}",
}


def drawn(rng, braces):
    """What stands for a match of {...}."""
    if braces[1] == "#":
        return str(rng.randrange(10 ** rng.randint(1, 9)))
    if numbers := re.fullmatch(r"(\d+)-(\d+)", braces[1]):
        return f"{rng.randint(int(numbers[1]), int(numbers[2])):0{len(numbers[1])}}"
    return rng.choice(braces[1].replace("LATIN", LATIN).split("|"))


def make_lines(rng, pieces, words, joint):
    """Lines of three pieces of a kind, with one to six words around each."""
    pieces = pieces.split("  ")
    for _ in range(ENGLISH_LINES if joint else LINES):
        filled = ["", *(re.sub(r"\{(.*?)\}", partial(drawn, rng), rng.choice(pieces)) for _ in range(3))]
        runs = (rng.choices(words, k=rng.randint(1, 6)) for _ in filled)
        yield joint.join(part for piece, run in zip(filled, runs) for part in (*([piece] if piece else []), *run))


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
    table((name, "the same tokens"), ((kind, f"{equal[kind]:,} of {total[kind]:,}") for kind in (*templates, "all")))
    table(("differs", "line", "ours", "leaderboard"), examples)


def speed():
    """Lines a second of CPU time: seen first, and seen before."""
    for name, (templates, words, joint, lang, _) in KINDS.items():
        plain, *others = templates.values()
        parts = {"plain": [plain], "the other kinds": others}
        for route_name, part in product(("speechio", "whisper"), parts):
            rng, route = random.Random(5), make_route(route_name)
            lines = [line for kind in parts[part] for line in make_lines(rng, kind, words, joint)]
            seconds = [cpu_s(lambda: [route.normalize(line, lang) for line in lines])[0] for _ in range(3)]
            first, again = len(lines) / seconds[0], len(lines) / min(seconds[1:])
            yield f"{route_name}, {name}, {part}", f"{first:,.0f}", f"{again:,.0f}"


def main(checkout):
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    print(f"{machine()}; leaderboard at {commit.stdout.strip()};")
    print(f"{make_route('speechio')}, {make_route('whisper')}.", flush=True)
    for name, kind in KINDS.items():
        compare(checkout, name, *kind)
    table(("lines/s", "seen first", "seen before"), speed())


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
