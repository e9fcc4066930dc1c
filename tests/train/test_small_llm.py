"""The tiny LLM's copying task: what it reads and where its loss falls."""

import itertools
import random

import pytest

from espnet_llmasr.asr.llm import load_tokenizer
from espnet_llmasr.text.prompt import IGNORE_ID, Prompt
from espnet_llmasr.train.small_llm import CopyTask

LINES = ["red cat", "你好 dog"]


@pytest.fixture()
def task(tiny_llm):
    return CopyTask(LINES, Prompt.render(load_tokenizer(tiny_llm / "tokenizer.json")), random.Random(0))


def test_labels_are_the_transcript_and_the_end_token(task):
    for _ in range(20):
        ids, labels = task.example()
        target = labels[labels != IGNORE_ID].tolist()
        assert ids[-len(target) :].tolist() == target and target[-1] == task.prompt.end_id
        assert labels[: -len(target)].eq(IGNORE_ID).all()


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_context_holds_the_text_with_each_token_so_many_times(task, repeats):
    task, counts = CopyTask(LINES, task.prompt, random.Random(0), repeats=repeats), set()
    for _ in range(50):
        ids, labels = task.example()
        target, place = labels[labels != IGNORE_ID].tolist()[:-1], task.prompt.ids.index(-1)
        repeated = ids[place : len(ids) - len(target) - 1 - (len(task.prompt.ids) - place - 1)].tolist()
        runs = [(token, len(list(same))) for token, same in itertools.groupby(repeated)]
        assert [token for token, _ in runs] == [token for token, _ in itertools.groupby(target)]
        if len(runs) == len(target):  # no token stands twice in the text itself
            counts.update(times for _, times in runs)
    assert counts == set(range(1, repeats + 1))


def test_batches_are_padded_without_loss(task):
    ids, mask, labels = task.batch(5)
    assert ids.shape == mask.shape == labels.shape and ids.min() >= 0
    assert labels[mask == 0].eq(IGNORE_ID).all() and mask.sum(1).min() < mask.size(1)


def test_random_texts_mix_scripts(task):
    texts = [task.text() for _ in range(200)]
    assert any(text in LINES for text in texts) and any(text not in LINES for text in texts)
    assert all(text == " ".join(text.split()) for text in texts)


def test_a_share_of_the_examples_is_plain_text_as_often_as_it_occurs(task):
    plain = ["red cat"] * 9 + ["dog dog"]
    mixed = CopyTask(LINES, task.prompt, random.Random(0), plain, plain_share=0.5)
    texts = [ids.tolist() for ids, labels in (mixed.example() for _ in range(2000)) if ids.equal(labels)]
    assert 900 < len(texts) < 1100
    assert 0.05 < texts.count(task.prompt.target("dog dog")) / len(texts) < 0.15
    assert all(ids in map(task.prompt.target, set(plain)) for ids in texts)
