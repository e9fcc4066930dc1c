"""Hints of training utterances: what is said, what sounds alike, and prompts whose lengths are planned."""

import pytest

from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.train.hints import TrainingHints


@pytest.fixture()
def names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("Boston\ngarden\nharden\nBoston Common\nyellow\n南京\n")
    return path


def test_hints_are_the_entries_that_are_said(names):
    draw = TrainingHints(names, distractors=0.0)
    assert draw("a", "in boston") == ["Boston"] and draw("a", "boston common") == ["Boston Common"]
    assert sorted(draw("a", "garden 去 南京")) == ["garden", "南京"]
    assert draw("a", "nothing") == draw("a", "") == []


def test_distractors_sound_like_what_is_said_or_are_any(names):
    draw = TrainingHints(names, distractors=1.0)
    assert sorted(draw("a", "dear garden")) == ["garden", "harden"]
    assert draw("a", "yellow") == ["yellow"]  # nothing sounds like it
    anything = {word for number in range(50) for word in draw(str(number), "nothing")}
    assert len(anything) > 3 and anything <= set(draw.words)


def test_draws_depend_on_seed_and_id_alone(names):
    ids = [str(number) for number in range(200)]
    first, again, other = (TrainingHints(names, 0.5, seed) for seed in (0, 0, 1))
    drawn = [first(uid, "garden") for uid in ids]
    assert drawn == [again(uid, "garden") for uid in ids] != [other(uid, "garden") for uid in ids]
    assert 75 < sum("harden" in hints for hints in drawn) < 125 and all("garden" in hints for hints in drawn)
    assert any(hints[0] == "harden" for hints in drawn)


@pytest.mark.parametrize(
    "options, message", [({"distractors": 2}, "distractors 2, expected a probability"), ({}, "has no hotwords")]
)
def test_what_cannot_be_used(options, message, tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("")
    with pytest.raises(ValueError, match=message):
        TrainingHints(path, **options)
    with pytest.raises(ValueError, match="no file: give --hints file"):
        TrainingHints()


def test_a_batch_has_the_hints_that_were_planned(llm_options, load_batch, corpus, tmp_path):
    """The option changes the prompts, and only them; `label_lengths` gives their lengths."""
    path = tmp_path / "words.txt"
    path.write_text("yellow\nyellow cat\ngreen\n")
    options = llm_options(tmp_path / "x", hints={"file": str(path), "distractors": 0.8})
    args, plain = (LLMASRTask.get_parser().parse_args(each) for each in (options, llm_options(tmp_path / "y")))
    uids, batch = load_batch(LLMASRTask, args)
    _, without = load_batch(LLMASRTask, plain)
    texts = dict(line.split(maxsplit=1) for line in (corpus / "train" / "text").read_text().splitlines())
    planned = LLMASRTask.label_lengths(args, texts)["prompt_lengths"]
    assert [planned[uid] for uid in uids] == batch["prompt_lengths"].tolist()
    assert batch["prompt_lengths"].max() > without["prompt_lengths"].max()
    assert (batch["text"] == without["text"]).all() and (batch["speech"] == without["speech"]).all()
