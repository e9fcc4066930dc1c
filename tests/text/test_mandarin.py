from espnet_llmasr.text.mandarin import Mandarin


def test_longest_phrase_first_and_a_phrase_without_reading_guides_the_cut():
    mandarin = Mandarin()
    mandarin.phrases = {"音乐": "yin1 yue4", "音乐会": "", "会计": "kuai4 ji4"}
    mandarin.lengths, mandarin.memo = mandarin._lengths(), {}
    assert list(mandarin.words("音乐会计")) == ["音乐会", "计"]
    assert list(mandarin.words("会计音乐")) == ["会计", "音乐"]
    assert mandarin("会计") == ["k", "uai4", "j", "i4"]


def test_equals_a_plain_search_over_all_phrases():
    mandarin = Mandarin()
    text, start, plain = "银行行长的音乐会计划重新开始了一会儿就睡着觉得很长", 0, []
    while start < len(text):
        found = [text[start:end] for end in range(len(text), start + 1, -1) if text[start:end] in mandarin.phrases]
        plain.append(found[0] if found else text[start])
        start += len(plain[-1])
    assert list(mandarin.words(text)) == plain
