"""Words around telephone numbers, in the languages of the check.

In: a text and a place in it. Out: what the words before the place say of a number there. All words are in lower case and
without accents.
"""

from __future__ import annotations

from enum import Enum

import regex

from guardproxy.checks._shared.pii.extended.before import NEAR, column, words_before


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


_TELEPHONES = _words(  # a telephone, a line, or a way to use it
    "\u624b\u673a \u643a\u5e2f \u7535\u8bdd \u8054\u7cfb\u7535\u8bdd \u96fb\u8a71 \uc804\ud654"
    " tel tele handy ph phone phones tlf tlfn tfn tfno smartphone iphone cel cell cellphone mob mobil mobile mobilephone"
    " cellular cellulare cellulari celular celulares mobiles mobilnr movil moviles fon kom gsm pager hotline"
    " helpline infoline landline durchwahl fax telefax whatsapp portable fijo festnetz dialin zap phonenumber"
    " telephonenumber mobilenumber"
)
_TELEPHONE_STEMS = tuple(
    _words(
        "telef teleph telemov telecop handyn mobiln mobiltel mobilfunk rufnummer komork whatsapp telenr telnr phoneno phonenr"
    )
)
_CALLS = _words(  # a call to a person
    "call dial ruf calls called calling contact contacts dialed hmu txt rufe rufen joindre bel bellen ringa ringer liga"
    " ligar ligue ligo digits buzz holla voicemail voicemails toll free contactno contactnumber"
)
_CALL_STEMS = tuple(_words("anruf appel rappel llam chiam zadzwo dzwon kontaktnum"))
_CALLS_WITH = _words("text ring reach message msg ping bereiken")  # a call if one of `_THEM` follows
_THEM = _words("me us him her them")
_REACHING = _words(  # how a person can be reached
    "reach email mail emails kontakt bereiken reached sms erreichen erreichbar erreichst joignable contactar contatto"
    " contato kontaktu bereikbaar contacter recapito emergency notfall urgence emergencia"
)
_NUMBER = _words("# number numbers no nr num nummer numero numer digits")
_OWNERS = _words(  # whose number it is: then it is a telephone's
    "son ma her tu contact emergency my our his their mon notre mein meine meinem meiner unsere mi mio meu nuestro nosso"
    " mijn mitt min moj moja your daytime ihre deine new"
)
_FILLING = _NUMBER | _words(  # words that may stand between one of the others and the number
    "o or s a ar und t tel e el le p phone h on one um m b i in th the la an es of f c lo w and it ce li line y to us al"
    " est pa me them that at is et her fr de now own cell mobile il kom fax dd op contact its text emergency my our his"
    " their uns you your day new ist lautet au him home work office private direct back still only under unter mich mir"
    " auf sur main evening type value td span this current nouveau neue neuen nuovo nuevo novo nya nieuwe pod pode je vous"
    " pour para het via moi nous primary secondary india uk abends"
)
_OTHERS = _words(  # numbers of other kinds
    "case part port nota page conta pin ein vat nie id order orders invoice invoices invoicenumber rechnung"
    " rechnungsnummer sn rechnungsnr bestellung bestellnummer bestellnr kunden kundennummer kundennr auftrag"
    " auftragsnummer facture factura fattura faktura fatura commande pedido ordine zamowienie zamowienia account acct"
    " konto kontonummer kontonr compte cuenta conto rekening rekeningnummer rachunek rachunku ids uid uuid guid ticket ref"
    " reference referenz tracking parcel shipment sendung sendungsnummer isbn issn ssn ean upc gtin tin doi sku serial"
    " serie seriennummer model modell partno article artikel artikelnummer batch lot charge sample policy contract vertrag"
    " vertragsnummer aktenzeichen az license licence lizenz key code codes otp zip plz cep postal postcode postleitzahl"
    " routing blz iban bic swift sort bsb aba nhs social security nip pesel regon nino tax ust steuer steuernummer pass"
    " passport passnummer ausweis ausweisnummer barcode member membership mitglied mitgliedsnummer confirmation booking"
    " reservation buchung buchungsnummer flight patient mrn medicare medicaid version build commit pid error size bytes"
    " pages room suite gate grant row chapter npi dea siren siret student employee claim transaction receipt certificate"
    " docket imei mac vin card kreditkarte timestamp date dob protocolo cpf cnpj dni nif curp rfc clabe bsn kvk"
    " personnummer organisationsnummer cvr cpr"
)
_SIGNS = "\u260e\u260f\u2706\U0001f4de\U0001f4df\U0001f4e0\U0001f4f1\U0001f4f2\U0001f919"  # pictures of telephones
EXTENSIONS = (
    r"[eE][xX][tT](?:\.|[eE][nN][a-z]{1,6})?"
    r"|[pP]oste|Durchwahl|DW|Apparat|App\.|wew\.|int\.|interno|anexo|ramal|toestel|ankn\."
)
_OWNER = r"(?:my|his|her|our|their|mein\pL{0,2}|mon|ma|mi|il mio|o meu|m[oó]j|mitt|min|mijn)"
_PLACE = (
    r"(?:cell|mobile|mob|home|work|office|phone|tel|fax|whatsapp|handy|mobil|privat|festnetz|b[uü]ro|portable|bureau"
    r"|domicile|fixe|m[oó]vil|casa|trabajo|celular|cellulare|ufficio|fisso|telem[oó]vel|kom[oó]rka|telefon|landline|day|evening|direct)"
)
_THING = (
    r"(?:(?:new|old|home|work|office|cell|mobile|phone|neue|private|nouveau|nuevo|nuovo|novo|nya|nieuwe)[ -])?"
    r"(?:number|cell|mobile|phone|landline|digits|nummer|handynummer|telefonnummer|mobilnummer|num[eé]ro|n[uú]mero|numer"
    r"|telefoonnummer|celular|portable|m[oó]vil)"
)
BEHIND = (  # a pattern of words directly behind a number
    rf"(?i:[ ]{{0,2}}[(\[][ ]?{_PLACE}(?:[ ]phone)?[ ]?[)\]]"
    r"|[ ]{0,2}[,\u2013-]?[ ]{0,2}(?:(?:that[\u2019']?s|this is|is|was|ist|c'est|est|es|[eèé]|[aä]r|to)[ ])?(?:still[ ])?"
    rf"{_OWNER}[ ]{_THING}(?!\w)|[ ](?:mobile|cell|landline)(?!\w)|[ ](?:call|text|txt|ring)[ ]me(?!\w))"
)
_LETTER = regex.compile(r"[\n|,;/\u2022\u00b7][ \t]*[TPMFHCtpmfhc]:[ ]*\Z")  # `T: 555 0147`
_END_OF_SENTENCE, _ABBREVIATED = regex.compile(r"[.!?]\s"), 3
_NEAR_SIGNS, _FILLERS, _FAR_WORDS, _NEAR_WORDS = 5, 6, 30, 9


class Relation(Enum):
    """What a number directly follows, by an example."""

    TELEPHONE = "phone"
    NUMBER = "my number"
    CALL = "call me on"


class BeforeNumber:
    """The words before a number that begins at `start`."""

    def __init__(self, text: str, start: int) -> None:
        self._text, self._start = text, start
        self._words = words_before(text, start, NEAR)

    def relation(self) -> Relation | None:
        """Returns what the number directly follows, or heads its column."""
        sign = self._text[max(0, self._start - 4) : self._start].rstrip("\ufe0f :-")[-1:]
        if sign and sign in _SIGNS:
            return Relation.TELEPHONE
        if _LETTER.search(self._text, max(0, self._start - 8), self._start):
            return Relation.CALL
        for at, word in enumerate(self._words[:_FILLERS]):
            if not word.is_near(_NEAR_SIGNS) or "+" in word.behind:
                break
            if _is_telephone(word.word):
                return Relation.TELEPHONE
            if self._is_own_number(at):
                return Relation.NUMBER
            if self._is_call(at):
                return Relation.CALL
            if word.word not in _FILLING:
                break
        return Relation.TELEPHONE if self.is_in_column() else None

    def is_in_column(self) -> bool:
        """Whether the number is in a column of telephone numbers."""
        header = column(self._text, self._start)
        return any(_is_telephone(word.word) for word in words_before(header, len(header)))

    def is_other(self) -> bool:
        """Whether the number directly follows a word for another number."""
        for word in self._words[:_FILLERS]:
            if not word.is_near(_NEAR_SIGNS) or _is_telephone(word.word):
                return False
            if word.word in _OTHERS:
                return True
            if word.word not in _FILLING:
                return False
        return False

    def is_near(self, is_dashed: bool) -> bool:
        """Whether a word for a telephone, a call or a way to reach somebody is nearer than a word for another number.

        `is_dashed`: the word may be further away, and in another sentence.
        """
        self._words = words_before(self._text, self._start)
        for at, word in enumerate(self._words[: _FAR_WORDS if is_dashed else _NEAR_WORDS]):
            if word.behind.count("\n") > 1 + is_dashed:
                return False
            if not is_dashed and len(word.word) > _ABBREVIATED and _END_OF_SENTENCE.search(word.behind):
                return False
            if "@" in word.behind or word.word in _REACHING or _is_telephone(word.word):
                return True
            if self._is_call(at) or self._is_own_number(at):
                return True
            if word.word in _OTHERS:
                return False
            if word.word in _NUMBER and is_dashed:
                return at + 1 < len(self._words) and self._words[at + 1].word not in _OTHERS
        return False

    def _is_call(self, at: int) -> bool:
        word = self._words[at].word
        if word in _CALLS_WITH:
            return at > 0 and self._words[at - 1].word in _THEM
        return word in _CALLS or word.startswith(_CALL_STEMS)

    def _is_own_number(self, at: int) -> bool:
        if self._words[at].word not in _NUMBER:
            return False
        for owner in self._words[at + 1 : at + 4]:
            if owner.word in _OWNERS:
                return True
            if owner.word not in _FILLING:
                break
        return False


def _is_telephone(word: str) -> bool:
    return word in _TELEPHONES or word.startswith(_TELEPHONE_STEMS)
