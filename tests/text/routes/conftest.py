import random

import pytest

MARKS = "。，！？…—「」()[]<>{}%$€£¥°℃+-=/\\|@#&*^~`'’\"_.;: \u3000\t\r\n"
ODD = "\x00\x07\x1b\x7f\u200b\u200f\u202e\u2066\ufeff\ufffd\U0001f600\U0001f468\u200d\U0001f469ée\u0301ßİıΣ½²①Ⅳ㎏٣५𝟓豈𠮷〇々ーカ한"


@pytest.fixture(scope="session")
def odd_lines():
    """200 lines: empty, marks only, brackets, control characters, emoji, right to left, very long, all at random."""
    rng = random.Random(4)
    fixed = ["", " ", "\x00", "。", "()", "[", ">", "%", "$", "'", "شكرا ١٢٣", "שלום 5", "好" * 20_000 + "3"]
    fixed += ["9" * 10_000, "a" * 20_000, "儿" * 20_000, "呃啊" * 5_000, "2 2" * 1000, "$5% " * 500]
    alphabet = MARKS + ODD + "我们儿呃啊年个元万Aaz0123456789"
    return fixed + ["".join(rng.choices(alphabet, k=rng.randint(1, 30))) for _ in range(200 - len(fixed))]
