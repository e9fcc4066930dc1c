"""The doctor: a healthy training passes all checks; each planted fault is found by the check that is for it alone."""

import math
from pathlib import Path

import pytest
import torch

from espnet_llmasr.bin import doctor
from espnet_llmasr.doctor.checks import CHECKS, findings
from espnet_llmasr.doctor.context import Context, entropy, examine, of_one_length
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.text.prompt import SPEECH_ID
from espnet_llmasr.train.preprocessor import PromptPreprocessor

SFT = dict(freeze_param=["encoder"])


@pytest.fixture()
def llm(llm_options, tmp_path):
    """(**configuration) -> the context of an SFT stage."""
    return lambda **conf: context_of(llm_options(tmp_path / "llm", **{**SFT, **conf}))


@pytest.fixture()
def ctc(phone_options, tmp_path):
    """(**configuration) -> the context of a pretraining."""
    return lambda **conf: context_of(phone_options(tmp_path / "ctc", **conf))


def context_of(options):
    _, config, *others = options
    return examine(Path(config), others)


def failed(context):
    """Names of the checks that fail."""
    return [name for name, finding in findings(context) if not finding.passed]


# ---- healthy -------------------------------------------------------------------------------------------------------


def test_a_healthy_pretraining(ctc):
    names = {name: finding for name, finding in findings(ctc())}
    assert list(names) == [name for name in CHECKS if name not in ("prompt", "end token", "adaptor")]
    assert all(finding.passed for finding in names.values()), names


def test_a_healthy_training_and_its_checkpoint(llm_options, capsys, tmp_path):
    """The command on the config.yaml that a training has written, with latest.pth beside it."""
    LLMASRTask.main(cmd=llm_options(tmp_path / "out", **SFT, max_epoch=1))
    before = (tmp_path / "out" / "latest.pth").read_bytes()
    assert doctor.main([str(tmp_path / "out" / "config.yaml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in lines] == ["pass  "] * (len(CHECKS) - 1), lines  # all but "frames"
    assert (tmp_path / "out" / "latest.pth").read_bytes() == before


def test_what_is_learned_by_heart_is_told_apart_by_sound_alone(llm, monkeypatch):
    """Not by length: an LLM can learn n utterances of n lengths by heart, and silence in place of each is no worse."""
    context, batch, lengths = llm(), Context.batch, []

    def record(self, rows=None):
        lengths.append({len(data["speech"]) for _, data in rows or self.rows})
        return batch(self, rows)

    monkeypatch.setattr(Context, "batch", record)
    assert CHECKS["adaptor"](context).passed and [*map(len, lengths)] == [1] * 4  # to learn, right, wrong, silence
    rows, labels = context.rows, sum(len(data["text"]) for _, data in context.rows)
    assert context.fit.losses[-1] <= entropy(rows) / labels / 2 < context.fit.losses[-2]
    found = of_one_length(rows)
    assert len({len(data["speech"]) for _, data in rows}) > 4 and len({len(data["speech"]) for _, data in found}) == 1
    for (_, data), (_, repeated) in zip(rows, found):
        samples = data["speech"]
        assert (repeated["speech"][: len(samples)] == samples).all()
        assert (
            repeated["speech"][len(samples) : 2 * len(samples)] == samples[: len(repeated["speech"]) - len(samples)]
        ).all()
    assert entropy([*rows, *rows]) == pytest.approx(2 * entropy(rows))
    assert entropy(rows[:1] * 3 + rows[1:2]) == pytest.approx(3 * math.log(4 / 3) + math.log(4))


# ---- faults --------------------------------------------------------------------------------------------------------


def test_loss_on_the_prompt(llm, monkeypatch):
    """What follows the speech in the prompt is put at the head of the transcript."""
    call = PromptPreprocessor.__call__

    def moved(self, uid, data):
        out = call(self, uid, data)
        place = out["prompt"].tolist().index(SPEECH_ID) + 1
        text = torch.tensor([*out["prompt"][place:], *out["text"]]).numpy()
        return {**out, "prompt": out["prompt"][:place], "text": text}

    monkeypatch.setattr(PromptPreprocessor, "__call__", moved)
    assert failed(llm()) == ["prompt"]


def test_an_end_token_that_is_no_target(llm, monkeypatch):
    call = PromptPreprocessor.__call__

    def cut(self, uid, data):
        out = call(self, uid, data)
        return {**out, "text": out["text"][:-1]}

    monkeypatch.setattr(PromptPreprocessor, "__call__", cut)
    assert failed(llm()) == ["end token"]


def test_an_adaptor_that_is_ignored(llm, monkeypatch):
    context = llm()
    forward = context.model.adaptor.forward
    monkeypatch.setattr(context.model.adaptor, "forward", lambda frames, lengths: forward(0 * frames, lengths))
    assert failed(context) == ["adaptor"]


def test_padding_that_is_seen(llm, monkeypatch):
    context = llm()
    forward = context.model.adaptor.forward
    seen = lambda frames, lengths: forward(frames, 0 * lengths + frames.size(1))
    monkeypatch.setattr(context.model.adaptor, "forward", seen)
    assert failed(context) == ["padding"]


@pytest.mark.parametrize("lr, remedy", [(10.0, "lower the learning rate"), (1e-11, "raise the learning rate")])
def test_a_wrong_learning_rate(llm, lr, remedy):
    schedule = dict(max_lr=lr, min_lr=lr / 10, total_steps=20, warmup_steps=5, warm_from_zero=True)
    found = {
        n: f for n, f in findings(llm(scheduler="exponentialdecaywarmup", scheduler_conf=schedule)) if not f.passed
    }
    assert list(found) == ["learning rate"] and remedy in found["learning rate"].remedy


def test_more_labels_than_frames(ctc, monkeypatch):
    context = ctc()
    table = context.table
    monkeypatch.setattr(context, "table", lambda *given: {**table(*given), "train_0": "b " * 20})
    assert failed(context) == ["frames"]


def test_masters_in_half_precision(llm):
    assert failed(llm(train_dtype="float16")) == ["masters"]


@pytest.mark.parametrize(
    "conf, message",
    [
        (dict(swap="every_epoch"), "swap has no effect without encoder_dir"),
        (dict(batch_size=7), "batch_size is not read by this training"),
        (dict(freeze_param=["encoder", "lmm"]), "freeze_param lmm is no part of the model"),
        (dict(specaug_conf=dict(p=0.5)), "specaug_conf has no effect without specaug"),
    ],
)
def test_an_option_without_effect(llm, conf, message):
    context = llm(**conf)
    assert CHECKS["options"](context).measured == message


def test_options_are_found_by_their_check_alone(ctc):
    assert failed(ctc(model_conf=dict(cr_scale=0.0, cr_warmup_batches=5))) == ["options"]


def test_a_training_that_cannot_learn(llm, monkeypatch):
    monkeypatch.setattr("espnet_llmasr.doctor.context.MAX_UPDATES", 20)
    context = llm()
    for parameter in context.trained.values():
        parameter.register_hook(torch.randn_like)
    assert failed(context) == ["overfit"]
