"""Words around telephone numbers, in the languages of the check. All are in lower case and without accents.

`TELEPHONE`: a telephone, a line or a way to use it; `CALLING`: a call to a person; both test a word, which may be part of a
compound. `THEM`: words for a call if `me` or `them` follows. `REACHING`: words that say how to reach a person. `NUMBER`:
words for a number, which is a telephone's after `OWN`. `FILLING`: words that may stand between such a word and the number.
`OTHER`: words for numbers of other kinds. `SIGNS`: pictures of telephones.
"""

from __future__ import annotations

from collections.abc import Callable

SIGNS = "\u260e\u260f\u2706\U0001f4de\U0001f4df\U0001f4e0\U0001f4f1\U0001f4f2\U0001f919"


def _either(words: str, stems: str) -> Callable[[str], bool]:
    known, beginnings = frozenset(words.split()), tuple(stems.split())
    return lambda word: word in known or word.startswith(beginnings)


TELEPHONE = _either(
    "tel tele tlf tlfn tfno tfn phone phones smartphone iphone cellphone mobilephone ph mob cell cellular cellulare cellulari celular"
    " celulares cel mobil mobile mobiles mobilnr movil moviles fon kom gsm pager hotline helpline infoline landline durchwahl fax"
    " telefax whatsapp portable fijo festnetz dialin zap phonenumber telephonenumber mobilenumber \u7535\u8bdd \u96fb\u8a71 \u624b\u673a"
    " \u643a\u5e2f \u8054\u7cfb\u7535\u8bdd \uc804\ud654",
    "telef teleph telemov telecop handy mobiln mobiltel mobilfunk rufnummer komork whatsapp telenr telnr phoneno phonenr faxn",
)
CALLING = _either(
    "call calls called calling contact contacts dial dialed hmu txt ruf rufe rufen joindre bel bellen ringa ringer liga ligar ligue"
    " ligo digits buzz holla voicemail voicemails toll free contactno contactnumber",
    "anruf appel rappel llam chiam zadzwo dzwon kontaktnum",
)
THEM = frozenset(("text", "ring", "reach", "message", "msg", "ping", "bereiken", "joins"))
REACHING = frozenset(
    "email mail emails reach reached sms erreichen erreichbar erreichst joignable contactar contatto contato kontakt"
    " kontaktu bereiken bereikbaar contacter recapito emergency notfall urgence emergencia".split()
)
NUMBER = frozenset("# number numbers no nr num nummer numero numer digits".split())
OWN = frozenset(
    "my our his her their mon ma notre son mein meine meinem meiner unsere mi mio meu nuestro nosso mijn mitt min moj moja tu your emergency contact daytime"
    " ihre deine new".split()
)
FILLING = NUMBER | frozenset(
    "is it its s ist lautet est es e ar at on in to or and me us him her them you my our your his their new home work office private"
    " direct contact line the now back still only of under unter mich mir uns an auf au le la el al um op pa a o il lo sur tel m w h"
    " p t f cell mobile phone fax main day evening type value text td th dd li span b this that own current nouveau neue neuen nuovo"
    " nuevo novo nya nieuwe pod pode kom je vous pour para het via id0 i und et y emergency primary secondary number1 one 1 2 3 "
    " india uk us de fr abends only c ce".split()
)
OTHER = frozenset(
    "order orders invoice invoices invoicenumber rechnung rechnungsnummer rechnungsnr bestellung bestellnummer bestellnr kundennummer"
    " kundennr kunden auftrag auftragsnummer facture factura fattura faktura fatura commande pedido ordine order zamowienie zamowienia"
    " account acct konto kontonummer kontonr compte cuenta conto conta rekening rekeningnummer rachunek rachunku id ids uid uuid guid"
    " ticket case ref reference referenz tracking parcel shipment sendung sendungsnummer isbn issn ean upc gtin doi sku serial"
    " seriennummer sn model modell part partno article artikel artikelnummer batch lot charge sample policy contract vertrag"
    " vertragsnummer aktenzeichen az license licence lizenz key code codes pin otp zip plz cep postal postcode postleitzahl routing blz"
    " iban bic swift sort bsb aba nhs ssn social security nip pesel regon nino tax vat ust steuer steuernummer ein tin passport pass passnummer"
    " ausweis ausweisnummer barcode member membership mitglied mitgliedsnummer confirmation booking reservation buchung buchungsnummer"
    " flight patient mrn medicare medicaid version build commit pid error port size bytes page pages room suite gate grant row chapter"
    " npi dea siren siret student employee claim transaction receipt certificate docket imei mac vin card kreditkarte timestamp date"
    " dob serie protocolo nota cpf cnpj dni nif nie curp rfc clabe bsn kvk personnummer organisationsnummer cvr cpr".split()
)
