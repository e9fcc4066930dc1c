"""Encoders of other strides, ours and ESPnet's, from the preparation of data to swaps and the guard."""

import json
import sys
from types import SimpleNamespace

import pytest
import soundfile
import torch
import yaml
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.asr.encoder import Encoder
from espnet_llmasr.asr.encoders import ENCODERS
from espnet_llmasr.asr.modules import valid_frames
from espnet_llmasr.audio import Windows
from espnet_llmasr.bin import format_data, watch
from espnet_llmasr.encoder_swap.probe import build_probe
from espnet_llmasr.encoder_swap.store import EncoderStore
from espnet_llmasr.encoder_swap.trainer import swap_log
from espnet_llmasr.files import read_scp
from espnet_llmasr.guard.verifier import CTCVerifier
from espnet_llmasr.observe.encoders import open_checkpoint
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.text.inventories import read_tokens
from espnet_llmasr.train.speech_batches import read_audio


class Toy(Encoder):
    """Layers of their own for every window."""

    def __init__(self, input_size: int, width: int = 16):
        super().__init__()
        self.width, size = width, input_size * self.windows.size
        self.layers = nn.ModuleList([nn.Linear(size, width), nn.Linear(width, width), nn.Linear(width, width)])

    num_layers = 3

    def output_size(self):
        return self.width

    def forward_layers(self, xs_pad, ilens):
        frames = xs_pad[:, : self.longest(ilens)].unfold(1, self.windows.size, self.windows.shift).flatten(2)
        valid, outputs = valid_frames(self.output_lengths(ilens), frames), []
        for layer in self.layers:
            frames = layer(frames).tanh()
            outputs.append(frames.masked_fill(~valid[..., None], 0.0))
        return outputs

    def forward(self, xs_pad, ilens, prev_states=None):
        return self.forward_layers(xs_pad, ilens)[-1], self.output_lengths(ilens), None


class Stride2(Toy):
    windows = Windows(3, 2)


class Stride8(Toy):
    windows = Windows(11, 8)


BRANCHES = dict(output_size=32, num_blocks=3, attention_heads=2, linear_units=32, cgmlp_linear_units=32)
CASES = {  # name: (window, stride, layers, configuration)
    "stride2": (3, 2, 3, {}),
    "stride8": (11, 8, 3, dict(width=24)),
    "e_branchformer": (7, 4, 3, BRANCHES),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """The name of an encoder that can be chosen, its configuration, layers, and its frames for feature frames."""
    size, stride, layers, conf = CASES[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "toy_encoders", SimpleNamespace(Stride2=Stride2, Stride8=Stride8))
        patch.setitem(ENCODERS, "stride2", "toy_encoders.Stride2")
        patch.setitem(ENCODERS, "stride8", "toy_encoders.Stride8")
        options = dict(encoder=request.param, encoder_conf=conf)
        yield SimpleNamespace(
            options=options, layers=layers, stride=stride, frames=lambda n: len(range(0, n - size + 1, stride))
        )


@pytest.fixture(scope="module")
def head(case, phone_options, tmp_path_factory):
    """The folder of a pretraining with this encoder over the phones of zh_en."""
    out = tmp_path_factory.mktemp("pretrained") / "pretrain"
    tokens = out.parent / "phones.txt"
    tokens.write_text("".join(f"{token}\n" for token in read_tokens("zh_en")), encoding="utf-8")
    PhonemeCTCTask.main(cmd=phone_options(out, token_list=str(tokens), **case.options))
    return out


@pytest.fixture(scope="module")
def valid(corpus):
    """Samples of the validation set, and their feature frames."""
    rows = [torch.from_numpy(read_audio(*row, 16000)) for row in read_scp(corpus / "valid" / "wav.scp").items()]
    return rows, [1 + (len(row) - 400) // 160 for row in rows]


def test_preparation_drops_what_has_too_few_frames(case, tmp_path):
    config, data, fits = tmp_path / "encoder.yaml", tmp_path / "data", case.frames(98)
    config.write_text(yaml.safe_dump(case.options))
    data.mkdir()
    torch.manual_seed(0)
    soundfile.write(tmp_path / "a.wav", 0.1 * torch.randn(16000).numpy(), 16000)
    texts = {"fits": ["啊", "好"] * (fits // 4) + ["啊"] * (fits % 4 // 2), "crowded": ["啊", "好"] * fits}
    (data / "wav.scp").write_text("".join(f"{uid} {tmp_path}/a.wav\n" for uid in texts))
    (data / "text").write_text("".join(f"{uid} {''.join(text)}\n" for uid, text in texts.items()), encoding="utf-8")
    options = ["--data", data, "--out", tmp_path / "dump", "--tokens", tmp_path / "phones.txt"]
    format_data.main([*map(str, options), "--encoder_config", str(config)])
    assert read_scp(tmp_path / "dump" / "dropped.txt") == {"crowded": "too_few_frames"}


def test_probe_and_watcher(case, head, valid, corpus, tmp_path):
    model = PhonemeCTCTask.build_model(PhonemeCTCTask.config_of(head / "config.yaml"))
    probe = build_probe(model, corpus / "valid", max_frames=1000)
    expected = sorted(map(case.frames, valid[1]))
    utterances = list(probe.utterances(probe.encoder))
    assert all(len(layers) == case.layers == probe.encoder.num_layers for layers in utterances)
    assert sorted(len(layer) for layers in utterances for layer in layers) == sorted(expected * case.layers)
    assert probe.num_frames(probe.encoder) == sum(expected)
    options = dict(pretrain_dir=head, data_dir=corpus / "valid", encoder_dir=tmp_path, start_step=2, poll_s=0.05)
    watch.main([str(part) for name, value in options.items() for part in (f"--{name}", value)])
    (check,) = map(json.loads, (tmp_path / "cka.jsonl").read_text().splitlines())
    assert EncoderStore(tmp_path).final_step() == check["step"] == 4 and 0 <= check["nse"] <= 1


def test_swaps_and_observation_of_an_alignment(case, head, valid, llm_options, tmp_path):
    store = EncoderStore(tmp_path / "encoders")
    states = {}
    for epoch, step in ((1, 10), (2, 20)):
        state = torch.load(head / "latest.pth", weights_only=True)
        encoder = {name.removeprefix("encoder."): v for name, v in state.items() if name.startswith("encoder.")}
        states[step] = {name: value + 0.01 * epoch for name, value in encoder.items() if value.is_floating_point()}
        store.publish(step, {**encoder, **states[step]})
    schedule = tmp_path / "swaps.jsonl"
    swaps = [dict(epoch=1, encoder_step=10, previous_step=0), dict(epoch=2, encoder_step=20, previous_step=10)]
    schedule.write_text("".join(json.dumps(dict(swap, final=False)) + "\n" for swap in swaps))
    out = tmp_path / "ia_sft"
    options = llm_options(out, **case.options, freeze_param=["encoder"])
    LLMASRTask.main(cmd=[*options, "--encoder_dir", f"{store.directory}", "--swap_schedule", f"{schedule}"])
    assert [swap.encoder_step for swap in swap_log(out / "swaps.jsonl").read()] == [10, 20]
    trained = torch.load(out / "latest.pth", weights_only=True)
    assert all(trained[f"encoder.{name}"].equal(value) for name, value in states[20].items())
    look = open_checkpoint(out / "config.yaml", out / "latest.pth")
    for samples, count in zip(*valid):
        seen = look(samples)
        assert [len(layer) for layer in seen.layers] == [case.frames(count)] * case.layers
        assert len(seen.adaptor) == -(-case.frames(count) // 4)


def test_the_guard_is_the_same_alone_and_in_a_batch(case, head, valid):
    verifier, (rows, counts) = CTCVerifier(head / "config.yaml", head / "latest.pth"), valid
    assert verifier.frame_s == pytest.approx(0.01 * case.stride)
    together = verifier.log_probs(pad_sequence(rows, True), torch.tensor([len(row) for row in rows]))
    assert [len(log_probs) for log_probs in together] == list(map(case.frames, counts))
    for row, log_probs in zip(rows, together):
        (alone,) = verifier.log_probs(row[None], torch.tensor([len(row)]))
        torch.testing.assert_close(log_probs, alone, atol=1e-5, rtol=0)


def test_augmentation_asks_the_encoder(case, phone_options, tmp_path):
    options = phone_options(tmp_path / "out", **case.options, augment_conf=dict(speed=[0.9, 1.1]))
    augmentation = PhonemeCTCTask.build_augmentation(PhonemeCTCTask.get_parser().parse_args(options))
    assert [augmentation.output_lengths(n) for n in range(200)] == list(map(case.frames, range(200)))
