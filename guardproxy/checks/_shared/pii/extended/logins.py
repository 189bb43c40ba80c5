"""Passwords and names of users, near their words in some twenty languages.

In: a match of a pattern, in its text. Out: a span of PASSWORD or USERNAME, or nothing.

- PASSWORD: the value after a word for a password, in quotes, JSON, YAML, XML, `.env`, tables, forms, pairs of a name and a
  value, commands and addresses, or in prose (`my password is hunter2`).
- USERNAME: the same for names of users, and `@handle`.

Code names passwords more often than it holds them, so a value must not look like code, a type or a placeholder
(`_STAND_IN`). A value without quotes needs a digit or a sign, but on a line of its own (`DB_PASSWORD=swordfish`); where nothing
says that the next word is the value (`the password Tr0ub4dor& fails`), it needs letters, digits and a sign.
A match holds its word and its value; the line before it is read up to `BEFORE` characters back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import regex

from guardproxy.checks._shared.pii.engine import Span
from guardproxy.checks._shared.pii.extended.worded import Worded

BEFORE = 64
_LIKELY = 0.6
_LEAST, _LEAST_ALONE = 4, 5
_STAND_IN = regex.compile(
    r"(?:string|str|text|varchar|char|bytes?|int|integer|number|bool|boolean|any|none|null|nil|undefined|unknown"
    r"|true|false|yes|no|on|off|object"
    r"|void|required|optional|invalid|incorrect|wrong|missing|empty|blank|hidden|redacted|masked|encrypted|hashed"
    r"|example|sample|test|todo|tbd"
    r"|n/?a|change_?me|placeholder|value|x+|secretstr|self|this|your|my|the|a|an|not|is|are|to|of|and|or|if|for"
    r"|in|with|field|input|root"
    r"|admin|default|const|let|var|new|reset|forgotten|vergessen|taken|already|valid|unique|case|available"
    r"|correct|used|failed|system"
    r"|password|passwd|passwort|kennwort|wachtwoord|contraseña|senha|hasło|lösenord|pwd|pass|passphrase|user"
    r"|username|user_?name|login|name|id"
    r"|e?mail|assistant|human|bot|model|benutzername|usuario|utilisateur)[0-9]?\W*"
    r"|[\W_]*"
    r"|[0-9]{1,3}[-–]?(?:char|letter|digit|symbol|word|bit|day|month|hour|minute|zeichen|caract|carat|teken|znak|tecken).*"
    r"|your[-_ ].*|<.*|\[.*|\{\{?.*|.*[-_ ](?:here|example|placeholder)\W*|https?://.*|[/\\].*|[0-9]{1,2}[-–][0-9]{1,3}"
    r"|\$\{.*|\$\(.*|\$[A-Za-z_]+|\$[0-9]|%[sdr]|%\(.*|%[A-Z_]+%|#\{.*",
    regex.IGNORECASE | regex.DOTALL,
)
_CODE = regex.compile(
    r"\(.*|[&*@:#][A-Za-z_]+\W*|!\w+"
    r"|[A-Za-z_]\w*(?:\.[A-Za-z_]+)+[()\[\].]*|[A-Za-z_][\w.]*[(\[].*|[A-Za-z_]+[\w.]*(?:\?\.|::|->).*|[+=!|&~-]{1,3}|f[\"'].*",
    regex.DOTALL,
)
_NAMES_ITSELF = regex.compile(
    r"pass|pwd|secret|hash|token|env|config|cred|user|login|key|input|param|arg|field|name", regex.IGNORECASE
)
_PLAIN = regex.compile(r"[\p{L}_'’-]*")
_ODD = regex.compile(r"[^\w\s.,:;?!'’()-]")
_GOES_ON = regex.compile("[+%]")  # a value in quotes that code joins with another
_LETTER, _DIGIT = regex.compile(r"\p{L}"), regex.compile("[0-9]")
_SIGN_IN_VALUE = regex.compile(r"[!#$%^&*+=~?@€£§]")
_NO_SECRET = regex.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]+|(?:[\w-]+\.)+[a-z]{2,6}[?!]?|[A-Za-z]+[0-9]?[!?]+|\w+[=+].*|[#$&@]\w*"
    r"|.*[()\[\]{}].*"
)
_JOINED = regex.compile("[a-z][_-]|[_-][a-z]")
_E_MAIL = regex.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_NUMBERED = regex.compile(r"\p{L}+#[0-9]+")
_TAIL = regex.compile(r"(?:[.,;:)\]}|*。]+|です。?|입니다\.?)\Z")
_LIST = regex.compile(r"[,;&](?=[\w.-]+=)")
_LINE_START = regex.compile(r"(?:\A|[\n\r])[ \t>*\"'-]*(?:export |set |ENV )?[\w.-]*\Z")

_ATTRIBUTES = r"""(?:[ ][\w:-]{1,20}=(?:"[^"<>\n]{0,40}"|'[^'<>\n]{0,40}')){0,2}"""
_SIGN = (
    r"""(?P<sign>\\?["'`]?[)\]]?(?:\*\*|__)?(?:[ ]?[(\[][\w .,/-]{1,24}[)\]])?[ \t]{0,4}"""
    rf"""(?:=>|:=|[:=|：＝→]|->(?=[ ])|(?<=[ \t])[–—-](?=[ \t])|{_ATTRIBUTES}>(?=\S))"""
    r"""(?:\*\*|__)?[ \t]{0,4}(?:\r?\n[ \t]{1,8})?)"""
)
_PAIR = (
    r"""(?P<pair>["']?[ \t]{0,4},?[ \t]{0,4}(?:\r?\n[ \t]{0,24})?"""
    r"""["']?(?i:value|val)["']?[ \t]{0,2}[:=][ \t]{0,2})"""
)
_IS = (
    r"(?:is|ist|est|es|è|é|är|er)[ ](?:now|jetzt|nun|maintenant|ahora|adesso|agora|nu|still|noch|currently)"
    r"|is|was|will[ ]be|lautet|heißt|heisst|ist|war|est|es|era|è|é|to|är|var|er|je"
)
_FOR = r"(?:[ ](?:for|to|of|on|für|zu|pour|de|du|para|da|do|per|voor|van|till)(?:[ ][\w'’.-]{1,20}){1,4}?)?"
_NEXT = (
    r"(?P<next>'s[ ]|[ ](?:(?i:to|auf|en|a|para|in|naar|na|till|til|nueva[ ]es|nuova[ ]è)[ ])?|\t[ \t]{0,4}"
    r"|\??[ \t]?\r?\n[ \t]{0,4}|\?:?[ ]|\((?=[\"']))"
)
_QUOTED = (
    r"""\\"(?P<escaped>[^"\\\n]{1,64})\\"|"(?P<double>(?:[^"\\\n]|\\[^\n]){1,64})"|'(?P<single>[^'\n]{1,64})'"""
    r"""|`(?P<ticked>[^`\n]{1,64})`"""
    r"""|[“„«][ ]?(?P<curled>[^“”„«»\n]{1,64})[”“»]"""
)
_BARE = r"""(?P<bare>[^\s"'`<>]{1,64})(?=[\s"'`<>]|\Z)"""
_AFTER = r"(?P<after>[ \t]{0,2}(?:\r?\n|[#+%]|\Z)?)"
_VALUE = rf"(?:{_QUOTED}|{_BARE}){_AFTER}"
_VALUE_NEXT = (
    r"""(?:"(?P<next_double>[^"\\\n]{1,64})"|'(?P<next_single>[^'\n]{1,64})'|(?P<next_bare>[^\s"'`<>]{1,64})(?=[\s"'`<>]|\Z))"""
    r"(?P<next_after>[ \t]{0,2}(?:\r?\n|\Z)?)"
)
_LONG = (
    r"password|passwd|passphrase|passcode|passworte?|kennwort|mot[ _]de[ _]passe|wachtwoord|contraseña|contrasena"
    r"|palavra-passe|lösenord(?:et)?|adgangskode[nr]?|passord(?:et)?|salasanani|salasana|jelszó|jelszavam|contrasenya|парол[ьяю]"
    r"|密码|密碼|口令|パスワード|暗証番号|비밀번호"
)
_SHORT = (
    r"pwd|pw|pass|requirepass|mdp|senha|hasł[oa]|haslo|heslo|parola[ ]d['’]ordine|parolă|parola|şifre|clave|κωδικός"
    r"|wi-?fi[ -]key"
)
_PASSWORD_WORDS = rf"(?:(?P<long>(?i:{_LONG}))|(?<![0-9A-Za-z])(?P<short>(?i:{_SHORT})))"
_SAYS = rf"(?P<prose>{_FOR}(?:[ ](?i:{_IS}):?[ ]{{1,2}}|[ ]?[是为為は는은]))"
_NAMED_PASSWORD = (
    rf"(?:[ _-]?[12]|[ ](?:wi-?fi|provv?is\w{{2,6}}|temp\w{{0,8}}|nueva|nuova|nova))?"
    rf"(?:(?:{_FOR}{_SIGN}|{_PAIR}|{_SAYS}){_VALUE}|{_NEXT}{_VALUE_NEXT})"
)
_GIVEN_WORDS = (
    r"(?P<prose>(?<![\w-])--pass(?:word|wd|phrase)?|(?<!\w)(?i:(?:with|use|using|mit|avec|con|com|med|met)[ ](?:the[ ])?"
    r"(?:password|passwort|kennwort|contraseña|senha|lösenord|wachtwoord)|sshpass[ ]-p|identified[ ]by(?=[ ][\"'`\\])))"
)
_GIVEN_PASSWORD = rf"[ =]{_VALUE}"
_LOGIN_WORDS = r"(?<![\w-])(?i:login|user(?:[ _]?name)?)[ ](?=[\w.@+-]{1,40},?[ ](?i:and[ ])?(?i:pass|pw))"
_AFTER_LOGIN = (
    r"""[\w.@+-]{1,40},?[ ](?i:and[ ])?(?i:password|passwd|pass|pwd|pw)[ ]"""
    r"""(?P<value>[^\s"'`<>,;]{4,64})(?=[\s"'`<>,;]|\Z)"""
)
_USER_OF_LOGIN = r"(?P<value>[\w.@+-]{1,40}),?[ ](?i:and[ ])?(?i:password|passwd|pass|pwd|pw)[ ]"
_PROGRAM = r"(?<![\w/-])(?:mysql(?:dump|admin|import)?|mariadb|redis-cli|unzip|7z|psql)(?=[ ])"
_AFTER_PROGRAM = (
    r"""[^\n|;&]{0,80}?[ ](?:-p|-a[ ]|-P[ ]|--pass[= ])["']?(?P<value>[^\s"'|;&-][^\s"'|;&]{3,63})(?=[\s"'|;&]|\Z)"""
)
_USER_OF_PROGRAM = r"""[^\n|;&]{0,80}?[ ](?:-u[ ]?|-U[ ])["']?(?P<value>[A-Za-z_][\w.-]{1,39})(?=[\s"'|;&]|\Z)"""
_SET_BY_PIPE = r"(?<!\w)echo[ ]"
_BEFORE_CHPASSWD = r"""["']?[\w.-]{1,40}:(?P<value>[^\s"'|]{4,64})["']?[ ]{0,2}\|[ ]{0,2}(?:sudo[ ])?chpasswd"""
_OLD_ONE = r"(?<!\w)(?i:old|new|previous|temporary|other)[ ](?i:one)(?=[ ])"
_AFTER_OLD_ONE = r"[ ](?i:is|was)[ ](?P<next_bare>[^\s\"'`<>]{8,64})(?=[\s\"'`<>]|\Z)"
_PIN_WORDS = r"(?<![0-9A-Za-z])(?i:pin(?:[ _-]?(?:code|number|nummer|kod))?|geheimzahl|code[ ]secret|pass(?=code)code)"
_PIN = (
    r"""(?:\\?["']?[*_]{0,2}[ ]{0,2}[:=][ ]{0,2}[*_]{0,2}\\?["']?|[ ](?i:is|ist|lautet|est|es|è|é|to|är)[ ]"""
    r"""|'s[ ]|(?<=(?i:code|number|nummer|kod))[ ]|(?<=(?i:my|use|enter) pin)[ ])"""
    r"(?P<value>[0-9]{4,6})(?![\w-]|[.,:][0-9])"
)
_ADDRESS = r"(?<=[0-9A-Za-z])://"
_OPTION = r"(?<![\w-])(?i:-u|--user)[ =]"
_AFTER_ADDRESS = r"""[^\s:@/"'<>]{0,64}:(?P<value>[^\s@"'<>]{1,64}(?:@[^\s@/"'<>]{1,64}){0,2})@"""
_AFTER_OPTION = r"""["']?[\w.@+-]{1,64}:(?P<value>[^\s"'<>]{1,64})(?=[\s"']|\Z)"""
_ACCOUNT = (
    r"user[ _-]?name|screen[ _-]?name|gamer[ _-]?tag|nick[ _-]?name|login[ _-]?name|account[ _-]?name|user[ _-]?id"
    r"|benutzer(?:name|kennung)|nutzername|nom[ _]d['’]utilisateur|identifiant|gebruikersnaam"
    r"|nombre[ _]de[ _]usuario|nome[ _]utente"
    r"|nome[ _]de[ _](?:usu[aá]rio|utilizador)|nazwa[ _]u[żz]ytkownika|anv[äa]ndarnamn"
    r"|bru[gk]ernavn|käyttäjätunnus|käyttäjänimi|uživatelské[ ]jméno|felhasználónév|kullanıcı[ ]adı|имя[ ]пользователя"
    r"|用户名|用戶名|账号|ユーザー名|사용자[ ]이름|아이디"
)
_LOOSE = r"user|login|handle|nick|benutzer|utilisateur|gebruiker|usuario|usuário|utilizador|utente|użytkownik|användare|логин"
_USER_VALUE = r"\w(?:[\w.@+-]{0,38}\w)?_{0,2}"
_USER_WORDS = rf"(?:(?P<long>(?i:{_ACCOUNT}))|(?<![0-9A-Za-z-])(?P<short>(?i:{_LOOSE})))"
_NAMED_USER = (
    rf"(?:{_SIGN}|{_PAIR}|(?P<below>[ \t]?\r?\n)|"
    rf"(?P<prose>(?:[ ](?:of|for)(?:[ ][\w'’.-]{{1,20}}){{1,3}}?(?=[ ](?:is|was)[ ]))?(?:[ ](?i:{_IS}):?[ ]|'s[ ])))"
    rf"""(?:\\"(?P<escaped>{_USER_VALUE})\\"|"(?P<double>{_USER_VALUE})"|'(?P<single>{_USER_VALUE})'"""
    rf"""|`(?P<ticked>{_USER_VALUE})`"""
    rf"""|(?P<bare>{_USER_VALUE})(?![\w@+/\\(\["'-]|[.:]\w))(?P<after>[ \t]{{0,2}}(?:[\r\n.,;|!<&]|(?:and|but|und|et"""
    rf"""|och)(?!\w)|\Z)?)"""
)
_GIVEN_USER_WORDS = (
    r"(?:(?<!\w)(?i:(?:logged|log|sign|signed)[ ](?:in|on)[ ]as|login[ ]as:?|by[ ]user|angemeldet[ ]als|eingeloggt[ ]als"
    r"|connecté[ ]en[ ]tant[ ]que|conectado[ ]como|ingelogd[ ]als|inloggad[ ]som|zalogowany[ ]jako)[ ]"
    r"|(?<![\w-])--user(?:name)?[ =])"
)
_GIVEN_USER = r"(?P<value>\w(?:[\w.-]{0,38}\w)?)(?![\w@:(/]|\.\w)"
_USER_OF_ADDRESS = r"""(?P<value>[^\s:@/"'<>]{1,64}):[^\s@"'<>]{1,64}@"""
_USER_OF_OPTION = r"""["']?(?P<value>[\w.@+-]{1,64}):[^\s"'<>]{1,64}"""
_NAMED_BY_USER = r"(?<![\w.-])(?i:user|benutzer|utilisateur|usuario|account)(?=[ ])"
_ODD_USER = r"[ ](?P<value>[A-Za-z]{3,20}[\w.-]{0,20})(?![\w@:(/=]|\.\w)"
_SHELL_ADDRESS = r"(?<![\w-])(?i:ssh|sftp|ftp|git\+ssh)://(?!git@)"
_USER_OF_SHELL_ADDRESS = r"(?P<value>[\w.-]{1,40})@[\w\[]"
_SHELL = r"(?<![\w-])(?i:ssh|scp|sftp)[ ]"
_USER_OF_SHELL = r"(?:-\w[ ](?:\w{1,8}[ ])?){0,2}(?P<value>[\w.-]{1,40})@[\w\[]"
_AT = r"(?<![^\s(\[,;:>.\"'“‘„«|])@"
_HANDLE = r"(?P<value>[A-Za-z_]\w{1,29}(?:\.\w{1,20})?)(?![\w@(/=-]|\.\w)(?P<after>[ \t]{0,2}(?:\r?\n|\{)?)"
_NO_HANDLE = frozenset(
    [
        "abstractmethod",
        "after",
        "apply",
        "author",
        "autowired",
        "bean",
        "before",
        "brief",
        "cached_property",
        "charset",
        "classmethod",
        "code",
        "computed",
        "const",
        "constructor",
        "dataclass",
        "default",
        "deprecated",
        "description",
        "details",
        "entity",
        "example",
        "export",
        "extends",
        "final",
        "fixture",
        "font",
        "func",
        "function",
        "grok",
        "id",
        "import",
        "include",
        "inheritdoc",
        "input",
        "internal",
        "interface",
        "keyframes",
        "layer",
        "link",
        "media",
        "method",
        "module",
        "namespace",
        "nonnull",
        "note",
        "nullable",
        "observable",
        "optional",
        "output",
        "override",
        "overload",
        "page",
        "param",
        "params",
        "plugin",
        "private",
        "prop",
        "property",
        "protected",
        "public",
        "readonly",
        "ref",
        "remarks",
        "return",
        "returns",
        "see",
        "since",
        "staticmethod",
        "static",
        "summary",
        "supports",
        "tailwind",
        "template",
        "test",
        "throws",
        "title",
        "todo",
        "type",
        "typedef",
        "use",
        "version",
        "viewport",
        "what",
    ]
)
_COMMENT = regex.compile(r"(?:\A|[\n\r])[ \t]*(?:[*/#%{;]|--)[^\n\r]{0,64}\Z|\{\Z")
_QUOTES = ("escaped", "double", "single", "ticked", "curled")


def _is_complex(value: str) -> bool:
    """Whether a value can hardly be a word: it has letters, digits and a sign."""
    kinds = (_LETTER, _DIGIT, _SIGN_IN_VALUE)
    return len(value) >= 6 and all(kind.search(value) for kind in kinds) and not _NO_SECRET.fullmatch(value)


def _next_password(match: Any) -> Span | None:
    """Reads a value that stands next to its word, without a sign or a verb between them."""
    given = match.groupdict()
    group = next(name for name in ("next_double", "next_single", "next_bare") if given.get(name))
    value, between = match[group], given.get("next") or " "
    if group == "next_bare":
        value = value[: len(value) - len(tail[0])] if (tail := _TAIL.search(value)) else value
    if _STAND_IN.fullmatch(value) or (group == "next_bare" and _CODE.fullmatch(value)):
        return None
    has_both = bool(_LETTER.search(value) and _DIGIT.search(value))
    if group != "next_bare":
        found = has_both and " " not in value
    elif "\n" in between:
        is_alone = match["next_after"].endswith("\n") or match.end() == len(match.string)
        found = is_alone and _is_complex(value) and bool(_line_start(match))
    elif between in ("'s ", "? ", "?: ") or "\t" in between or given.get("short", "") == "requirepass":
        found = has_both and len(value) >= 6 and not _NO_SECRET.fullmatch(value)
    else:
        found = _is_complex(value) and (between != " " or not _NUMBERED.fullmatch(value))
    low = match.start(group)
    return Span(low, low + len(value), "PASSWORD", _LIKELY, False) if found else None


def _line_start(match: Any) -> Any:
    """Whether the word is the first of its line."""
    return _LINE_START.search(match.string, max(0, match.start() - BEFORE), match.start())


def _password(match: Any) -> Span | None:
    given = match.groupdict()
    if any(given.get(name) for name in ("next_double", "next_single", "next_bare")):
        return _next_password(match)
    group = next((name for name in _QUOTES if given.get(name)), "bare")
    low, value = match.start(group), match[group]
    if group == "bare":
        value = _LIST.split(value, maxsplit=1)[0]
        value = value[: len(value) - len(tail[0])] if (tail := _TAIL.search(value)) else value
    if _STAND_IN.fullmatch(value) or (group == "bare" and _CODE.fullmatch(value)):
        return None
    is_prose, is_long = bool(given.get("prose")), bool(given.get("long"))
    if group != "bare":
        is_phrase = is_prose or (given.get("long") or "").lower().endswith("phrase")
        found = (is_phrase or " " not in value or _is_odd(value)) and not _GOES_ON.search(match["after"])
        found = found and (given.get("short") != "pass" or not _PLAIN.fullmatch(value))
    elif _PLAIN.fullmatch(value):
        found = (is_long or _is_variable(match)) and not is_prose and _is_alone(match, value)
    elif given.get("pair"):
        found = len(value) >= _LEAST and not value.isdigit()
    else:
        found = len(value) >= _LEAST and (is_long or is_prose or not value.isdigit())
        found = found and not (is_prose and _E_MAIL.fullmatch(value))
    return Span(low, low + len(value), "PASSWORD", _LIKELY, False) if found else None


def _is_variable(match: Any) -> bool:
    """Whether the word ends the name of a variable of the environment (`SMTP_PASS=`)."""
    given = match.groupdict()
    short, sign = given.get("short") or "", given.get("sign")
    return short.isupper() and sign == "=" and match.string[max(0, match.start() - 1) : match.start()] == "_"


def _is_odd(value: str) -> bool:
    """Whether a value with a space is no label or sentence."""
    return value.count(" ") == 1 and any(map(str.isdigit, value)) and _ODD.search(value) is not None


def _is_alone(match: Any, value: str) -> bool:
    """Whether a word without digits and signs is all of a line that begins with a word for a password."""
    if len(value) < _LEAST_ALONE or _NAMES_ITSELF.search(value) or match["bare"] != value:
        return False
    if "\n" not in match["after"] and match.end() < len(match.string):
        return False
    return _line_start(match) is not None


def _user(match: Any) -> Span | None:
    given = match.groupdict()
    group = next((name for name in _QUOTES if given.get(name)), "bare")
    value = match[group]
    if _STAND_IN.fullmatch(value) or value.isdigit():
        return None
    found = True
    if group == "bare":
        is_plain = bool(_PLAIN.fullmatch(value)) and "_" not in value
        if is_plain and _NAMES_ITSELF.search(value):
            return None
        ends = bool(match["after"].strip(" \t")) or match.end() == len(match.string)
        if given["below"]:
            is_row = given["long"] and ("\n" in match["after"] or match.end() == len(match.string))
            if not is_row or (is_plain and not _DIGIT.search(value)) or _line_start(match) is None:
                return None
        if given["long"]:
            found = not is_plain or ends
        elif given["sign"]:
            found = not is_plain or (given["sign"] == "=" and not _CODE.fullmatch(value))
        else:
            found = any(map(str.isdigit, value))
        if found and "=" in (given["sign"] or "") and _CODE.fullmatch(value):
            return None
    return Span(match.start(group), match.end(group), "USERNAME", _LIKELY, False) if found else None


def _odd_user(match: Any) -> Span | None:
    """Reads a name next to the word `user`, which must have a digit and a sign that joins words."""
    value = match["value"].rstrip("-._")
    is_joined = _JOINED.search(value) and (len(_DIGIT.findall(value)) > 1 or "_" in value)
    found = is_joined and _DIGIT.search(value) and not _STAND_IN.fullmatch(value)
    low = match.start("value")
    return Span(low, low + len(value), "USERNAME", _LIKELY, False) if found else None


def _handle(match: Any) -> Span | None:
    if match["value"].lower() in _NO_HANDLE or "{" in match["after"]:
        return None
    before = match.string[max(0, match.start() - BEFORE) : match.start()]
    line = before.rpartition("\n")[2]
    if "\n" in match["after"] and not line.strip():
        return None  # a decorator
    if _COMMENT.search(before):
        return None
    return Span(match.start("value"), match.end("value"), "USERNAME", _LIKELY, False)


def _value_of(entity: str) -> Callable[[Any], Span | None]:
    """Returns a reader of matches that takes the group that took part, unless it stands for a value."""

    def read_match(match: Any) -> Span | None:
        group = next(name for name, value in match.groupdict().items() if value)
        value = match[group]
        return (
            None if _STAND_IN.fullmatch(value) else Span(match.start(group), match.end(group), entity, _LIKELY, False)
        )

    return read_match


def _secret_value(match: Any) -> Span | None:
    """Reads the value of a command or of a line that names its user, too: it needs a digit or a sign."""
    value = match["value"]
    if _STAND_IN.fullmatch(value) or _PLAIN.fullmatch(value) or _CODE.fullmatch(value):
        return None
    return Span(match.start("value"), match.end("value"), "PASSWORD", _LIKELY, False)


RECOGNIZERS = (
    Worded("PASSWORD", _PASSWORD_WORDS, _NAMED_PASSWORD, _password),
    Worded("PASSWORD", _GIVEN_WORDS, _GIVEN_PASSWORD, _password),
    Worded("PASSWORD", _LOGIN_WORDS, _AFTER_LOGIN, _secret_value),
    Worded("PASSWORD", _PROGRAM, _AFTER_PROGRAM, _secret_value),
    Worded("PASSWORD", _SET_BY_PIPE, _BEFORE_CHPASSWD, _secret_value),
    Worded("PASSWORD", _OLD_ONE, _AFTER_OLD_ONE, _next_password),
    Worded("PASSWORD", _PIN_WORDS, _PIN, _value_of("PASSWORD")),
    Worded("PASSWORD", _ADDRESS, _AFTER_ADDRESS, _value_of("PASSWORD")),
    Worded("PASSWORD", _OPTION, _AFTER_OPTION, _value_of("PASSWORD")),
    Worded("USERNAME", _USER_WORDS, _NAMED_USER, _user),
    Worded("USERNAME", _GIVEN_USER_WORDS, _GIVEN_USER, _value_of("USERNAME")),
    Worded("USERNAME", _ADDRESS, _USER_OF_ADDRESS, _value_of("USERNAME")),
    Worded("USERNAME", _OPTION, _USER_OF_OPTION, _value_of("USERNAME")),
    Worded("USERNAME", _LOGIN_WORDS, _USER_OF_LOGIN, _value_of("USERNAME")),
    Worded("USERNAME", _PROGRAM, _USER_OF_PROGRAM, _value_of("USERNAME")),
    Worded("USERNAME", _NAMED_BY_USER, _ODD_USER, _odd_user),
    Worded("USERNAME", _SHELL_ADDRESS, _USER_OF_SHELL_ADDRESS, _value_of("USERNAME")),
    Worded("USERNAME", _SHELL, _USER_OF_SHELL, _value_of("USERNAME")),
    Worded("USERNAME", _AT, _HANDLE, _handle),
)
