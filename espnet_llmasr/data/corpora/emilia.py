"""Emilia and Emilia-YODAS: 189 K h of English and Mandarin from the web, mp3. HF amphion/Emilia-Dataset, on request; CC
BY-NC 4.0, the YODAS parts CC BY 4.0.

Layout: Emilia/EN/EN-B000000.tar and Emilia-YODAS/EN/EN-B000000.tar (also ZH); members EN_B000000_S000000_W000000.mp3
and .json ({"id", "wav", "text", "duration", "speaker", "language", "dnsmos"}). SRC is the folder that holds Emilia/.
The tars stay as they are: wav.scp names the place of each mp3. Parts EN and ZH are also read from the older release of
OpenXLab, raw/EN/EN_B00000.jsonl beside folders of mp3.
Quirks: json and mp3 come in any order; the text begins with a blank, and is by Whisper, with case, punctuation and
digits; seeking in mp3 is not exact, so each is read as a whole. Both trees number their batches from 0, so YODAS_ goes
before the ids of the second.
"""

import json
from collections import defaultdict
from dataclasses import replace

from espnet_llmasr.data.formats.generic import json_manifest
from espnet_llmasr.data.formats.readers import read_at, tar_members
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

FOLDERS = {"EN": "Emilia/EN", "ZH": "Emilia/ZH", "YODAS-EN": "Emilia-YODAS/EN", "YODAS-ZH": "Emilia-YODAS/ZH"}
OLD_FIELDS = dict(id="id", audio="wav", text="text", duration="duration", speaker="speaker")


def read(source: Source) -> Utterances:
    language = source.part[-2:].lower()
    for path in source.share(source.find(f"{FOLDERS[source.part]}/*.tar", f"raw/{source.part}/*.jsonl")):
        old = path.suffix == ".jsonl"
        published = json_manifest(source, path, OLD_FIELDS, path.parent) if old else utterances(source, path)
        for utterance in published:
            name, speaker = utterance.id, utterance.speaker
            if source.part.startswith("YODAS"):
                name, speaker = f"YODAS_{name}", speaker and f"YODAS_{speaker}"
            yield replace(utterance, id=name, speaker=speaker, lang=language)


def utterances(source, tar):
    """Joins json and mp3 by name; only where a half lies is remembered until the other comes, at most for one tar."""
    waiting = defaultdict(dict)
    for member, offset, size in tar_members(source, tar):
        name, _, suffix = member.rpartition("/")[2].rpartition(".")
        if suffix not in ("json", "mp3"):
            continue
        waiting[name][suffix] = (offset, size)
        if len(waiting[name]) == 2:
            halves = waiting.pop(name)
            yield from joined(source, tar, name, halves["json"], halves["mp3"])
    for name, halves in waiting.items():
        source.drop(name, "missing_json" if "mp3" in halves else "missing_wav")


def joined(source, tar, name, described, mp3):
    """The utterance of two halves, each an (offset, size) in the tar; none if one is empty or broken."""
    try:
        row = json.loads(read_at(tar, *described))
        text, duration, speaker = row["text"] or "", float(row["duration"]), row.get("speaker") or ""
    except (ValueError, KeyError, TypeError):
        source.drop(name, "broken_json")
        return
    offset, size = mp3
    if size:
        yield Utterance(name, f"{tar}:{offset}", text, speaker, duration=duration)
    else:
        source.drop(name, "empty_wav")


PARTS = {"EN": "46.8 K h", "ZH": "49.9 K h", "YODAS-EN": "92.2 K h", "YODAS-ZH": "0.3 K h"}
LICENCE = "CC BY-NC 4.0; YODAS parts CC BY 4.0"
CORPUS = Corpus(read, "en, zh", PARTS, LICENCE, "https://huggingface.co/datasets/amphion/Emilia-Dataset")
