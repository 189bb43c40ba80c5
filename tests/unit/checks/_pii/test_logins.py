"""Names of users and passwords: what is found, what is left alone, and that the cuts of a text change nothing."""

from __future__ import annotations

import pytest

from guardproxy.checks import Check, Resources, build
from guardproxy.testing import assert_every_split, assert_promise, whole

CHECKS = {
    entity: build("pii", "pii", {"entities": [entity], "evasions": "off"}, Resources())
    for entity in ("USERNAME", "PASSWORD")
}
PASSWORDS = {
    "my password is hunter2": ["hunter2"],
    "my password is hunter2, please reset it": ["hunter2"],
    "The password is: Tr0ub4dor&3.": ["Tr0ub4dor&3"],
    "Password: hunter2\nUsername: bob": ["hunter2"],
    "password = 'hunter2'": ["hunter2"],
    'password="correct-horse"': ["correct-horse"],
    '"password": "hunter2"': ["hunter2"],
    '{"password":"p@ss, w0rd}"}': ["p@ss, w0rd}"],
    '"pwd":"swordfish"': ["swordfish"],
    r"{\"password\":\"hunter2\"}": ["hunter2"],
    "DB_PASSWORD=swordfish\nDB_HOST=x": ["swordfish"],
    "export PGPASSWORD=s3cret!": ["s3cret!"],
    "dbPassword: hunter2": ["hunter2"],
    "password: swordfish\n": ["swordfish"],
    "  password: s3cr3t # dev": ["s3cr3t"],
    "<password>hunter2</password>": ["hunter2"],
    "--password hunter2 --host": ["hunter2"],
    "--password=hunter2": ["hunter2"],
    "user/password: bob/hunter2": ["bob/hunter2"],
    "the wifi password for the office is Blue_Sky99!": ["Blue_Sky99!"],
    "login with password hunter2 please": ["hunter2"],
    "pw: hunter2": ["hunter2"],
    "pass: Hunter2!": ["Hunter2!"],
    'passphrase: "correct horse battery staple"': ["correct horse battery staple"],
    "my passphrase is 'correct horse battery staple'": ["correct horse battery staple"],
    "PIN: 4711": ["4711"],
    "my pin is 4711": ["4711"],
    "pin code 4711": ["4711"],
    "mein Passwort lautet Sommer2024!": ["Sommer2024!"],
    "Kennwort: Sommer2024!": ["Sommer2024!"],
    "das Passwort ist geheim123": ["geheim123"],
    "mot de passe : Soleil2024": ["Soleil2024"],
    "mon mot de passe est Soleil2024.": ["Soleil2024"],
    "mdp: Soleil2024": ["Soleil2024"],
    "wachtwoord: Zomer2024!": ["Zomer2024!"],
    "mijn wachtwoord is Zomer2024": ["Zomer2024"],
    "contraseña: Verano2024": ["Verano2024"],
    "mi contraseña es Verano2024!": ["Verano2024!"],
    "la mia password è Estate2024": ["Estate2024"],
    "senha: Verao2024": ["Verao2024"],
    "minha senha é Verao2024": ["Verao2024"],
    "palavra-passe: Verao2024": ["Verao2024"],
    "hasło: Lato2024!": ["Lato2024!"],
    "moje hasło to Lato2024": ["Lato2024"],
    "lösenord: Sommar2024": ["Sommar2024"],
    "mitt lösenord är Sommar2024": ["Sommar2024"],
    "password: $W7J34gUs": ["$W7J34gUs"],
    "password: %h4IL)fCe&U1eJ": ["%h4IL)fCe&U1eJ"],
    "pw=*m4hypB$+*t(_H": ["*m4hypB$+*t(_H"],
    "**Password:** hunter2": ["hunter2"],
    "Password: `hunter2`": ["hunter2"],
    "| Password | hunter2 |": ["hunter2"],
    "curl -u bob:hunter2! https://x.example": ["hunter2!"],
    "postgres://bob:hunter2@db.example/x": ["hunter2"],
    "IDENTIFIED BY 'hunter2'": ["hunter2"],
    'my password is "swordfish"': ["swordfish"],
    "the old password was hunter2": ["hunter2"],
    "password:\n  hunter2": ["hunter2"],
}
NO_PASSWORDS = [
    "password reset", "password: str", "password: string;", "password: String,", "password = getpass()", "password=os.environ['X']",
    "password: ${DB_PASSWORD}", "password: {{ vault_password }}", "password: <your password>", "password: ********", "password: xxxxxxxx",
    "password must be 8 characters", '"password": "string"', "password: required", "password = None", "password=True", "password: &str",
    "password = self.password", "password = request.form.get('p')", "self.password = password", '{"password": password}', "password: Optional[str]",
    "Failed password for root from 10.0.0.1 port 22 ssh2", "Accepted password for bob from 10.0.0.1", "password is incorrect", "the password is required.",
    "password: your_password_here", "password: changeme", "password: password", "Password:\nUsername: bob", "Forgot password?", "password policy: 90 days",
    '"password": "Enter your password"', '"password": ""', "password_hash = hash(x1)", "passwordHash: abc123def", "password strength: 5",
    "passwords: 12", "password = input('x')", "password: z.string().min(8)", "password: hashedPassword", "password=$1", "password=%s",
    "password=$PASSWORD", "password: process.env.DB_PASS", "pin 13 of the board", "pin: 7", "spin: 4711", "pins 4711", "pin it to 2024.",
    "password is not the 2nd", "the compass: north1", "bypass: rule1", "pass: true", "Pass: 12 Fail: 3", "pass 2: done", "password: REDACTED",
    "password: <PASSWORD_1>", "password: [PASSWORD_1]", "password: https://x.example/reset", "the password was changed.", "senha incorreta", "hasło nie jest poprawne",
    "Passwort vergessen", "password protected", "password=password", "password: *args", "password=args.password", "password: example", "password: 'foo' + x1" ,
    "password: \"${env:X1}\"", "password: 8-20 characters",
]  # fmt: skip
USERNAMES = {
    "username: bob42": ["bob42"],
    "Username: mikeb\n": ["mikeb"],
    "My username is mikeb.": ["mikeb"],
    "my user name is john_27 and": ["john_27"],
    '"username": "bob"': ["bob"],
    '"user": "patrick42"': ["patrick42"],
    '"userName":"bob"': ["bob"],
    '"login": "octocat"': ["octocat"],
    "login: bob.smith": ["bob.smith"],
    "user=bob42 action=x": ["bob42"],
    "logged in as bob42": ["bob42"],
    "Benutzername: hmeier": ["hmeier"],
    "Benutzer: h.meier": ["h.meier"],
    "nom d'utilisateur : jdupont": ["jdupont"],
    "identifiant : jdupont75": ["jdupont75"],
    "gebruikersnaam: jjansen": ["jjansen"],
    "nombre de usuario: jperez": ["jperez"],
    "usuario: jperez99": ["jperez99"],
    "nome utente: mrossi": ["mrossi"],
    "nome de usuário: jsilva": ["jsilva"],
    "nome de utilizador: jsilva": ["jsilva"],
    "nazwa użytkownika: jkowalski": ["jkowalski"],
    "användarnamn: eriks": ["eriks"],
    "ssh bob@10.0.0.1": ["bob"],
    "postgres://bob:hunter2@db.example/x": ["bob"],
    "curl -u bob:hunter2 https://x.example": ["bob"],
    "thanks @janeroe_ for the help": ["janeroe_"],
    "@janeroe see this": ["janeroe"],
    "cc @jane.roe": ["jane.roe"],
    "via @jane_roe!": ["jane_roe"],
    '"screen_name": "janeroe"': ["janeroe"],
    "| Username | bob42 |": ["bob42"],
    "**Username:** bob42": ["bob42"],
    "<username>bob42</username>": ["bob42"],
    "my gamertag is xX_bob_Xx": ["xX_bob_Xx"],
    "--user=bob42": ["bob42"],
}
NO_USERNAMES = [
    "username: string", "username: str,", "username = input()", '"username": {', "User: hello", "user: Hello, how are you", "username is required.",
    '"role": "user"', "user is valid", "@property\n", "    @Override", "* @param name", "{@link Foo}", "@media (max-width", "@types/node", "bob@example.com",
    "react@18.2.0", "username: <username>", "username: ${USER}", "user=None", "the username is already taken", "user friendly", "login failed",
    "username: null", '"user": "string"', "user agent: Mozilla", "@app.route('/x')", "@dataclass(frozen=True)", "at 5 @ night", "user interface: GTK3", "end-user: x",
    "username and password", "username: your_username", '"user": "What is 2+2?"', "multi-user: yes", "user guide: page 3", "login: required",
]  # fmt: skip
CASES = [
    *[("PASSWORD", text, found) for text, found in PASSWORDS.items()],
    *[("PASSWORD", text, []) for text in NO_PASSWORDS],
    *[("USERNAME", text, found) for text, found in USERNAMES.items()],
    *[("USERNAME", text, []) for text in NO_USERNAMES],
]


def found(check: Check, text: str) -> list[str]:
    return [text[finding.start : finding.end] for finding in whole(check, text)]


@pytest.mark.parametrize(("entity", "text", "values"), CASES)
def test_what_is_found_near_which_words(entity: str, text: str, values: list[str]) -> None:
    assert found(CHECKS[entity], text) == values
    assert_every_split(CHECKS[entity], text)


@pytest.mark.parametrize(
    ("entity", "pieces"),
    [
        (
            "PASSWORD",
            ["password", " is ", ": ", '"', "'", "hunter2", "=", "pin", "4711", "\n", " for the office", "&", ",", "x"],
        ),
        ("USERNAME", ["user", "name", ": ", "is ", "bob", "42", '"', "@", "ssh ", "10.0.0.1", "\n", ".", "://", ":x"]),
    ],
)
def test_the_cuts_of_a_text_change_nothing(entity: str, pieces: list[str]) -> None:
    assert_promise(CHECKS[entity], pieces, 200)
