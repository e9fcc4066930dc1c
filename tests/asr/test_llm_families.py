"""Tiny random LLMs of many families, prepared by the command: prompt, end token, a training step, a beam search.

The templates are short ones in the style of each family.
"""

import json
import shutil
from datetime import datetime
from types import SimpleNamespace

import pytest
import sentencepiece
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from espnet_llmasr import Speech2Text
from espnet_llmasr.asr.llm import build_llm, load_llm, load_tokenizer, text_model, try_llm
from espnet_llmasr.bin import llm_asr_train, prepare_llm
from espnet_llmasr.files import read_scp
from espnet_llmasr.inference.search import DecodingOptions, beam_search
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.text.prompt import INSTRUCTION, SPEECH, Prompt
from espnet_llmasr.train.small_llm import save_llm
from espnet_llmasr.train.speech_batches import read_audio
from espnet_llmasr.zoo.pack import Parts, pack

SIZES = dict(hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
VISION = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, image_size=28)
VISION["patch_size"] = 14
TURNS = "{% for m in messages %}"
CHATML = (
    TURNS + "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and not enable_thinking %}<think>\n\n</think>\n\n"
)
CHATML += "{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
QWEN = CHATML + "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
THINKING = CHATML + "<think>\n{% endif %}"
LLAMA = "{{ bos_token }}<|head|>system<|/head|>\n\nToday: {{ strftime_now('%d %b %Y') }}\n<|eot_id|>" + TURNS
LLAMA += "<|head|>{{ m.role }}<|/head|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}"
LLAMA += "{% if add_generation_prompt %}<|head|>assistant<|/head|>\n\n{% endif %}"
GEMMA = "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role here') }}{% endif %}"
GEMMA += TURNS + "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}"
GEMMA += "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
PHI = TURNS + "<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
PHI += "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
INST = "{{ bos_token }}" + TURNS + "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
INST += "{% elif m.role == 'assistant' %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
PLAIN = TURNS + "{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"

NO_THOUGHT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
GEMMA_PROMPT = "<bos><start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n"
LLAMA_PROMPT = "<|begin|><|head|>system<|/head|>\n\nToday: DATE\n<|eot_id|><|head|>user<|/head|>\n\n{}<|eot_id|>"
LLAMA_PROMPT += "<|head|>assistant<|/head|>\n\n"
IM = dict(eos_token="<|im_end|>", more=["<|im_start|>"])
BASE = dict(eos_token="<|endoftext|>", more=["<|im_start|>", "<|im_end|>"])
HEADS = dict(bos_token="<|begin|>", eos_token="<|eot_id|>", more=["<|head|>", "<|/head|>"])
TURN = dict(bos_token="<bos>", eos_token="<eos>", more=["<start_of_turn>", "<end_of_turn>"])
ROLES = dict(eos_token="<|endoftext|>", more=["<|end|>", "<|user|>", "<|assistant|>"])
TIED, WIDE = dict(tie_word_embeddings=True), dict(head_dim=32)
NO_PAD = dict(pad_token_id=None, eos_token_id=[1, 2])  # as Llama 3 has them
LINES = f"{INSTRUCTION}\n{SPEECH}\nTranscript:\n"  # of a base LLM, which has no chat template
FAMILIES = {  # kind of model, changes of its sizes, template, tokens (None: sentencepiece); expected end token, prompt
    "qwen3": ("Qwen3", TIED, QWEN, IM, "<|im_end|>", NO_THOUGHT),
    "qwen3 thinking": ("Qwen3", {}, THINKING, IM, "<|im_end|>", NO_THOUGHT),
    "qwen3 base": ("Qwen3", {}, QWEN, BASE, "<|im_end|>", NO_THOUGHT),
    "qwen2": (
        "Qwen2",
        TIED,
        CHATML + "{% endif %}",
        IM,
        "<|im_end|>",
        "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    ),
    "llama 3": ("Llama", NO_PAD, LLAMA, HEADS, "<|eot_id|>", LLAMA_PROMPT),
    "gemma 2": ("Gemma2", WIDE, GEMMA, TURN, "<end_of_turn>", GEMMA_PROMPT),
    "gemma 3": ("Gemma3", WIDE, GEMMA, TURN, "<end_of_turn>", GEMMA_PROMPT),
    "phi 3": ("Phi3", {}, PHI, ROLES, "<|end|>", "<|user|>\n{}<|end|>\n<|assistant|>\n"),
    "llama 2": ("Llama", {}, INST, None, "</s>", "<s>[INST] {} [/INST]"),
    "plain": ("Llama", {}, PLAIN, dict(eos_token="</s>", more=[]), "</s>", "user: {}\nassistant:"),
    "smollm": (
        "Llama",
        TIED,
        CHATML + "{% endif %}",
        IM | dict(bos_token="<|im_start|>", more=[]),
        "<|im_end|>",
        "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    ),
    "smollm 3 base": ("SmolLM3", TIED, None, dict(eos_token="<|endoftext|>", more=[]), "<|endoftext|>", LINES),
    "llama 3 base": ("Llama", NO_PAD, None, HEADS, "<|eot_id|>", f"<|begin|>{LINES}"),
    "llama 2 base": ("Llama", NO_PAD, None, None, "</s>", f"<s>{LINES}"),
    "gemma base": ("Gemma", TIED | WIDE, None, TURN, "<eos>", f"<bos>{LINES}"),
    "phi": ("Phi", {}, None, dict(eos_token="<|endoftext|>", more=[]), "<|endoftext|>", LINES),
}


def byte_tokenizer(template, more, **special):
    """Byte-level BPE, a BOS put before every text if there is one, and the family's own tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([INSTRUCTION, "five two red"] * 3, trainer)
    tokenizer.add_special_tokens([*special.values(), *more])
    if "bos_token" in special:
        bos = special["bos_token"]
        pair = [(bos, tokenizer.token_to_id(bos))]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=pair)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **special)


def sentencepiece_only(folder, template):
    """The files of an LLM that has tokenizer.model and no tokenizer.json."""
    text = folder / "text"
    text.write_text(f"{INSTRUCTION} [INST] [/INST]\nfive two red\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "tokenizer"), model_type="bpe", vocab_size=310, byte_fallback=True,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    text.unlink()
    (folder / "tokenizer.vocab").unlink()
    options = dict(tokenizer_class="LlamaTokenizer", bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    options |= dict(chat_template=template, legacy=False, add_bos_token=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(options))


def make_llm(folder, kind, changes, template, tokens=None):
    """A random LLM as a hub would hold it: a vocabulary larger than the tokenizer's, fp32 weights."""
    folder.mkdir(parents=True)
    if tokens is None:
        sentencepiece_only(folder, template)
    else:
        byte_tokenizer(template, **tokens).save_pretrained(folder)
    sizes = dict(SIZES, vocab_size=400, pad_token_id=0, bos_token_id=0, eos_token_id=1) | changes
    if kind == "Gemma3":  # of text and images
        sizes = dict(text_config=sizes, vision_config=VISION, mm_tokens_per_image=4, image_token_index=399)
    config = getattr(transformers, f"{kind}Config")(**sizes)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """An LLM before (`hub`, `model`) and after (`out`) its preparation, with the end token and prompt to expect."""
    *made, end_token, text = FAMILIES[request.param]
    root = tmp_path_factory.mktemp("family")
    model = make_llm(root / "hub", *made)
    prepare_llm.main(["--llm", str(root / "hub"), "--output_dir", str(root / "out")])
    text = text.replace("DATE", datetime.now().strftime("%d %b %Y")).format(INSTRUCTION + SPEECH)
    return SimpleNamespace(hub=root / "hub", out=root / "out", model=model, end_token=end_token, text=text)


def prompt_of(folder):
    return Prompt.read(load_tokenizer(folder / "tokenizer.json"), folder / "prompt.json")


def test_the_prompt_is_kept_as_text(family):
    assert json.loads((family.out / "prompt.json").read_text()) == dict(text=family.text, end_token=family.end_token)
    prompt = prompt_of(family.out)
    assert prompt.end_id == prompt.tokenizer.convert_tokens_to_ids(family.end_token)
    unknown = prompt.tokenizer.unk_token_id
    assert unknown is None or unknown not in [prompt.end_id, *prompt.ids]


def test_special_tokens_in_a_transcript_are_text(family):
    prompt = prompt_of(family.out)
    for token in {family.end_token, *prompt.tokenizer.all_special_tokens}:
        transcript = f"five{token}two {token}"
        target = prompt.target(transcript)
        assert not set(target[:-1]) & set(prompt.tokenizer.all_special_ids) and target[-1] == prompt.end_id
        assert prompt.decode(target) == transcript


def test_plain_transcripts_are_encoded_as_ever(family):
    prompt = prompt_of(family.out)
    for transcript in ("five two", "red 你好", "", "a < b | c [INST] it's"):
        ids = prompt.tokenizer(transcript, add_special_tokens=False)["input_ids"]
        assert prompt.target(transcript) == [*ids, prompt.end_id]


def test_the_prepared_weights_are_those_of_the_hub(family):
    """Also where they are taken out of a model of text and images."""
    llm = build_llm(family.out / "config.json").eval()
    llm.load_state_dict(torch.load(family.out / "llm.pth", weights_only=True))
    ids = torch.randint(0, 390, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = family.model(input_ids=ids).logits
        logits = llm(inputs_embeds=llm.get_input_embeddings()(ids)).logits
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_gemma_3_is_reduced_to_its_text_model(tmp_path):
    model = make_llm(tmp_path / "hub", *FAMILIES["gemma 3"][:4])
    llm = text_model(model)
    assert type(model).__name__ == "Gemma3ForConditionalGeneration" and type(llm).__name__ == "Gemma3ForCausalLM"
    assert not [name for name in llm.state_dict() if "vision" in name]
    assert text_model(llm) is llm


def test_training_and_beam_search(family, llm_options, build_model, load_batch, monkeypatch, tmp_path):
    files = dict(llm_config=f"{family.out}/config.json", llm_tokenizer=f"{family.out}/tokenizer.json", init_param=[])
    model, args = build_model(LLMASRTask, llm_options(tmp_path / "x", **files))
    batch = load_batch(LLMASRTask, args)[1]
    loss, _, _ = model.train()(**batch)
    loss.sum().backward()
    assert torch.isfinite(loss).all() and model.adaptor.linear1.weight.grad.abs().sum() > 0
    model.eval()
    if model.llm.config.model_type != "gemma2":  # whose softmax in float32 overflows with a mask of float64
        model.double()  # the same tokens by two computations: no near-ties
    with torch.no_grad():
        frames, lengths = model.encode(batch["speech"], batch["speech_lengths"])
    prompt = LLMASRTask.build_prompt(args)
    inputs = model, frames, lengths, batch["speech_lengths"] / 16000, prompt, DecodingOptions()
    found = [best for (best,) in beam_search(*inputs)]
    assert len(found) == 8 and all(prompt.end_id not in best.ids for best in found)
    monkeypatch.setattr("espnet_llmasr.inference.search.PACKED", ())  # all of it is left to transformers
    plain = [best for (best,) in beam_search(*inputs)]
    assert [best.ids for best in plain] == [best.ids for best in found]
    assert [best.score for best in plain] == pytest.approx([best.score for best in found], abs=1e-4)


def test_train_decode_pack_load(family, llm_options, corpus, command, tmp_path):
    """One update through the command; the pack transcribes as the training's own files do, once these are gone."""
    llm, exp = tmp_path / "llm", tmp_path / "exp"
    shutil.copytree(family.out, llm)
    files = dict(llm_config=f"{llm}/config.json", llm_tokenizer=f"{llm}/tokenizer.json")
    options = llm_options(exp, **files, init_param=[f"{llm}/llm.pth::llm"], max_epoch=1, num_iters_per_epoch=1)
    done = command(llm_asr_train, *options)
    assert done.code == 0, done.err
    samples = read_audio("valid_0", read_scp(corpus / "valid" / "wav.scp")["valid_0"], 16000)
    expected = Speech2Text(exp / "config.yaml", exp / "latest.pth")(samples)[0][3]
    archive = pack(Parts(exp / "config.yaml", exp / "latest.pth"), tmp_path / "pack")
    shutil.rmtree(llm)
    shutil.rmtree(exp)
    found = Speech2Text.from_pretrained(archive)(samples)[0][3]
    assert (found.text, found.score) == (expected.text, expected.score)


# ---- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template, tokens, options, message",
    [
        (None, dict(more=[]), [], "the LLM's tokenizer has neither a chat template nor an eos_token: take another LLM"),
        (PLAIN, dict(more=[]), [], "the LLM has no end token: its chat template puts none after an assistant's turn"),
        (GEMMA, dict(bos_token="<bos>", eos_token="<eos>", more=[]), ["--system", "Be brief."],
         "refuses a chat of system and user (no system role here): give no --system, and put its text into"),
        (INST, dict(bos_token="<s>", eos_token="</s>", more=[]), ["--system", "Be brief."],
         "drops the system message: give no --system"),
        ("{{ messages[0].content }", IM, [], "refuses a chat of user"),
        ("{{ messages[0].role }}", IM, [], "the prompt has 0 times <speech>, expected once"),
        (QWEN, IM, ["--instruction", "Write <speech> down:"], "the prompt has 2 times <speech>, expected once"),
    ],
)  # fmt: skip
def test_refused_at_once(template, tokens, options, message, command, tmp_path):
    """Before the weights are read: there are none."""
    transformers.Qwen3Config(**SIZES).save_pretrained(tmp_path / "hub")
    byte_tokenizer(template, **tokens).save_pretrained(tmp_path / "hub")
    done = command(prepare_llm, "--llm", tmp_path / "hub", "--output_dir", tmp_path / "out", *options)
    assert done.code == 1 and "Traceback" not in done.err and not (tmp_path / "out").exists()
    assert message in done.err.strip().splitlines()[-1]


@pytest.mark.parametrize("template", [QWEN, LLAMA, PHI])
def test_a_system_message_and_an_instruction_are_kept(template, tmp_path):
    tokenizer = byte_tokenizer(template, more=["<|im_start|>"], bos_token="<s>", eos_token="<|im_end|>")
    text = Prompt.render(tokenizer, "Write:", "You write  what is spoken.").text
    assert text.index("You write  what is spoken.") < text.index("Write:<speech>")


@pytest.mark.parametrize(
    "opened, closed",
    [
        ("<think>\n", "<think>\n\n</think>\n\n"),
        ("[THINK]", "[THINK]\n\n[/THINK]\n\n"),
        ("<seed:think>Well,", "<seed:think>Well,\n\n</seed:think>\n\n"),
        ("<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),
        ("<think></think><think>", "<think></think><think>\n\n</think>\n\n"),
        ("", ""),
    ],
)
def test_an_open_block_of_reasoning_is_closed(opened, closed):
    template = TURNS + "{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}A: " + opened + "{% endif %}"
    prompt = Prompt.render(byte_tokenizer(template, more=[], eos_token="</s>"))
    assert prompt.text == f"{INSTRUCTION}{SPEECH}</s>A: {closed}"


def test_an_end_token_that_is_not_marked_as_special(tmp_path):
    """Without the mark, transcripts could hold it as a token."""
    tokenizer = byte_tokenizer(PHI, more=[], eos_token="<|endoftext|>")
    tokenizer.add_tokens([AddedToken("<|end|>", special=False)])
    prompt = Prompt.render(tokenizer)
    assert prompt.end_token == "<|end|>" and prompt.target("five<|end|>two").count(prompt.end_id) == 1
    tokenizer.save_pretrained(tmp_path)
    again = Prompt(load_tokenizer(tmp_path / "tokenizer.json"), **prompt.saved)
    assert again.target("five<|end|>two") == prompt.target("five<|end|>two") and again.ids == prompt.ids


def test_lacking_weights_are_refused(command, tmp_path):
    model = make_llm(tmp_path / "hub", "Qwen3", {}, QWEN, IM)
    state = {name: value for name, value in model.state_dict().items() if "layers.1.mlp.up_proj" not in name}
    model.save_pretrained(tmp_path / "hub", state_dict=state)
    done = command(prepare_llm, "--llm", tmp_path / "hub", "--output_dir", tmp_path / "out")
    assert done.code == 1 and "lack model.layers.1.mlp.up_proj.weight (1 in all)" in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json", "x.index.json"]
)
def test_a_damaged_file_of_a_downloaded_llm_is_named(name, tmp_path):
    """What git without LFS leaves, and values of other kinds, on which transformers fails in its own ways."""
    make_llm(tmp_path / "hub", "Qwen3", {}, QWEN, IM)
    for content in ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n", "null", "[]", ""):
        (tmp_path / "hub" / name).write_text(content)
        with pytest.raises(
            ValueError, match=f"{tmp_path}/hub/{name} (is damaged, expected JSON|holds a value of type)"
        ):
            load_llm(str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    root = tmp_path_factory.mktemp("qwen")
    model = make_llm(root / "hub", "Qwen3", {}, QWEN, IM)
    return Prompt.render(load_tokenizer(root / "hub/tokenizer.json")), model


def test_what_a_trial_finds(qwen, monkeypatch, tmp_path):
    prompt, model = qwen
    save_llm(tmp_path, prompt, model)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:  # it can compute only from tokens
        patch.setattr(type(model), "generate", lambda self, **options: 1 / 0)
        with pytest.raises(ValueError, match=r"Qwen3ForCausalLM cannot decode from embeddings \(division by zero\)"):
            save_llm(tmp_path, prompt, model)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}  # the files of the LLM before
    with monkeypatch.context() as patch:  # tokens enter its layers also in another way than through the embeddings
        table = model.get_input_embeddings()
        patch.setattr(table, "forward", lambda ids, forward=table.forward: 1.5 * forward(ids))
        with pytest.raises(ValueError, match="computes other logits from embeddings than from tokens"):
            try_llm(prompt, model)
    with monkeypatch.context() as patch:
        patch.setattr(prompt, "ids", [*prompt.ids, 400])
        with pytest.raises(ValueError, match="encodes differently after it has been saved"):
            try_llm(prompt, model)
    with torch.no_grad():
        model.get_output_embeddings().weight[3, 3] = float("nan")
    with pytest.raises(ValueError, match="computes other logits"):
        try_llm(prompt, model)


# ---- one prompt for all trainings and decodings ---------------------------------------------------------------------


@pytest.fixture()
def prepared(tmp_path):
    make_llm(tmp_path / "hub", *FAMILIES["llama 3"][:4])
    prepare_llm.main(["--llm", str(tmp_path / "hub"), "--output_dir", str(tmp_path / "llm"), "--system", "Be brief."])
    return tmp_path / "llm"


def test_training_resume_and_decoding_have_the_prompt_of_the_preparation(prepared, llm_options, command, tmp_path):
    """On another day the template would print another date; a prompt that is prepared anew is not taken silently."""
    file, out = prepared / "prompt.json", tmp_path / "exp"
    saved = json.loads(file.read_text())
    saved["text"] = saved["text"].replace(datetime.now().strftime("%d %b %Y"), "26 Jul 2024")
    file.write_text(json.dumps(saved))
    files = dict(llm_config=f"{prepared}/config.json", llm_tokenizer=f"{prepared}/tokenizer.json", init_param=[])
    options = llm_options(out, **files, max_epoch=1)
    assert command(llm_asr_train, *options).code == 0
    args = LLMASRTask.config_of(out / "config.yaml")
    assert args.prompt == saved and "Be brief." in args.prompt["text"] and "26 Jul 2024" in args.prompt["text"]
    resumed = llm_options(out, **files, max_epoch=2)
    assert command(llm_asr_train, *resumed, "--resume", "true").code == 0 and (out / "2epoch.pth").exists()

    file.write_text(json.dumps({**saved, "text": saved["text"].replace("Be brief.", "Be exact.")}))
    done = command(llm_asr_train, *resumed, "--resume", "true")
    assert done.code == 1 and "was trained with prompt=" in done.err and "Be exact." in done.err.splitlines()[-1]
    decoding = LLMASRTask.build_prompt(LLMASRTask.config_of(out / "config.yaml"))
    assert decoding.saved == saved  # as it was trained
    file.unlink()
    assert LLMASRTask.build_prompt(args).ids == decoding.ids


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "prompt.json, the prompt of the LLM, is missing: run the LLM-preparation stage (4) again"),
        ("{", "prompt.json holds no prompt of an LLM"),
        ('{"text": "<speech>"}', "prompt.json holds no prompt of an LLM"),
        ("[]", "prompt.json holds no prompt of an LLM"),
        (
            '{"text": "<speech>", "end_token": "<|end|>"}',
            "the end token '<|end|>' of the prompt is no token of the LLM",
        ),
        ('{"text": "no speech", "end_token": "</s>"}', "the prompt has 0 times <speech>"),
    ],
)
def test_a_folder_without_a_prompt(content, message, tiny_llm, llm_options, command, tmp_path):
    for path in tiny_llm.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "prompt.json").unlink()
    if content is not None:
        (tmp_path / "prompt.json").write_text(content)
    done = command(llm_asr_train, *llm_options(tmp_path / "out", llm_tokenizer=f"{tmp_path}/tokenizer.json"))
    assert done.code == 1 and message in done.err.strip().splitlines()[-1] and "Traceback" not in done.err
