"""Forms of numbers and symbols that WeTextProcessing reads wrongly in Mandarin, as words; for training text and scores.

Telephone numbers, versions, dates with dots, powers, currencies before a number, names made of digits, comparisons.
In telephone numbers and names 1 is 幺 (一一零 is 幺幺零 as well), in years and decimals it is 一.
"""

import re
import unicodedata

from espnet_llmasr.text.normalize import HAN

_DIGITS = "零一二三四五六七八九"
_SIGNS = {"≥": "大于等于", "≤": "小于等于", "≠": "不等于", "≈": "约等于", "√": "根号", "∞": "无穷大"}
_GREEK = dict(
    zip("αβγδεθλμπρσφω", "阿尔法 贝塔 伽马 德尔塔 艾普西龙 西塔 兰姆达 缪 派 柔 西格玛 斐 欧米伽".split()),
    **dict(zip("ΔΣΩ", "德尔塔 西格玛 欧米伽".split())),
)
_CURRENCIES = {"¥": "元", "￥": "元", "RMB": "元", "CNY": "元", "$": "美元", "US$": "美元", "USD": "美元"}
_CURRENCIES.update({"HK$": "港元", "HKD": "港元", "NT$": "新台币", "TWD": "新台币", "A$": "澳元", "AUD": "澳元"})
_CURRENCIES.update({"C$": "加元", "CAD": "加元", "S$": "新加坡元", "SGD": "新加坡元", "€": "欧元", "EUR": "欧元"})
_CURRENCIES.update({"£": "英镑", "GBP": "英镑", "JP¥": "日元", "JPY": "日元", "CN¥": "元", "₩": "韩元", "KRW": "韩元"})
_CURRENCIES.update({"₹": "卢比", "INR": "卢比", "₽": "卢布", "RUB": "卢布", "₫": "越南盾", "฿": "泰铢", "THB": "泰铢"})
_CURRENCIES.update({"CHF": "瑞士法郎", "₿": "比特币"})
_CURRENCY = "|".join(re.escape(name) for name in sorted(_CURRENCIES, key=len, reverse=True))
_CODES = "|".join(name for name in _CURRENCIES if name.isalpha())
_PRICE = r"(?:\d+(?:,\d{3})*(?:\.\d+)?)"
_LARGE = "(?:[十百千]?[万萬亿億]|[百千])"
_UNITS = {"km": "公里", "m": "米", "cm": "厘米", "mm": "毫米", "dm": "分米", "ft": "英尺"}
_SMALL_UNITS = {"m": "米", "g": "克", "s": "秒", "l": "升"}
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_EXPONENT = str.maketrans(f"{_SUPERSCRIPTS}⁻ⁿ", "0123456789负n")
# A number before one of these is a quantity; before one of the nouns below it is a name, read digit by digit.
_MEASURES = (
    "个個人名位只隻家台部辆輛张張块塊元角分万萬亿億千百十多余几年月日号號天周时時点點秒小岁歲米公厘毫克吨升平立方"
    "次场場件条條套本页頁篇首份种種类類项項届集期层層间棟栋座棵朵颗粒片双對对副组組队隊班级步倍度成折股章节段句字"
    "行里寸尺亩英磅码美欧港韩澳加新卢%℃°"
)
_NOUNS = (
    "高校|大学(?!生)|院校|工程|事件|事变|惨案|晚会|工作制|医院|中学(?!生)|路(?!人|口)|室|房(?!价)|病房|教室|宿舍|寝室|"
    "航班|次列车|客机|飞机|空难|航空|国道|省道|高速|专线|热线|客服|客户|网站|网|页面|错误|条款|报警|急救|火警|消防|"
    "特工|公司|集团|软件|大促|购物节|会议室|部队|车间|洞|地块|型|系列|号楼|号线|电话|短信|反诈|协议|认证|标准"
)
_CUES = (
    "电话|電話|座机|固话|联系方式|热线|手机|拨打|致电|拨|打|号码|號碼|传真|微信|客服|编号|尾号|卡号|账号|学号|工号|验证码|密码|邮编|"
    "邮政编码|分机|转|tel|区号|代码|车牌|房号|房间|QQ|波音|空客|标致|保时捷"
)
_RESULT = "(?:获胜|取胜|击败|战胜|大胜|险胜|完胜|领先|落后|不敌|逆转|战平|输给|负于)"
_EVENT = '[”"』」]?(?:特?大?(?:地震|爆炸|洪[灾水]|暴雨|火灾|空难)|事[变變件]|惨案|恐袭|枪击|疫情|晚会|大促|购物节|案|行情|[表告]白)'
# Of these the number is a date, where 1 is 一: 五一劳动节, 十一国庆, 一二九运动.
_HOLIDAY = '(?=[”"』」]?(?:国庆|黄金周|劳动节|妇女节|儿童节|建军节|青年节|植树节|教师节|元旦|假期|运动|運動))'
_SERIES = "歼|轰|运|直|东风|長征|长征|神舟|嫦娥|天宫|天舟|天问|苏|米格|图|红旗|鹰击|巨浪|空警|彩虹|快舟|风云"
_RELEASES = "版本|Python|Java|PHP|iOS|iPadOS|安卓|Android|macOS|Windows|Ubuntu|Linux|内核|鸿蒙|HarmonyOS|CUDA|MySQL|v"
_PHONE = r"(?:\(?0\d{2,3}\)?[ -]?\d{3,4}[ -]?\d{4}|1[3-9]\d[ -]?\d{4}[ -]?\d{4}|[48]00[ -]?\d{3,4}[ -]?\d{3,4})"
EXTENSIONS = "net|com|cn|org|py|js|exe|txt|pdf|docx?|jpg|png|mp[34]|zip|apk|html?|css|json|csv|xml"
MILLIONS = r"[1-9]\d{0,2}(?:\.\d{3}){2}(?![\d.])"  # 1.000.000, which is no version
_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", "(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"


def _price(match: "re.Match") -> str:
    """ "$3.5万" -> "3.5万美元"; a line may say 美元 a second time."""
    sign, amount, large = match[1].upper(), match[2], match[3] or ""
    amount = re.sub("[-~—–至]", "到", amount.replace(",", ""))
    return f"{amount}{large}{'' if match[4] else _CURRENCIES[sign]}"


def _holiday(match: "re.Match") -> str:
    """ "5.1" -> "五一", "10.1" -> "十一", "12.9" -> "一二九", "3.12" -> "三月十二日"."""
    month, day = match[1].lstrip("0"), match[2].lstrip("0")
    if f"{month}.{day}" == "10.1":
        return "十一"
    is_name = f"{month}.{day}" in ("3.8", "5.1", "5.4", "6.1", "7.1", "8.1", "12.9")
    return by_digit(month + day) if is_name else f"{_below_100(month)}月{_below_100(day)}日"


def _years(match: "re.Match") -> str:
    joint = match[2].strip()
    return f"{by_digit(match[1])}{joint if joint == '至' else '到'}{by_digit(match[3])}"


def _mixed_fraction(match: "re.Match") -> str:
    """ "1½" and "1 1/2" -> "1又1/2"."""
    fraction = unicodedata.normalize("NFKC", match[4]).replace("\u2044", "/") if match[4] else f"{match[2]}/{match[3]}"
    numerator, denominator = map(_below_100, fraction.split("/"))
    return f"{match[1]}又{denominator}分之{numerator}"


def _address(match: "re.Match") -> str:
    """ "a_1@163.com" -> "a下划线幺艾特幺六三点com"."""
    words = re.sub(r"\d+", lambda number: spell(number[0]), match[0])
    return words.replace(".", "点").replace("_", "下划线").replace("@", "艾特")


def _power(match: "re.Match") -> str:
    exponent = (match[1] or match[2]).translate(_EXPONENT).replace("-", "负")
    return {"2": "的平方", "3": "的立方"}.get(exponent, f"的{exponent}次方")


def _version(match: "re.Match") -> str:
    """ "2.0.11" -> "二点零点十一", "192.168.1.1" -> "幺九二点幺六八点幺点幺"."""
    parts = match[1].split(".")
    is_address = len(parts) == 4 and any(len(part) > 2 for part in parts)
    return "点".join(spell(part) if is_address or len(part) > 2 else _below_100(part) for part in parts)


def _below_100(number: str) -> str:
    """ "10" -> "十", "21" -> "二十一", "04" -> "零四"."""
    if len(number) == 1 or number[0] == "0":
        return by_digit(number)
    tens, ones = by_digit(number)
    return f"{tens if tens != '一' else ''}十{ones if ones != '零' else ''}"


FORMS = [
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        ("[₀-₉]+", lambda m: m[0].translate(_SUBSCRIPTS)),
        (r"[a-z0-9_.+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+|(?<![a-z])www(?:\.[a-z0-9-]+)+", _address),
        (r"(?<![a-z\d.@])\d{3,}\.(?=(?:com|cn|net)(?![a-z]))", lambda m: f"{spell(m[0])}点"),
        (r"(?<![^\s,，。:：(])~ ?(?=[$£€¥]?\d)", "大约"),
        (r"(?<![a-z\d.'])\d{1,3}(?:'\d{3})+(?![a-z\d'])", lambda m: m[0].replace("'", ",")),
        (r"(?<![\w.])\.(?=\d)", "0."),
        (r"(\d+)(?: (\d)/(\d\d?)(?!\d)|([¼-¾⅐-⅞]))", _mixed_fraction),
        (
            rf"(?<![\d./-])(\d\d?)/(\d\d?)(?=(?![日号號月])[{_MEASURES}])",
            lambda m: f"{_below_100(m[2])}分之{_below_100(m[1])}",
        ),
        (r"(?<=\d)° ?(\d\d?) ?'(?: ?(\d\d?(?:\.\d+)?) ?[\"″])?", lambda m: f"度{m[1]}分" + f"{m[2]}秒" * bool(m[2])),
        (r"(?<=\d)( ?(?:[kmgt]?b|帧|k?m|[公千]?米))/s(?![a-z²])", r"\1每秒"),
        (
            rf"(?<![a-z])((?:{_RELEASES}) ?)(\d\d?)\.([1-9]\d)(?![\d.])",
            lambda m: f"{m[1]}{_below_100(m[2])}点{_below_100(m[3])}",
        ),
        (r"(?<!\d)24/7(?!\d)", "24 7"),
        (r"(?<!\d)2(?=单元|單元)", "二"),
        (rf"({_SERIES})-(?=\d)", r"\1"),
        (rf"({_YEAR})( ?[-~—–至到] ?)({_YEAR})(?=[学財财]?年|赛季|届)", _years),
        (r"(?<!\d)[6-9]\d(?=年(?:\d{1,2}月|[初底末春夏秋冬]|出生|毕业|入学|参加|高考|生))", lambda m: by_digit(m[0])),
        (r"(?<=[日号號月年时時点點分秒\d元块周])[—–]+ ?(?=\d)", "到"),
        (r"(?<=[a-z])\+(?=\d)", "加"),
        (rf"(?<![\d:])(\d{{1,3}}):(\d{{1,3}})(?=(?:的比分)?{_RESULT})", r"\1比\2"),
        # 100 000 and 1 234 567, but neither 555 123 nor 138 0013 8000
        (
            r"(?<![\d.,+-])\d{1,3}(?: (?:\d{3} )*\d00|(?: \d{3}){2,})(?![\d.,-]| \d)",
            lambda m: m[0].replace(" ", ""),
        ),
        (rf"({_CURRENCY}) ?({_PRICE}(?: ?[-~—–至到] ?{_PRICE})?) ?({_LARGE}?)(?=(美?[元金]|块|港币)?)", _price),
        (rf"(?<![A-Za-z$])({_PRICE})({_LARGE}?)([¥€£₩₹₽])(?!\d)", lambda m: f"{m[1]}{m[2]}{_CURRENCIES[m[3]]}"),
        (rf"(?<![\d.,])({_PRICE}{_LARGE}?) ?({_CODES})(?![a-z])", lambda m: f"{m[1]}{_CURRENCIES[m[2].upper()]}"),
        (r"(?:\+|(?<!\d)00(?=86))(\d[\d ()-]{6,}\d)", lambda m: f"加{spell(m[1])}"),
        (r"\+86(?!\d)", "加八六"),
        (r"(?<!\d)\d{4}(?: \d{4}){2,}(?: \d{1,3})?(?!\d)", lambda m: spell(m[0])),
        (rf"(?<![\d.,-])({_PHONE})(?![\d.]|-\d|[元块万萬亿億])", lambda m: spell(m[0])),
        (
            rf"(?:(?:{_CUES})(?:号码|号|为|是|了|叫|[:：])? ?)\d(?:[ -]?\d){{2,}}(?![\d.A-Za-z{_MEASURES}])",
            lambda m: re.sub(r"\d(?:[ -]?\d)+", lambda number: spell(number[0]), m[0]),
        ),
        (r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])", lambda m: m[0].replace(",", "")),
        (
            rf"(?<![\d.])({_YEAR})([./-])({_MONTH})\2({_DAY})(?![\d./-])",
            lambda m: f"{m[1]}年{int(m[3])}月{int(m[4])}日",
        ),
        (rf"(?<![\d.-])({_YEAR})[-/.](0[1-9])(?![\d./-])", lambda m: f"{m[1]}年{int(m[2])}月"),
        (rf"(?<![\d.])({_MONTH})[.·•・‧]({_DAY}){_HOLIDAY}", _holiday),
        (r"(?<![\d.])(\d+)[·•・‧](\d+)(?:[·•・‧](\d+))?(?!\d)", lambda m: spell(m[0])),
        (rf"(?<![\d.])\d{{1,2}}\.\d{{1,2}}(?={_EVENT})", lambda m: spell(m[0])),
        (rf"(?<![\d.])(?!{MILLIONS})(\d+(?:\.\d+){{2,}})(?!\d|\.\d)(?<!\.\d{{4}})", _version),
        (
            r"(?<![\d.])(1[3-9]|2\d|3[01])\.(0?[1-9]|1[0-2])\.((?:19|20)\d\d)(?![\d.])",
            lambda m: f"{m[3]}年{int(m[2])}月{int(m[1])}日",
        ),
        (r"(?<![A-Za-z])(km|cm|mm|dm|m|ft)([²³])", lambda m: f"{'平立'[m[2] == '³']}方{_UNITS[m[1].lower()]}"),
        (r"(公里|千米|厘米|毫米|分米|英尺|米)([²³])", lambda m: f"{'平立'[m[2] == '³']}方{m[1]}"),
        (r"(?<=\d)/(?=平方|立方)|(?<=[元块])/(?=平方|立方)", "每"),
        (r"(?<=[\d)%]) ?[*×] ?(?=[\d(A-Za-z])|(?<=[A-Za-z])\*(?=\d)|(?<=\d)(?<!(?<!\d)0)x(?=\d)", "乘"),
        (r"(?<=\d) ?÷ ?(?=\d)", "除以"),
        (r"(?<=[\d%℃℉°]) ?[—–]+ ?(?=\d)|(?<=[%℃℉°]) ?[-~] ?(?=-?\d)", "到"),
        (rf"(?<![\d.-])(\d{{1,3}})-(\d{{1,3}})(?=(?:的比分)?{_RESULT})", r"\1比\2"),
        (r"(?<!\d)\d[05](?=后(?![面来天]))", lambda m: by_digit(m[0])),
        (rf"(?:(?<=[\d)])|(?<![A-Za-z]{{3}})(?<=[A-Za-z]))(?:([⁻{_SUPERSCRIPTS}ⁿ]+)|\^(-?\d+|n))", _power),
        (rf"(?<![\d.,:/A-Za-z-])(?!\d+00(?!\d))(\d{{3,5}})(?={_NOUNS})", lambda m: spell(m[0])),
        (rf"(?<=[A-Za-z]) ?(?!\d+00(?!\d))(\d{{3,}})(?![\d.:,/A-Za-z-]|\ ?[{_MEASURES}])", lambda m: spell(m[0])),
        (r"(?<![\d.,:/~-])0\d{1,}(?![\d.,:/年月日号时點点分秒-])", lambda m: spell(m[0])),
        (rf"(?<![\d.,])\d{{9,}}(?![\d.,{_MEASURES}])|(?<![\d.,])\d{{17,}}", lambda m: spell(m[0])),
        (
            r"(?<![<>=-])(?<![</][A-Za-z])(?<![A-Za-z]{2}) ?[<>] ?(?=\d)",
            lambda m: {"<": "小于", ">": "大于"}[m[0].strip()],
        ),
        (
            rf"(?<!\.)\.(?=(?:{EXTENSIONS})(?![a-z0-9]))",
            "点",
        ),
        (r"[≥≤≠≈√∞]", lambda m: _SIGNS[m[0]]),
        (r"(?<=\d) ?[µμ]([mgsl])(?![A-Za-z])", lambda m: f"微{_SMALL_UNITS[m[1].lower()]}"),
        (r"(?<=\d) ?(k|M)?Ω", lambda m: {"k": "千欧", "m": "兆欧"}.get((m[1] or "").lower(), "欧姆")),
        (r"(?<![α-ωΑ-Ω])(?-i:[αβγδεθλμπρσφωΔΣΩ])(?![α-ωΑ-Ω])", lambda m: _GREEK[m[0]]),
    )
]
UNDECIDED = re.compile(
    # 12/34/56, 1-2-3-4, 1.000.000, 12.05.2021 (May or December), 1e10, 0x1f, a footnote, 12345678 (a name or quantity)
    rf"(?<![\d.,/-]){MILLIONS}|"
    r"(?<![\d.,/-])(?:\d+(?:/\d+){2,}|\d+(?:-\d+){3,}|\d\d?\.\d\d?\.\d{4}|0x[0-9a-f]+|"
    r"\d+(?:\.\d+)?e[+-]?\d+)(?![\d/-]|[.,]\d)"
    rf"|(?<=[{HAN}])[{_SUPERSCRIPTS}]+|(?<=[A-Za-z]{{3}})[{_SUPERSCRIPTS}]+"
    rf"|(?<![\d.,共约約达達为為有超近总總逾])(?!\d*000(?!\d))\d{{7,8}}(?![\d.,{_MEASURES}])",
    re.IGNORECASE,
)


def rewrite_forms(line: str) -> str:
    """Words for the forms that WeTextProcessing reads wrongly: "电话010 12345678" -> "电话零幺零幺二三四五六七八"."""
    for pattern, replacement in FORMS:
        line = pattern.sub(replacement, line)
    return line


def spell(number: str) -> str:
    """ "110" -> "幺幺零": the digits of a telephone number or a name; anything else is left out."""
    return by_digit(number).replace("一", "幺")


def by_digit(number: str) -> str:
    """ "2021" -> "二零二一": the digits of a year."""
    return "".join(_DIGITS[int(digit)] for digit in number if digit.isdecimal())
