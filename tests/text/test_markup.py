"""Transcripts as web pages and wrong decodings leave them: cleaned, or refused by a reason."""

import pytest

from espnet_llmasr.text.markup import Unclean, clean
from espnet_llmasr.text.transcript import Transcript

CLEANED = {
    "&quot;no&quot; &amp; left": '"no" & left',
    "It&#39;s, it&#x27;s, it&#39s": "It's, it's, it's",
    "so&nbsp it&nbsp;is": "so\xa0 it\xa0is",
    "{\\an8}Hello {\\i1}there{\\i0}": "Hello there",
    "{y:i}so": "so",
    "[00:12.34]so [01:02:03] on": "so  on",
    "so\\Non\\nand on": "so on and on",
    '\\"no\\"': '"no"',
    "\\u4f60\\u597d \\ud83d\\ude00": "你好 😀",
    "%E4%BD%A0%E5%A5%BD caf%C3%A9": "你好 café",
    "<ruby>漢<rt>kan</rt>字<rp>(</rp></ruby>": "漢字",
    "<v.loud Mary>so <lang en-GB>on</lang></v>": "so on",
    "&amp;quot;twice&amp;quot;": '"twice"',
    "caf&eacute; &hellip;": "café …",
    "<i>so</i> un<b>believ</b>able": "so unbelievable",
    "&lt;i&gt;so&lt;/i&gt;": "so",
    'one<br/>two<br>three<p class="x">four</p>': "one two three four ",
    '<font color="#fff" size=2>so</font>': "so",
    "<c.yellow>so</c> <00:00:01.000>on <v Bob>he said": "so on he said",
    "Don\xe2\x80\x99t": "Don’t",
    "Donâ€™t, itâ€¦": "Don’t, it…",
    "cafÃ© CAFÃ‰ Â£5": "café CAFÉ £5",
    "ä½\xa0å¥½": "你好",
    "æ\x88\x91ä»¬": "我们",
    "ðŸ˜€": "😀",
    "Ã\x83Â©": "é",
    "\x92s": "’s",
    "voilÃ  tout": "voilà tout",
    "Ð¿Ñ€Ð¸Ð²ÐµÑ‚ Ð¼Ð¸Ñ€": "привет мир",
    "na茂ve M眉ller": "naïve Müller",
    "Don鈥檛": "Don’t",
    "Z羹rich": "Zürich",
    "M체ller": "Müller",
    "浣犲ソ涓栫晫, ok": "你好世界, ok",
}
KEPT = [
    "AT&T, R&D; Q&A",
    "a < b and c > d",
    "I <3 you",
    "naïve café à la carte, Ångström, SÃO",
    "“my fiancé”—he said, ‘the café’…",
    "它······然后××××，2×½",
    "用C++写，a&b",
    "联通，浣熊，鎏金",
    "我love你，Tom猫，iPhone手机，喝茅台",
    "音乐[ok]（对）(no) 100%, a@b.com",
    "C:/so, 50%20, $5|6",
    "─ so ── on",
    "İstanbul'da 50°C – 60°C, ¿qué? Žižek",
    "“Well,” said he — “don’t.”",
    "Öö on pikk, öö.",
]
REFUSED = {
    "<unk> left": "markup",
    "so <laugh> on": "markup",
    "one<!-- two -->": "markup",
    "&lt;noise&gt;": "markup",
    "a <b and c> d": "markup",
    "left â\x80": "mojibake",
    "<|zh|><|HAPPY|>你好": "markup",
    "[Music] so": "markup",
    "so (laughs)": "markup",
    "【笑】好（掌声）": "markup",
    "[inaudible] so": "markup",
    "so [UNK]": "markup",
    "00:00:01,000 --> 00:00:02,000": "markup",
    "hel@@ lo": "markup",
    "▁hello ▁world": "markup",
    "\\xe4\\xbd\\xa0": "markup",
    "h\x00e\x00": "mojibake",
    "so\x1f": "mojibake",
    "\\ud83d": "mojibake",
    "%E4%BD": "mojibake",
    "涓\ue15f": "mojibake",
    "na\ufffdve": "mojibake",
    "ÎÒ ok": "mojibake",
    "so£¬¡°ok¡±": "mojibake",
    "§A¦n": "mojibake",
    "╟a va": "mojibake",
    "Д╫═Е╔╫": "mojibake",
    "cafГ©": "mojibake",
    "Don窶冲": "mojibake",
    "cafﾃｩ": "mojibake",
    "cafÈ": "mojibake",
    "Donít": "mojibake",
    "Mⁿller": "mojibake",
    "cafй": "mojibake",
    "锟斤拷锟斤拷": "mojibake",
    "ÄãºÃÊÀ½ç": "mojibake",
    "ÖÐÎÄ ok": "mojibake",
    "鎴戜滑浠婂ぉ鍘�": "mojibake",
    "鎴戜滑浠婂ぉ鍘?": "mojibake",
}


@pytest.mark.parametrize("text", CLEANED)
def test_what_is_cleaned(text):
    assert clean(text) == CLEANED[text]


@pytest.mark.parametrize("text", KEPT)
def test_what_is_well_written_stays(text):
    assert clean(text) == text


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(text):
    with pytest.raises(Unclean) as error:
        clean(text)
    assert error.value.reason == REFUSED[text]


@pytest.mark.parametrize("style", ["plain", "formatted"])
def test_transcripts_are_cleaned_in_both_styles(style):
    text, _ = Transcript(style)("<i>Don\xe2\x80\x99t</i> say &quot;no&quot; &amp; leave.", "en")
    assert text == {"plain": "don't say no and leave", "formatted": 'Don\'t say "no" & leave.'}[style]
