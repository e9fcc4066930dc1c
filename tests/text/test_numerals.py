import pytest

from espnet_llmasr.text.numerals import needs_words, write_out

pytest.importorskip("tn", reason="pip install WeTextProcessing")

ENGLISH = """
The GPU H200 costs $5.50. | The GPU H two hundred costs five dollars and fifty cents.
It's Q3's EBITDA, up 5.5%. | It's Q three's EBITDA, up five point five percent.
don't it's 5 o'clock, rock 'n' roll | don't it's five o'clock, rock 'n' roll
AT&T and R&B, 3 & 4 | A.T. and T and R and B, three and four
in the 1990s, '90s, 1900s and 2000s | in the nineteen nineties, nineties, nineteen hundreds and two thousands
555-1234 or 800-555-1234 | five five five one two three four or eight hundred, five five five, one two three four
500-1000 people | five hundred to one thousand people
5G A4 MP3 COVID-19 H2O | five G A four MP three COVID nineteen H two O
3:30 pm on Oct. 1st, 2021 | three thirty p.m. on October first, twenty twenty one
at 5am, 10:00 A.M. today | at five a.m., ten a.m. today
May 5, 1 October 2021 | May fifth, the first of October twenty twenty one
1,234 men, 10,000 in 2021 | one thousand two hundred and thirty four men, ten thousand in twenty twenty one
1,065 men, 1,000 and 1,200 | one thousand and sixty five men, one thousand and one thousand two hundred
$100k, $5M, US$1.2Bn | one hundred thousand dollars, five million dollars, one point two billion dollars
$0.00, $0.99 and $1.01 | zero dollars, ninety nine cents and one dollar and one cent
$10-$20, 5%-10%, 2010-2015 | ten dollars to twenty dollars, five percent to ten percent, twenty ten to twenty fifteen
25°C, 25℃, 90° | twenty five degrees Celsius, twenty five degrees Celsius, ninety degrees
2½ cups, x², 5㎏, 5 m² | two and a half cups, x squared, five kilograms, five square meters
C++, C#, A+, x=3 | C plus plus, C sharp, A plus, x equals three
a@b.com, 5¢, #1, No. 2, 24/7 | a at b dot com, five cents, number one, number two, twenty four seven
the 20th-century F-16s, a 10-year-old | the twentieth century F sixteens, a ten year-old
Mr. Smith met Dr. No on St. Mark's, mr president | Mister Smith met Doctor No on Saint Mark's, mister president
Main St. is here | Main St. is here
100km, 5 m, ٣ | one hundred kilometers, five m, three
70–90 km/h, 2.2 million km² | seventy to ninety kilometers per hour, two point two million square kilometers
$2.10-$2.15 in Q1'21 | two dollars and ten cents to two dollars and fifteen cents in Q one twenty one
$20 thousand, 50/50, 3‰ | twenty thousand dollars, fifty fifty, three per mille
(555) 123-4567 | five five five one two three four five six seven
5 - 3 = 2, 1990 - 2000 | five minus three equals two, nineteen ninety to two thousand
World War II, World War Ⅱ, World War I | World War two, World War two, World War one
Henry VIII, Louis XIV's, Charles V | Henry the eighth, Louis the fourteenth's, Charles the fifth
Napoleon III. | Napoleon the third.
Chapter XII. chapter i, Act III, Scene IV | Chapter twelve. chapter one, Act three, Scene four
said Charles I think, Part I like, IV drip, XL, type IIA | said Charles I think, Part I like, IV drip, XL, type IIA
"""
MANDARIN = """
今天气温是25.5度，共有300人参加。 | 今天气温是二十五点五度，共有三百人参加。
电话是13800138000 | 电话是幺三八零零幺三八零零零
嗯，那个啊，这个呃3个 | 嗯，那个啊，这个呃三个
小孩儿在花儿那玩儿2天 | 小孩儿在花儿那玩儿两天
A4纸 5G，奥迪A6L，A320 | A四纸五G，奥迪A六L，A三二零
用Python写了3个demo，It's don't | 用Python写了三个demo，It's don't
嘅3噉，㗎𨋢有5個 | 嘅三噉，㗎𨋢有五個
2021年，10:30，第1，1,234人 | 二零二一年，十点三十分，第一，一千二百三十四人
50%，5%-10%，五十%，5—10个 | 百分之五十，百分之五到百分之十，百分之五十，五到十个
¥100，￥100，$5，25℃ | 一百元，一百元，五美元，二十五摄氏度
GPT-4和GPT-3.5，95后 | GPT四和GPT三点五，九五后
C++和C#，AT&T，吃&喝，3+2=5，100+ | C加加和C sharp，AT and T，吃和喝，三加二等于五，一百加
他说“3”个 “A” @我 | 他说“三”个 “A” 艾特我
2月2日，12月2号，第2名，2手房 | 二月二日，十二月二号，第二名，二手房
下午2点，2点30分，2点5倍，2倍，2次，2年，2年级 | 下午两点，两点三十分，二点五倍，两倍，两次，两年，二年级
2個，2點鐘，2萬，12个，1-2个 | 两個，两點鐘，两萬，十二个，一到两个
大概20-30%，第3-5章，从2010-2020的 | 大概百分之二十到三十，第三到五章，从二零一零到二零二零的
以3-2获胜，10-5=5，0731-8888888 | 以三比二获胜，十减五等于五，零七三幺八八八八八八八
8,1.75米，1,234,567元，1‰，1米75 | 八, 一点七五米，一百二十三万四千五百六十七元，千分之一，一米七五
64 公里 / 小时，Ⅲ级 | 每小时六十四公里，三级
㈠首先❸最后⓪㊀㉑ | (一)首先三最后零一二十一
"""


def cases(table):
    return [tuple(line.split(" | ")) for line in table.strip().splitlines()]


@pytest.mark.parametrize("line, words", cases(ENGLISH))
def test_english(line, words, grammar):
    assert write_out(line, "en") == words


@pytest.mark.parametrize("line, words", cases(MANDARIN))
def test_mandarin(line, words, grammar):
    assert write_out(line, "zh") == words == write_out(line, "zh-en") == write_out(line, "yue")


def test_language_goes_by_the_letters_unless_it_is_english(grammar):
    assert write_out("iPhone 15", "zh-en") == "iPhone fifteen"
    assert write_out("110", "zh") == "幺幺零"
    assert write_out("on 15 号", "en") == "on fifteen 号"


@pytest.mark.parametrize(
    "line", ["don't stop, U.S. ZIP code — etc. (no)", "今天，啊，他'她 ok", "$ € a_b *~ ", "Mrs", ""]
)
def test_what_needs_no_words_stays(line):
    assert not needs_words(line) and write_out(line, "zh-en") == write_out(line, "en") == line


def test_bytes_that_are_no_text_pass_through(grammar):
    """The writer drops such lines, by the lone surrogates."""
    assert write_out("a\udce9 3 \udcff", "en") == "a\udce9 three \udcff"
    assert write_out("好\udce93个", "zh") == "好\udce9三个"
