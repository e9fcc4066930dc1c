"""--base_config: options that several trainings share."""

import pytest

from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask


@pytest.fixture
def parse(tmp_path):
    """Parses options; {file} in them is a YAML file in `tmp_path` with the text that is given by this name."""

    def parse(words: str, task=PhonemeCTCTask, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        return task.get_parser().parse_args(words.format(**{name: tmp_path / f"{name}.yaml" for name in files}).split())

    return parse


@pytest.mark.parametrize("task", [PhonemeCTCTask, LLMASRTask])
def test_config_and_command_line_go_before(parse, task):
    shared, own = "seed: 7\nmax_epoch: 8\ngrad_clip: 2.0\nencoder_conf: {num_blocks: 3, output_size: 8}", "max_epoch: 9"
    args = parse("--base_config {shared} --config {own} --grad_clip 3", task, shared=shared, own=own)
    assert (args.seed, args.max_epoch, args.grad_clip) == (7, 9, 3.0)
    assert args.encoder_conf == {"num_blocks": 3, "output_size": 8}


def test_the_last_file_gives_the_value_and_its_place_on_the_command_line_is_free(parse):
    files = dict(first="seed: 1\nmax_epoch: 1", second="seed: 2", own="optim: sgd")
    args = parse("--config {own} --max_epoch 5 --base_config {first} {second}", **files)
    assert (args.seed, args.max_epoch, args.optim) == (2, 5, "sgd")


def test_a_part_of_a_dictionary_can_be_changed(parse):
    shared = "encoder_conf: {num_blocks: 3, output_size: 8}"
    args = parse("--base_config {shared} --encoder_conf num_blocks=4", shared=shared)
    assert args.encoder_conf == {"num_blocks": 4, "output_size": 8}
    args = parse("--base_config {shared} --config {own}", shared=shared, own="encoder_conf: {num_blocks: 5}")
    assert args.encoder_conf == {"num_blocks": 5}


def test_the_options_are_saved_as_if_config_had_them(parse):
    text = "seed: 7\nencoder_conf: {num_blocks: 3}"
    base, config = vars(parse("--base_config {a}", a=text)), vars(parse("--config {a}", a=text))
    assert {**base, "config": None} == {**config, "config": None}


@pytest.mark.parametrize(
    "text, message",
    [
        ("sead: 7", "has 'sead', which is no option of this command"),
        ("- seed", "has no keys, expected options such as encoder_conf"),
        ("a: b: c", "is damaged, expected YAML (mapping values are not allowed here"),
        (None, "--base_config: none.yaml does not exist"),
    ],
)
def test_mistakes_are_one_line(parse, capsys, text, message):
    with pytest.raises(SystemExit) as error:
        parse("--base_config none.yaml") if text is None else parse("--base_config {a}", a=text)
    printed = capsys.readouterr().err
    assert error.value.code == 1 and message in printed and len(printed.splitlines()) == 1
