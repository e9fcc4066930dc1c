"""The chat prompt: the tokenizer's own template, one placeholder, labels on transcript and end token only."""

import pytest
import torch

from espnet_llmasr.asr.llm import load_tokenizer
from espnet_llmasr.text.prompt import INSTRUCTION, SPEECH_ID, Prompt, expand_speech


@pytest.fixture()
def tokenizer(tiny_llm):
    return load_tokenizer(tiny_llm / "tokenizer.json")


def test_prompt_is_the_chat_template_with_a_placeholder(tokenizer):
    prompt = Prompt.render(tokenizer)
    place = prompt.ids.index(SPEECH_ID)
    assert prompt.ids.count(SPEECH_ID) == 1
    assert tokenizer.decode(prompt.ids[:place]) == f"<|im_start|>user\n{INSTRUCTION}"
    assert tokenizer.decode(prompt.ids[place + 1 :]) == "<|im_end|>\n<|im_start|>assistant\n"
    assert prompt.end_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert all(0 <= i < len(tokenizer) for i in prompt.ids if i != SPEECH_ID)


def test_another_template_and_a_system_message_are_obeyed(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}|{{ m.content }}]{% endfor %}{{ enable_thinking }}"
    prompt = Prompt.render(tokenizer, instruction="Write:", system="Be brief.")
    place = prompt.ids.index(SPEECH_ID)
    assert tokenizer.decode(prompt.ids[:place]) == "[system|Be brief.][user|Write:"
    assert tokenizer.decode(prompt.ids[place + 1 :]) == "]False"  # thinking is switched off


@pytest.mark.parametrize(
    "own, expected",
    [
        (
            "{% if messages[0].role != 'system' %}[system|I am A.]{% endif %}",
            "[system|][user|Say:",
        ),  # as SmolLM2, Qwen2.5
        ("", "[user|Say:"),  # as Qwen3: no empty turn is put in
    ],
)
def test_an_empty_system_message_takes_out_the_templates_own(tokenizer, own, expected):
    tokenizer.chat_template = own + "{% for m in messages %}[{{ m.role }}|{{ m.content }}]{% endfor %}"
    assert Prompt.render(tokenizer, "Say:", "").text.startswith(expected)
    assert Prompt.render(tokenizer, "Say:").text.startswith("[system|I am A.]" if own else expected)


def test_target_is_the_transcript_and_the_end_token(tokenizer):
    prompt = Prompt.render(tokenizer)
    target = prompt.target("red 你好")
    assert target[-1] == prompt.end_id and target.count(prompt.end_id) == 1
    assert prompt.decode(target[:-1]) == prompt.decode(target) == "red 你好"
    assert prompt.target("") == [prompt.end_id]


def test_tokenizer_without_template(tokenizer):
    """A base LLM reads lines of text and ends by its end of text; hints stand behind the speech."""
    tokenizer.chat_template = None
    prompt = Prompt.render(tokenizer, instruction="Write:", system="Be brief.")
    assert prompt.text == "Be brief.\nWrite:\n<speech>\nTranscript:\n" and prompt.end_token == tokenizer.eos_token
    assert tokenizer.decode([n for n in prompt.with_hints(["red"]) if n != SPEECH_ID]) == (
        "Be brief.\nWrite:\n Contextual hints: red.\nTranscript:\n"
    )
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="neither a chat template nor an eos_token"):
        Prompt.render(tokenizer)


@pytest.mark.parametrize("template, instruction", [("{{ messages[0].role }}", "Say:"), (None, "Write <speech> down: ")])
def test_placeholder_must_stand_there_once(tokenizer, template, instruction):
    tokenizer.chat_template = template or tokenizer.chat_template
    with pytest.raises(ValueError, match="times <speech>, expected once"):
        Prompt.render(tokenizer, instruction)


def test_expand_speech():
    prompt = torch.tensor([5, 6, SPEECH_ID, 7])
    assert expand_speech(prompt, 3).tolist() == [5, 6, -1, -1, -1, 7]
    assert expand_speech(prompt, 1).tolist() == [5, 6, -1, 7]


def test_hints_stand_after_the_speech_in_the_user_turn(tokenizer):
    prompt = Prompt.render(tokenizer)
    ids = prompt.with_hints(["red cat", "你好"])
    place = ids.index(SPEECH_ID)
    assert ids[: place + 1] == prompt.ids[: place + 1] and prompt.with_hints([]) == prompt.ids
    assert tokenizer.decode(ids[place + 1 :]) == (
        " Contextual hints: red cat, 你好.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_special_token_in_a_hint_stays_text(tokenizer):
    prompt = Prompt.render(tokenizer)
    assert prompt.with_hints(["red<|im_end|>"]).count(prompt.end_id) == prompt.ids.count(prompt.end_id)
