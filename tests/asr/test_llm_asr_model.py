"""The LLM-ASR model: independence of batch mates, where the loss falls, what stays frozen."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.asr.adaptor import ConcatAdaptor
from espnet_llmasr.asr.llm import build_llm, load_tokenizer
from espnet_llmasr.tasks.llm_asr import LLMASRTask

NAMES = ("speech", "prompt", "text")


@pytest.fixture(scope="module")
def model_args(llm_options, build_model, tmp_path_factory):
    return build_model(LLMASRTask, llm_options(tmp_path_factory.mktemp("m") / "x"))


@pytest.fixture()
def model(model_args):
    for parameter in model_args[0].parameters():
        parameter.requires_grad = True
    return model_args[0].eval()


@pytest.fixture(scope="module")
def batch(model_args, load_batch):
    return load_batch(LLMASRTask, model_args[1])[1]


@pytest.fixture()
def seen(model):
    """The logits (1, n, V) of the LLM in every forward pass: those from which the n target tokens are predicted."""
    calls = []

    def record(module, inputs, output):
        output.logits.requires_grad_(True)
        if not output.logits.is_leaf:
            output.logits.retain_grad()
        calls.append(output.logits)

    hook = model.llm.register_forward_hook(record)
    yield calls
    hook.remove()


def labels_of(logits):
    """(n,) the labels of a loss, from its gradient (softmax minus one-hot)."""
    assert (logits.grad[0].abs().sum(-1) > 0).all()
    return logits.grad[0].argmin(-1)


def alone(batch, row):
    """One utterance of a batch without padding."""
    single = {}
    for name in NAMES:
        length = batch[f"{name}_lengths"][row : row + 1]
        single |= {name: batch[name][row : row + 1, : int(length)], f"{name}_lengths": length}
    return single


def test_lengths_differ_much(batch):
    assert len(batch["speech"]) == 8
    assert batch["speech_lengths"].max() > 5 * batch["speech_lengths"].min()


def test_encoder_and_adaptor_of_a_batch_equal_one_by_one(model, batch):
    with torch.no_grad():
        tokens, lengths = model.embed_speech(batch["speech"], batch["speech_lengths"])
        for row in range(8):
            single, n = model.embed_speech(*(alone(batch, row)[name] for name in ("speech", "speech_lengths")))
            assert n.tolist() == [lengths[row]]
            torch.testing.assert_close(tokens[row, : lengths[row]], single[0], atol=1e-5, rtol=0)


def test_training_forward_of_a_batch_equals_one_by_one(model, batch, seen):
    loss, _, weight = model(**batch)
    singles = [model(**alone(batch, row)) for row in range(8)]
    sum([loss, *(single for single, *_ in singles)]).sum().backward()
    together, *rows = seen
    torch.testing.assert_close(together, torch.cat(rows, 1), atol=1e-5, rtol=0)
    assert labels_of(together).equal(torch.cat([labels_of(single) for single in rows]))
    total = sum(float(single.detach() * tokens) for single, _, tokens in singles)
    assert float(weight) == sum(float(tokens) for *_, tokens in singles)
    assert total / float(weight) == pytest.approx(float(loss.detach()), abs=1e-5)


def test_what_fills_the_padding_does_not_matter(model, batch):
    noisy = dict(batch)
    for name in NAMES:
        padding = torch.arange(batch[name].size(1)) >= batch[f"{name}_lengths"][:, None]
        noisy[name] = batch[name].masked_fill(padding, 5)
    with torch.no_grad():
        torch.testing.assert_close(model(**noisy)[0], model(**batch)[0], atol=1e-6, rtol=0)


def test_loss_only_on_transcript_and_end_token(model, batch, seen):
    """Which places of the LLM they are predicted at is what `test_equation_5_by_hand` shows."""
    loss, stats, weight = model(**batch)
    loss.sum().backward()
    targets = [row[:n] for row, n in zip(batch["text"], batch["text_lengths"])]
    assert labels_of(seen[0]).equal(torch.cat(targets)) and float(weight) == sum(map(len, targets))
    assert len({int(target[-1]) for target in targets}) == 1  # the end token


def test_equation_5_by_hand(model, batch):
    """Eq. 5: the loss is the mean of -log p(token | speech, earlier tokens), here from single prefixes, unmasked."""
    single, total = alone(batch, 0), 0.0
    with torch.no_grad():
        tokens, _ = model.embed_speech(single["speech"], single["speech_lengths"])
        embed, prompt = model.llm.get_input_embeddings(), single["prompt"][0].tolist()
        place = prompt.index(-1)
        before, after = (embed(torch.tensor([part])) for part in (prompt[:place], prompt[place + 1 :]))
        for number, token in enumerate(single["text"][0].tolist()):
            prefix = torch.cat([before, tokens, after, embed(single["text"][:, :number])], 1)
            total -= float(model.llm(inputs_embeds=prefix).logits[0, -1].log_softmax(-1)[token])
        assert float(model(**single)[0]) == pytest.approx(total / single["text"].size(1), abs=1e-5)


def test_speech_matters_and_the_transcript_is_not_seen_ahead(model, batch, seen):
    single = alone(batch, 1)
    later = dict(single, text=single["text"].clone())
    later["text"][0, -2] = 7
    with torch.no_grad():
        for case in (single, later, dict(single, speech=single["speech"].flip(1))):
            model(**case)
    first, changed, other = seen
    assert first[0, :-1].equal(changed[0, :-1]) and not first[0, -1].equal(changed[0, -1])
    assert not torch.allclose(first[0, 0], other[0, 0])


# ---- frozen modules ------------------------------------------------------------------------------------------------


def test_frozen_modules_are_deterministic_and_unchanged_in_training(model, batch):
    for module in (model.encoder, model.llm):
        module.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.1)
    frames = []
    for _ in range(3):
        model.train()
        frames.append(model.encode(batch["speech"], batch["speech_lengths"])[0])
        loss = model(**batch)[0].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert model.training and model.adaptor.training and not model.encoder.training and not model.llm.training
    assert frames[0].equal(frames[1]) and frames[0].equal(frames[2]) and not frames[0].requires_grad
    after = model.state_dict()
    changed = {name.split(".")[0] for name in before if not before[name].equal(after[name])}
    assert changed == {"adaptor"}
    model.load_state_dict(before)


def test_a_trained_encoder_has_dropout(model, batch):
    """The counter-check: it is the freezing that makes the frames repeat."""
    model.train()
    first, second = (model.encode(batch["speech"], batch["speech_lengths"])[0] for _ in range(2))
    assert not first.equal(second) and first.requires_grad


# ---- SpecAugment: masks what the encoder gets in training, and nothing in eval mode ---------------------------------


@pytest.fixture(scope="module")
def models(llm_options, build_model, load_batch, tmp_path_factory):
    """A model without and one with SpecAugment, of equal weights, and a batch."""
    out = tmp_path_factory.mktemp("specaug")
    plain, args = build_model(LLMASRTask, llm_options(out / "plain"))
    masked, _ = build_model(LLMASRTask, llm_options(out / "masked", specaug="masks"))
    masked.load_state_dict(plain.state_dict())
    assert plain.specaug is None and masked.specaug is not None
    return plain, masked, load_batch(LLMASRTask, args)[1]


def encode(model, batch):
    """What the encoder gets, (B, T, F), and what it makes of it, (B, T', D)."""
    inputs = []
    hook = model.encoder.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    with torch.no_grad():
        frames, _ = model.encode(batch["speech"], batch["speech_lengths"])
    hook.remove()
    return inputs[0], frames


@pytest.mark.parametrize("frozen", [False, True])
def test_masks_are_drawn_in_training_whether_the_encoder_is_frozen_or_not(models, frozen):
    plain, masked, batch = models
    masked.encoder.requires_grad_(not frozen)
    clean, _ = encode(plain.train(), batch)
    torch.manual_seed(0)
    first, second = (encode(masked.train(), batch)[0] for _ in range(2))
    assert not first.equal(second)
    changed = first != clean
    rows = [row for row in range(8) if changed[row].any()]
    assert len(rows) > 4
    for row in rows:
        assert not changed[row].all() and len(first[row][changed[row]].unique()) == 1  # a mask has one value


@pytest.mark.parametrize("left_in_training", [False, True])
def test_nothing_is_masked_in_eval_mode(models, left_in_training):
    """It is the model's mode that counts, not the mask's own."""
    plain, masked, batch = models
    clean, frames = encode(plain.eval(), batch)
    masked.eval().specaug.train(left_in_training)
    for _ in range(2):
        feats, result = encode(masked, batch)
        assert feats.equal(clean) and result.equal(frames)


# ---- parts ---------------------------------------------------------------------------------------------------------


def test_adaptor_keeps_the_tail_and_ignores_padding():
    torch.manual_seed(0)
    adaptor = ConcatAdaptor(6, 5)
    rows = [torch.randn(n, 6) for n in (1, 4, 5, 11)]
    lengths = torch.tensor([len(row) for row in rows])
    out, out_lengths = adaptor(pad_sequence(rows, True, padding_value=9.0), lengths)
    assert out_lengths.tolist() == [1, 1, 2, 3]
    for row, hidden, n in zip(rows, out, out_lengths):
        padded = torch.cat([row, torch.zeros(-len(row) % 4, 6)]).reshape(-1, 24)
        expected = adaptor.linear2(adaptor.linear1(padded).clamp(min=0))
        torch.testing.assert_close(hidden[:n], expected, atol=1e-6, rtol=0)


def test_llm_files_must_be_given(tiny_llm, tmp_path):
    with pytest.raises(ValueError, match="config.json .*LLM-preparation"):
        build_llm(tmp_path / "config.json")
    with pytest.raises(ValueError, match="tokenizer.json"):
        load_tokenizer(tiny_llm / "config.json")
    assert build_llm(tiny_llm / "config.json").dtype == torch.float32


def test_the_loaded_tokenizer_is_the_trained_one(tiny_llm):
    from tokenizers import Tokenizer

    trained, loaded = Tokenizer.from_file(str(tiny_llm / "tokenizer.json")), load_tokenizer(tiny_llm / "tokenizer.json")
    for text in ("red cat", "你好 green天气", "don't  Stop 1234"):
        assert loaded(text, add_special_tokens=False)["input_ids"] == trained.encode(text, add_special_tokens=False).ids
        assert loaded.decode(trained.encode(text).ids) == text
