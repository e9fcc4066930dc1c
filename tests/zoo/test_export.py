"""Exported packs: ONNX Runtime computes what torch does, and the files alone transcribe alike."""

import io
import json
import shutil
from contextlib import redirect_stdout
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from espnet_llmasr import Speech2Text
from espnet_llmasr.asr.adaptor import ConcatAdaptor
from espnet_llmasr.asr.cr_ctc import CTCHead
from espnet_llmasr.asr.encoders import encoder_class
from espnet_llmasr.asr.fbank import KaldiFbank
from espnet_llmasr.asr.llm import load_tokenizer
from espnet_llmasr.asr.phoneme_ctc_model import PhonemeCTCModel
from espnet_llmasr.bin import export as export_command
from espnet_llmasr.bin import pack as pack_command
from espnet_llmasr.guard.verifier import CTCVerifier
from espnet_llmasr.inference.search import before_end
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.text.prompt import PROMPT_FILE, SPEECH_ID, Prompt
from espnet_llmasr.zoo.export import Graph, compare, graphs_of, write_graph
from espnet_llmasr.zoo.load import load

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
kaldi_native_fbank = pytest.importorskip("kaldi_native_fbank")

NOISE = 0.02 * np.random.default_rng(0).standard_normal(24000)
TONE = (0.1 * np.sin(np.arange(24000) / 7) + NOISE).astype(np.float32)  # 1.5 s


def head_on_encoder_of(llm_model, ctc_head, out):
    """A CTC head whose encoder is that of the model, as after stage 10: the folder of its training."""
    shutil.copytree(ctc_head, out)
    own, model = (
        torch.load(out / "latest.pth", weights_only=True),
        torch.load(llm_model / "1epoch.pth", weights_only=True),
    )
    shared = {name: value for name, value in model.items() if name.startswith(("encoder.", "normalize."))}
    torch.save({**own, **shared}, out / "latest.pth")
    return out


@pytest.fixture(scope="module")
def packs(llm_model, ctc_head, tmp_path_factory):
    """Two packs: whose CTC head shares the encoder of the model, and whose head has one of its own."""
    root = tmp_path_factory.mktemp("packs")
    heads = {"shared": head_on_encoder_of(llm_model, ctc_head, root / "head"), "own": ctc_head}
    for name, head in heads.items():
        words = ["--llm_asr_train_config", llm_model / "config.yaml", "--llm_asr_model_file", llm_model / "1epoch.pth"]
        words += ["--ctc_train_config", head / "config.yaml", "--ctc_model_file", head / "latest.pth"]
        pack_command.main([*map(str, [*words, "--out", root / name])])
    return root


@pytest.fixture(scope="module")
def exported(packs):
    """The folder of an export: one graph for both heads."""
    with redirect_stdout(io.StringIO()) as printed:
        export_command.main([str(packs / "shared"), str(packs / "exported")])
    assert printed.getvalue() == f"{packs / 'exported'}\n"
    return packs / "exported"


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def kaldi_features(samples) -> np.ndarray:
    """(N,) in [-1, 1] -> (T, 80) as docs/export.md says, by another library."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither, options.mel_opts.num_bins = 0, 80
    fbank = kaldi_native_fbank.OnlineFbank(options)
    fbank.accept_waveform(16000, (samples * 32768).tolist())
    fbank.input_finished()
    return np.stack([fbank.get_frame(number) for number in range(fbank.num_frames_ready)])


def test_the_files_alone_transcribe_as_the_pack(packs, exported):
    """ONNX Runtime, the prompt, and transformers' greedy search on the folder llm."""
    model = Speech2Text.from_pretrained(packs / "shared", guard="off", beam_size=1)
    feats, lengths = model.model.frontend(torch.from_numpy(TONE)[None], np.array([len(TONE)]))
    (speech,) = session(exported / "speech.onnx").run(["speech_embeddings"], {"x": feats.numpy(), "x_len": lengths})
    prompt = Prompt.read(load_tokenizer(exported / "llm/tokenizer.json"), exported / "llm" / PROMPT_FILE)
    llm = AutoModelForCausalLM.from_pretrained(exported / "llm", dtype=torch.float32)
    place = prompt.ids.index(SPEECH_ID)
    before, after = (
        llm.get_input_embeddings()(torch.tensor([ids], dtype=torch.int64))
        for ids in (prompt.ids[:place], prompt.ids[place + 1 :])
    )
    embedded = torch.cat([before, torch.from_numpy(speech), after], 1)
    ids = llm.generate(
        inputs_embeds=embedded,
        attention_mask=torch.ones(embedded.shape[:2], dtype=torch.int64),
        do_sample=False,
        max_new_tokens=int(model.options.limits([len(TONE) / 16000])[0]) - 1,
        eos_token_id=prompt.end_id,
        pad_token_id=prompt.end_id,
    )
    assert prompt.decode(before_end(ids[0].tolist(), prompt.end_id)) == model(TONE)[0][0] != ""


def test_log_probs_are_those_of_the_guard(packs, exported):
    verifier = CTCVerifier(packs / "shared/ctc_config.yaml", packs / "shared/ctc.safetensors")
    expected = verifier.log_probs(torch.from_numpy(TONE)[None], np.array([len(TONE)]))[0]
    feats = kaldi_features(TONE)
    found = session(exported / "speech.onnx").run(["log_probs"], {"x": feats[None], "x_len": np.array([len(feats)])})
    assert torch.allclose(torch.from_numpy(found[0][0]), expected, atol=1e-3)
    tokens = [line.split() for line in (exported / "tokens.txt").read_text(encoding="utf-8").splitlines()]
    assert [int(number) for _, number in tokens] == [*range(expected.size(1))]
    assert [token for token, _ in tokens] == ["<blk>", *verifier.args.token_list[1:]]


def test_what_is_in_the_folder(exported):
    names = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    assert names >= {"speech.onnx", "tokens.txt", "llm/config.json", "llm/model.safetensors"}
    assert names >= {"llm/tokenizer.json", "llm/prompt.json"} and "ctc.onnx" not in names
    graph = session(exported / "speech.onnx")
    assert [(each.name, each.shape) for each in graph.get_inputs()] == [("x", ["N", "T", 80]), ("x_len", ["N"])]
    outputs = ["log_probs", "log_probs_len", "speech_embeddings", "speech_embeddings_len"]
    assert [each.name for each in graph.get_outputs()] == outputs
    metadata = graph.get_modelmeta().custom_metadata_map
    assert metadata["model_type"] == "fire-red-asr-2-ctc" and metadata["subsampling_factor"] == "4"
    assert metadata["frontend"] == "kaldi_fbank" and metadata["sample_rate"] == "16000"
    assert metadata["cmvn_mean"] == ",".join("0" * 80) and metadata["cmvn_inv_stddev"] == ",".join("1" * 80)


def test_the_llm_has_the_weights_of_the_pack(packs, exported):
    packed, stored = load_file(packs / "shared/model.safetensors"), load_file(exported / "llm/model.safetensors")
    assert stored and all(torch.equal(packed[f"llm.{name}"], value) for name, value in stored.items())
    assert json.loads((exported / "llm/config.json").read_text())["architectures"] == ["Qwen3ForCausalLM"]


def parts(pack):
    """Model, options and verifier of a pack."""
    files = load(pack)
    model, args = LLMASRTask.load(files["llm_asr_train_config"], files["llm_asr_model_file"])
    return model, args, CTCVerifier(files["ctc_train_config"], files["ctc_model_file"])


def test_a_head_with_its_own_encoder_is_a_graph_of_its_own(packs):
    outputs = {name: graph.outputs for name, graph in graphs_of(*parts(packs / "own")).items()}
    assert outputs == {
        "speech.onnx": ("speech_embeddings", "speech_embeddings_len"),
        "ctc.onnx": ("log_probs", "log_probs_len"),
    }
    model, args, _ = parts(packs / "own")
    assert [*graphs_of(model, args, None)] == ["speech.onnx"]


def test_input_beyond_the_table_of_positions(packs, exported):
    """The table in the weights ends at `pe_maxlen` = 200 frames; the graph computes its positions."""
    graphs = graphs_of(*parts(packs / "shared"))
    assert [*graphs] == ["speech.onnx"]
    assert compare(exported / "speech.onnx", graphs["speech.onnx"], [1200, 90]) < 1e-5


def test_an_encoder_of_espnet(tmp_path):
    """ESPnet 202611's mask of padding is as long as a tensor's value says, which torch cannot export."""
    torch.manual_seed(1)
    options = dict(output_size=32, num_blocks=1, attention_heads=2, cgmlp_linear_units=32, linear_units=32)
    encoder = encoder_class("e_branchformer")(input_size=80, **options, rel_pos_type="latest")
    components = dict(frontend=KaldiFbank(), specaug=None, normalize=None, encoder=encoder)
    model, args = (
        PhonemeCTCModel(components, CTCHead(32, 12)),
        SimpleNamespace(frontend="kaldi_fbank", frontend_conf={}),
    )
    graph = Graph(model, args, model.ctc_head, ConcatAdaptor(32, 24))
    if version("espnet") < "202611":
        return write_graph(tmp_path / "speech.onnx", graph)
    with pytest.raises(ValueError, match="torch cannot export EBranchformerEncoder .*: export a model with another"):
        write_graph(tmp_path / "speech.onnx", graph)


def test_a_wrong_graph_is_not_left(packs, tmp_path, monkeypatch, command):
    """A graph whose adaptor counts one speech token less than ours."""
    lengths = ConcatAdaptor.output_lengths
    monkeypatch.setattr(
        ConcatAdaptor,
        "output_lengths",
        lambda self, n: lengths(self, n) - 1 if torch.compiler.is_exporting() else lengths(self, n),
    )
    failed = command(export_command, packs / "shared", tmp_path / "out")
    assert failed.code == 1 and "speech.onnx computes other numbers than torch for an utterance of" in failed.err
    assert not [*tmp_path.iterdir()]


def test_an_encoder_that_cannot_be_exported(packs, tmp_path, monkeypatch, command):
    from espnet_llmasr.asr.conformer import FireRedConformerEncoder

    forward = FireRedConformerEncoder.forward

    def waits(self, xs_pad, ilens, prev_states=None):
        return forward(self, xs_pad[:, : int(ilens.max())], ilens)

    monkeypatch.setattr(FireRedConformerEncoder, "forward", waits)
    failed = command(export_command, packs / "shared", tmp_path / "out")
    assert failed.code == 1 and not [*tmp_path.iterdir()]
    assert "torch cannot export FireRedConformerEncoder (" in failed.err.strip().splitlines()[-1]


def test_mistakes(packs, tmp_path, monkeypatch, command):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("x")
    assert "was not made here (it has no speech.onnx)" in command(export_command, packs / "own", tmp_path / "mine").err
    assert (
        "is no packed model (it has no meta.yaml)" in command(export_command, tmp_path / "mine", tmp_path / "out").err
    )
    shutil.copytree(packs / "own", tmp_path / "cut")
    weights = load_file(tmp_path / "cut/model.safetensors")
    weights.pop("adaptor.linear2.bias")
    save_file(weights, tmp_path / "cut/model.safetensors", metadata={"format": "pt", "same": "{}"})
    assert "adaptor.linear2.bias" in command(export_command, tmp_path / "cut", tmp_path / "out").err
    monkeypatch.setattr("espnet_llmasr.asr.shipped.find_spec", lambda name: None if name == "onnxscript" else True)
    assert "pip install onnxscript" in command(export_command, packs / "own", tmp_path / "out").err
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "cut"}
