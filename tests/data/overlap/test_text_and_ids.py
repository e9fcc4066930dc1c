import pytest

from espnet_llmasr.data.overlap.sets import published
from espnet_llmasr.data.overlap.text_index import TextIndex

LINE = "the north wind and the sun were disputing which was the stronger when a traveler came along"
WORDS = LINE.split()


@pytest.fixture
def index():
    texts = TextIndex()
    lines = (LINE, "yes", "今天天气非常好啊", "今天天气很好啊", LINE.upper() + "!")
    assert [texts.add(line) for line in lines] == [0, 1, 2, 3, 0]
    return texts


def kinds(index, text):
    return [(match.sentence, match.kind, round(match.shared, 3)) for match in index.find(text)]


def test_equal_lines_of_six_words_or_eight_characters(index):
    assert kinds(index, "The north wind, and the sun " + " ".join(WORDS[6:])) == [(0, "same", 1.0)]
    assert kinds(index, "Yes.") == [(1, "short", 1.0)]
    assert kinds(index, "今天 天气，非常好啊") == [(2, "same", 1.0)]  # 8 characters
    assert kinds(index, "今天天气很好啊") == [(3, "short", 1.0)]  # 7
    assert kinds(index, "") == kinds(index, "something else that nobody has ever said in a test set before") == []


@pytest.mark.parametrize("first", range(7))
def test_every_run_of_ten_tokens_is_found(index, first):
    """The test sentence has 17 words, so 10 of them are most of it, wherever they begin."""
    run = WORDS[first : first + 10]
    assert len(WORDS) == 17
    assert kinds(index, " ".join(run)) == [(0, "part", round(10 / 17, 3))]
    assert kinds(index, " ".join(["before"] * 3 + run + ["after"] * 3)) == [(0, "part", round(10 / 17, 3))]
    assert kinds(index, " ".join(run[:9])) == []


def test_a_sentence_inside_a_long_line_and_a_short_share_of_both(index):
    other = [f"word{i}" for i in range(30)]
    assert kinds(index, " ".join([*other, *WORDS, *other])) == [(0, "part", 1.0)]
    longer = TextIndex()
    longer.add(" ".join(WORDS + other))
    assert kinds(longer, " ".join(WORDS[:11] + ["x"] * 20)) == [(0, "similar", round(11 / 47, 3))]


def test_equal_hashes_are_verified(index):
    index._grams = dict.fromkeys([hash(tuple(f"w{i}" for i in range(n, n + 8))) for n in range(5)], [(0, 0)])
    assert kinds(index, " ".join(f"w{i}" for i in range(12))) == []


def test_a_phrase_of_many_sentences_proposes_only_some():
    texts = TextIndex()
    for number in range(100):
        texts.add(f"{LINE} {number}")
    assert len(kinds(texts, f"{LINE} once")) == 16
    assert (99, "same", 1.0) in kinds(texts, f"{LINE} 99")


@pytest.mark.parametrize(
    "one, other, equal",
    [
        ("ascend_12-00001", "ascend_12_00001", True),
        ("ascend_12-00001", "ascend_12-00002", False),
        ("ascend_12-00001", "wenetspeech_12-00001", False),
        ("wsyue_eval_abc_7", "wenetspeech_yue_abc-7", True),
        ("wsyue_eval_abc_7", "wenetspeech_abc-7", False),
        ("own_1-2", "own_1-2", True),
        ("own_1-2", "other_1-2", False),
    ],
)
def test_ids_match_inside_a_corpus_only(one, other, equal):
    corpora = ("ascend", "wenetspeech", "wenetspeech_yue", "wsyue_eval", "librispeech")
    assert (published(one, corpora) == published(other, corpora)) == equal
