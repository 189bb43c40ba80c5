"""Made-up secrets in the right form, one for each rule, put together at run time so that no file holds one."""

from __future__ import annotations

import random
import string

LOWER, DIGITS = string.ascii_lowercase, string.digits
ALNUM = string.ascii_letters + DIGITS
HEX = DIGITS + "abcdef"
URLSAFE = ALNUM + "-_"
BASE32 = string.ascii_uppercase + "234567"


def made_up(seed: int = 1) -> dict[str, tuple[str, str]]:
    """For each rule's id a text and the part of it that must be found."""
    dice = random.Random(seed)

    def some(count: int, letters: str = ALNUM) -> str:
        return "".join(dice.choice(letters) for _ in range(count))

    body = "\n".join(some(64, ALNUM + "+/") for _ in range(5))
    pem = f"{'-' * 5}BEGIN RSA PRIVATE KEY{'-' * 5}\n{body}\n{'-' * 5}END RSA PRIVATE KEY{'-' * 5}"
    secret = some(38, ALNUM + "+/") + "aZ"
    login = "scott:" + some(10) + "7!"
    jwt = f"eyJ{some(20, URLSAFE)}.eyJ{some(60, URLSAFE)}.{some(43, URLSAFE)}"
    key = some(20, ALNUM) + "7x"
    plain = {
        "private-key": pem,
        "anthropic": "sk-" + "ant-api03-" + some(80, URLSAFE),
        "openrouter": "sk-" + "or-v1-" + some(64, HEX),
        "openai": "sk-" + "proj-" + some(90, URLSAFE),
        "groq": "gsk" + "_" + some(52),
        "xai": "xai" + "-" + some(80),
        "replicate": "r8" + "_" + some(37),
        "huggingface": "hf" + "_" + some(34),
        "aws-access-key-id": "AK" + "IA" + some(16, BASE32),
        "google-api-key": "AI" + "za" + some(35, URLSAFE),
        "google-oauth-token": "ya" + "29." + some(60, URLSAFE),
        "google-oauth-secret": "GOC" + "SPX-" + some(28, URLSAFE),
        "digitalocean": "dop" + "_v1_" + some(64, HEX),
        "databricks": "da" + "pi" + some(32, HEX),
        "github-token": "gh" + "p_" + some(36),
        "github-fine-grained": "github" + "_pat_" + some(22) + "_" + some(59),
        "gitlab-token": "gl" + "pat-" + some(20, URLSAFE),
        "npm": "np" + "m_" + some(36),
        "pypi": "py" + "pi-AgE" + some(100, URLSAFE),
        "docker": "dckr" + "_pat_" + some(27, URLSAFE),
        "atlassian": "ATA" + "TT3" + some(180, URLSAFE),
        "postman": "PM" + "AK-" + some(24, HEX) + "-" + some(34, HEX),
        "slack-token": "xo" + "xb-" + some(12, DIGITS) + "-" + some(24),
        "slack-app-token": "xa" + "pp-1-" + some(11) + "-" + some(13, DIGITS) + "-" + some(40, HEX),
        "slack-webhook": "hooks.slack" + ".com/services/T" + some(8) + "/B" + some(8) + "/" + some(24),
        "discord-webhook": "discord" + ".com/api/webhooks/" + some(18, DIGITS) + "/" + some(68, URLSAFE),
        "telegram-bot": some(10, DIGITS) + ":A" + "A" + some(33, URLSAFE),
        "twilio": "S" + "K" + some(32, HEX),
        "sendgrid": "S" + "G." + some(22, URLSAFE) + "." + some(43, URLSAFE),
        "mailchimp": some(32, HEX) + "-us" + "14",
        "stripe": "sk" + "_live_" + some(24),
        "stripe-webhook": "whs" + "ec_" + some(32),
        "shopify": "shp" + "at_" + some(32, HEX),
        "square": "sq0" + "atp-" + some(22, URLSAFE),
        "linear": "lin" + "_api_" + some(40),
        "notion": "nt" + "n_" + some(46),
        "vault": "hv" + "s." + some(90, URLSAFE),
        "age": "AGE-SECRET" + "-KEY-1" + some(58, "023456789ACDEFGHJKLMNPQRSTUVWXYZ"),
        "jwt": jwt,
        "connection-string": "postgres" + "://" + login + "@db.internal:5432/orders?sslmode=require",
    }
    found = {rule: (f"use {value} for now", value) for rule, value in plain.items()}
    found["aws-secret-access-key"] = (f"aws_secret_access_key = {secret}\n", secret)
    azure = some(86, ALNUM + "+/") + "=="
    found["azure-storage-key"] = (f"AccountName=a;AccountKey={azure};", azure)
    found["url-password"] = ("clone https" + f"://{login}@git.internal/x.git now", login)
    found["basic-auth"] = (f"Authorization: Basic {key} ", key)
    found["bearer"] = (f"curl -H 'Authorization: Bearer {key}' ", key)
    found["assignment"] = (f'"client_secret": "{key}",', key)
    return found
