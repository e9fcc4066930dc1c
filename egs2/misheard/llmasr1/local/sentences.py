"""Sentences in which a fluent guess is wrong: a small grammar of strong habits, and the words that break them.

Every habit ("the baker sells fresh ...") has a frequent end ("bread") and a rare one that sounds almost alike
("thread"). Names and towns are frequent or rare, too, and homophones (ate and eight, for and four, hour and our, knight
and night, son and sun, to and two; won and the digit one) are told apart by their context alone. `rare` is the chance
of the rare word at each such place. A line is a list of words.
"""

HABITS = [  # beginning, frequent end, rare end
    tuple(part.strip() for part in line.split("|"))
    for line in """
    the baker sells fresh | bread | thread
    the farmer feeds the | cows | crows
    the doctor helps the | child | shield
    the singer loves the | song | swan
    the child drinks cold | milk | silk
    the pilot lands the | plane | plate
    my mother bakes a | cake | snake
    my father drives the | car | cart
    my sister wears a | coat | goat
    the cat chases the | mouse | moose
    the boy climbs the | tree | tray
    the knight rides the | horse | house
    """.strip().splitlines()
]
NAMES = "peter mary john anna".split(), "rita harry joan hannah".split()
TOWNS = "london paris boston".split(), "lisbon dallas austin".split()
WHEN = ["every day", "at night"], ["every hour", "at eight"]
THINGS = "apples eggs".split(), "pears legs".split()
PERSON = ["son"], ["sun"]
NUMBERS = "two four eight".split()
CARRIERS = ["the code is", "call me at", "my number is"]
DIGITS = (2, 3, 4)
LOOSE = (1, 2, 2, 3)  # words


def draw_sentence(rng, rare):
    """One whole sentence of 5 to 10 words; `rare` is the chance of a rare word wherever there is one."""

    def pick(common, unusual):
        return rng.choice(unusual if rng.random() < rare else common)

    kind = rng.choices(("habit", "trip", "need", "meet", "win"), (6, 1, 1, 1, 1))[0]
    if kind == "habit":
        beginning, common, unusual = rng.choice(HABITS)
        line = f"{beginning} {pick([common], [unusual])}"
        line = f"{pick(*NAMES)} knows {line}" if rng.random() < 0.2 else line
        line = f"{line} {pick(*WHEN)}" if rng.random() < 0.6 else line
    elif kind == "trip":
        line = f"{pick(*NAMES)} {rng.choice(['went', 'flew'])} to {pick(*TOWNS)} {pick(*WHEN)}"
    elif kind == "need":
        line = f"we need {rng.choice(NUMBERS)} {pick(*THINGS)} for our {pick(*PERSON)}"
    elif kind == "meet":
        line = f"{pick(*NAMES)} and {pick(*NAMES)} meet in {pick(*TOWNS)} {pick(*WHEN)}"
    else:
        line = f"{pick(*NAMES)} {rng.choice(['won', 'ate'])} {rng.choice(NUMBERS)} {pick(*THINGS)} in {pick(*TOWNS)}"
    return line.split()


def draw_loose(rng):
    """One to three words of any kind, freely combined: what a recogniser must hear, since nothing can be guessed."""
    return [rng.choice(WORDS) for _ in range(rng.choice(LOOSE))]


def draw_carrier(rng):
    """The words before a string of digits, and how many digits follow."""
    return rng.choice(CARRIERS).split(), rng.choice(DIGITS)


def _words():
    parts = [" ".join(line) for line in HABITS]
    parts += [" ".join(words) for group in (NAMES, TOWNS, WHEN, THINGS, PERSON) for words in group]
    parts += [*NUMBERS, *CARRIERS, "knows went flew to we need for our and meet in won ate"]
    return sorted({word for part in parts for word in part.split()})


WORDS = _words()
"""All words but the digits that only FSDD says."""
