"""Plain orders to drop earlier rules in other languages, for `overrides.py`.

In: nothing. Out: patterns in RE2 syntax, to be matched in any case. Each has an order in the imperative, and rules that are
called earlier ones, with a few words between; accents that are often left out are optional. The words are by one author and are
not checked by native speakers, so the patterns ask for much rather than for little.
"""

from __future__ import annotations

from guardproxy.checks._shared.patterns.reach import compile_pattern

_GAP = r"[\s_*~\"'`\x{2018}-\x{201F}\-,:;()]{1,4}"
_LETTER = r"[^\s\x00-@\[-`{-\x{7F}\x{3001}\x{3002}\x{FF01}\x{FF0C}\x{FF1F}]"
"""A letter of any script, roughly. Classes of Unicode would make programs a hundred times as long."""


def _some(most: int) -> str:
    return rf"(?:{_LETTER}+{_GAP}){{0,{most}}}?"


def _latin(words: str) -> str:
    """Returns words that begin where an ASCII word begins."""
    return rf"\b(?:{words})"


def _before(no: str, verb: str, earlier: str, rules: str, all_before: str) -> str:
    """Returns a pattern for a verb, then what is earlier or the reader's own, then rules: as in German."""
    named = rf"{_some(4)}(?:{earlier}){_GAP}{_some(2)}(?:{rules})"
    return rf"(?:(?:{no}){_GAP})?(?:{verb}){_GAP}(?:{named}|{_some(1)}(?:{all_before}))"


def _around(no: str, verb: str, earlier: str, rules: str, your: str, all_before: str) -> str:
    """Returns a pattern for a verb, then rules with what is earlier before or after them: as in Spanish."""
    after = rf"(?:{rules}){_GAP}{_some(2)}(?:{earlier})"
    before = rf"(?:{earlier}|{your}){_GAP}{_some(1)}(?:{rules})"
    return rf"(?:(?:{no}){_GAP})?(?:{verb}){_GAP}(?:{_some(4)}(?:{after}|{before})|{_some(1)}(?:{all_before}))"


def _after(earlier: str, rules: str, verb: str) -> str:
    """Returns a pattern for earlier rules, then a verb: as in Turkish."""
    return rf"(?:{earlier}){_GAP}{_some(2)}(?:{rules}){_GAP}{_some(2)}(?:{verb})"


_GERMAN = _before(
    _latin("nicht|niemals|nie"),
    r"\bignorier(?:e|en sie|t)|\bvergi(?:ss|ß)|\bvergesst|\bvergessen sie|\bmissachte(?:n sie|t)?|\bverwirf",
    "(?:vorherig|bisherig|vorangehend|vorig|obig|fr[üu]her|urspr[üu]nglich|anf[äa]nglich|vorausgegangen)e[nrs]?"
    "|(?:dein|eur)e[nrs]?",
    _LETTER
    + "{0,12}(?:anweisung|instruktion|regel|vorgabe|anordnung|befehl|richtlinie|prompt|schr[äa]nkung)(?:en|n|e|s)?",
    "alles (?:bisherige|obige|vorherige|fr[üu]here)|alles,? was (?:bisher|vorher|zuvor|oben|davor|dir|man dir)",
)
_DUTCH = _before(
    _latin("niet|nooit"),
    r"\bnegeer|\bvergeet",
    "vorige|eerdere|voorgaande|bovenstaande|oorspronkelijke|voorafgaande|je|jouw|uw",
    "instructies?|aanwijzingen|regels|richtlijnen|opdrachten|bevelen|beperkingen",
    "alles (?:hierboven|hiervoor)|alles wat (?:hiervoor|hierboven|eerder|je (?:is|werd))",
)
_SWEDISH = _before(
    _latin("inte|aldrig"),
    r"\bignorera|\bgl[öo]m(?: bort)?|\bbortse fr[åa]n|\bstrunta i",
    "tidigare|f[öo]reg[åa]ende|ovanst[åa]ende|ursprungliga|dina|era",
    "instruktioner(?:na)?|regler(?:na)?|anvisningar(?:na)?|riktlinjer(?:na)?|order|begr[äa]nsningar(?:na)?",
    "allt (?:ovanf[öo]r|ovan|tidigare|som (?:sagts|stod|st[åa]r))",
)
_SPANISH = _around(
    _latin("no|nunca|jam[áa]s"),
    r"\bignor(?:a|e|ad|en)|\bolv[íi]d(?:a|e|ad|en)(?:te|se)?|\bdescart(?:a|e|ad|en)|\bomit(?:e|a|an)|\bdesobede(?:ce|zca)",
    "anteriores|previas|precedentes|originales|iniciales|de arriba|del sistema",
    "instrucci[oó]n(?:es)?|[oó]rdenes|reglas|directrices|indicaciones|normas|restricciones",
    "tus|vuestras",
    "todo lo anterior|todo lo que (?:te|se te|os)",
)
_PORTUGUESE = _around(
    _latin("n[ãa]o|nunca|jamais"),
    r"\bignor(?:e|a|em)|\besque[çc](?:a|e|am)(?:-se)?|\bdesconsider[ea]|\bdescart[ea]|\bdesobede[çc]a",
    "anteriores|pr[ée]vias|precedentes|originais|iniciais|acima|do sistema",
    "instru[çc](?:[õo]es|[ãa]o)|regras|ordens|diretrizes|orienta[çc](?:[õo]es|[ãa]o)|restri[çc][õo]es",
    "suas|tuas",
    "tudo (?:acima|o que (?:foi dito|te|lhe|veio antes|est[áa] acima))",
)
_FRENCH = _around(
    _latin("ne|pas|jamais"),
    r"\bignor(?:e|es|ez)|\boubli(?:e|es|ez)|\bn[ée]glige[sz]?|\bfai(?:s|tes) abstraction(?: de)?",
    r"pr[ée]c[ée]dente?s?|ant[ée]rieure?s?|initiale?s?|ci-dessus|pr[ée]alables|d['\x{2019}]origine|du syst[èe]me",
    "instructions?|consignes?|r[èe]gles?|directives?|ordres?|restrictions?",
    "tes|vos",
    r"tout ce qui pr[ée]c[èe]de|tout ce qu['\x{2019}]on (?:t|vous)|tout ce qui (?:est|[ée]tait|a [ée]t[ée]) (?:[ée]crit|dit)",
)
_ITALIAN = _around(
    _latin("non|mai"),
    r"\bignora(?:te)?|\bdimentica(?:te|ti)?|\btralascia(?:te)?|\bscorda(?:te|ti)?|\bscarta(?:te)?",
    "precedenti|originali|iniziali|anteriori|del sistema|qui sopra",
    "istruzion[ei]|regole|direttive|ordini|indicazioni|linee guida|restrizioni",
    "tue|tuoi|vostre",
    "tutto (?:quanto sopra|(?:quello|ci[òo]) che (?:precede|ti|vi|[èe] stato detto))",
)
_POLISH = _before(
    _latin("nie|nigdy"),
    r"\bz?ignoruj(?:cie)?|\bzapomnij(?:cie)?(?: o)?|\bpomi[ńn](?:cie)?|\bodrzu[ćc](?:cie)?",
    "poprzedni(?:e|ch|mi)|wcze[śs]niejsz(?:e|ych|ymi)|powy[żz]sz(?:e|ych)|dotychczasow(?:e|ych)|pierwotn(?:e|ych)"
    "|swo(?:je|ich)|two(?:je|ich)",
    "instrukcj(?:e|i|ach)|polece(?:nia|[ńn]|niach)|zasad(?:y|ach)?|regu[łl](?:y|ach)?|wytyczn(?:e|ych)|rozkaz(?:y|ach)"
    "|ogranicze(?:nia|[ńn]|niach)",
    "wszystk(?:o|im),? (?:co (?:by[łl]o|powiedziano|ci)|powy[żz]ej)",
)
_RUSSIAN = _before(
    "не|никогда",
    "(?:про)?игнорируй(?:те)?|забудь(?:те)?(?: об?)?|отбрось(?:те)?",
    "(?:предыдущ|прежн|предшествующ|вышеуказанн|прошл|начальн|исходн|изначальн)"
    + _LETTER
    + "{1,4}|сво(?:и|их)|тво(?:и|их)",
    "(?:инструкци|указани|правил|команд|распоряжени|директив|приказ|ограничени)" + _LETTER + "{0,4}",
    "вс[её],? что (?:было|тебе|вам|написано|сказано)|вс[её] (?:вышесказанное|предыдущее)",
)
_TURKISH = _after(
    "[öo]nceki|yukar[ıi]daki",
    f"(?:talimat|komut|kural|y[öo]nerge|emir){_LETTER}{{0,8}}",
    "(?:yok say|g[öo]rmezden gel|g[öo]z ard[ıi] et|dikkate alma|unut)(?:ma)?",
)
_ARABIC = (
    rf"(?:لا )?(?:ت?تجاهل|إ?انس|إنس){_GAP}{_some(3)}(?:التعليمات|الأوامر|القواعد|التوجيهات|الإرشادات){_GAP}{_some(1)}"
    r"(?:السابقة|أعلاه|الأصلية|المذكورة)"
)
_HINDI = _after("पिछले|पिछली|पूर्व|उपरोक्त", "निर्देशों?|आदेशों?|नियमों?", "अनदेखा|नज़रअंदाज़|नजरअंदाज|भूल जा")
_CHINESE = (
    rf"(?:不要|别|請勿|请勿)?(?:忽略|无视|無視|忘记|忘記|忘掉|忽視|忽视|不要理会|抛开){_LETTER}{{0,6}}"
    rf"(?:之前|以前|先前|以上|上面|上述|前面|此前|原来|原有){_LETTER}{{0,8}}(?:指令|指示|命令|规则|規則|提示|设定|設定|限制)"
)
_JAPANESE = (
    rf"(?:これまで|今まで|以前|以上|上記|前述|先ほど|最初){_LETTER}{{0,10}}(?:指示|命令|ルール|規則|プロンプト|指令)"
    rf"{_LETTER}{{0,6}}(?:無視|忘れ|破棄)(?:し?な[いく]|せず|しません)?"
)
_KOREAN = (
    rf"(?:이전|앞선|앞의|위의|지금까지|기존)(?:{_LETTER}|\s){{0,10}}(?:지시|지침|명령|규칙|프롬프트)(?:{_LETTER}|\s){{0,10}}"
    r"(?:무시|잊)(?:하지)?"
)
ABROAD = (
    _GERMAN, _DUTCH, _SWEDISH, _SPANISH, _PORTUGUESE, _FRENCH, _ITALIAN, _POLISH, _RUSSIAN, _TURKISH, _ARABIC, _HINDI, _CHINESE,
    _JAPANESE, _KOREAN,
)  # fmt: skip

PROHIBITION = compile_pattern(
    r"(?i)\A(?:nicht|niemals|nie|niet|nooit|inte|aldrig|no|nunca|jam[áa]s|n[ãa]o|jamais|ne|pas|non|mai|nigdy|не|никогда|لا)[^\pL]"
    r"|\A(?:تتجاهل|不要[忽无無忘]|别[忽无無忘]|[請请]勿)"
    r"|(?:ない|なく|せず|しません|하지|saym?a|gelme|etme|unutma)\z"
)
"""What makes a match a prohibition of such an order. Turkish `dikkate alma` is an order itself."""
