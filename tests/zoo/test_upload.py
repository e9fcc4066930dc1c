"""Uploads to a stand-in for the Hub: what is sent, what is said, and that no token is told to anybody."""

import huggingface_hub
import pytest

from espnet_llmasr.bin import upload as upload_command

TOKEN = "hf_" + "x" * 30


class FakeHub:
    """HfApi with a repository that outlives an interruption; a file that is there is not sent again."""

    stored, sent, cut_after = {}, [], None

    def __init__(self, library_name=None):
        pass

    def create_repo(self, repo, private=False, exist_ok=False):
        assert exist_ok
        return f"https://hub.example/{repo}"

    def upload_folder(self, repo_id, folder_path, allow_patterns, commit_message):
        for name in allow_patterns:
            content = (folder_path / name).read_bytes()
            if self.stored.get(name) != content:
                if len(self.sent) == FakeHub.cut_after:
                    FakeHub.cut_after = None
                    raise OSError("connection lost")
                self.stored[name] = content
                self.sent.append(name)


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(FakeHub, "stored", {})
    monkeypatch.setattr(FakeHub, "sent", [])
    monkeypatch.setattr(FakeHub, "cut_after", None)
    return FakeHub


def test_a_dry_run_shows_every_file_and_sends_nothing(pack, hub, capsys):
    (pack / ".cache").mkdir()
    (pack / ".cache/x").write_text("x")
    upload_command.main([str(pack), "me/digits", "--dry_run"])
    lines = capsys.readouterr().out.splitlines()
    names = ["config.yaml", "llm/config.json", "meta.yaml", "model.safetensors"]
    assert [line.split()[1] for line in lines[:-1]] == names
    sizes = [(pack / name).stat().st_size for name in names]
    assert [int(line.split()[0]) for line in lines] == [*sizes, sum(sizes)] and lines[-1].endswith("in 4 files")
    assert not hub.sent


def test_an_interrupted_upload_goes_on(pack, hub, command, caplog, capfd):
    FakeHub.cut_after = 2
    failed = command(upload_command, pack, "me/digits")
    assert failed.code == 1 and "connection lost" in failed.err and "what has been sent is kept" in failed.err
    upload_command.main([str(pack), "me/digits"])
    assert capfd.readouterr().out == "https://hub.example/me/digits\n"
    assert hub.sent == ["config.yaml", "llm/config.json", "meta.yaml", "model.safetensors"]
    assert TOKEN not in failed.err + caplog.text


def test_without_a_token_or_a_pack_nothing_is_sent(pack, changed, hub, command, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert "no token for the Hub: set HF_TOKEN" in command(upload_command, pack, "me/digits").err
    assert "is no packed model" in command(upload_command, pack / "llm", "me/digits").err
    assert "requires espnet_llmasr>=9" in command(upload_command, changed(requires="espnet_llmasr>=9"), "a/b").err
    assert not hub.sent
