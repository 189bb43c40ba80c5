"""Numbers of medical records and plates: what is found, what is left alone, and that cuts change nothing."""

from __future__ import annotations

import pytest

from guardproxy.checks import Resources, build
from guardproxy.testing import assert_promise
from tests.kit.checks import assert_values

CHECKS = {
    entity: build("pii", "pii", {"entities": [entity], "evasions": "off"}, Resources())
    for entity in ("MEDICAL_RECORD", "LICENSE_PLATE")
}
RECORDS = {
    "MRN: 00123456": ["00123456"],
    "MRN 12-34-56, seen today": ["12-34-56"],
    "MRN# A1234567": ["A1234567"],
    "(MRN 4471902)": ["4471902"],
    "mrn=4471902;": ["4471902"],
    '"mrn": "H-4471902"': ["H-4471902"],
    '{"patient_mrn":4471902}': ["4471902"],
    "medical record number is 4471902.": ["4471902"],
    "Medical Record No. 447190-2": ["447190-2"],
    "medical record #4471902": ["4471902"],
    "Patient ID: PT-20931": ["PT-20931"],
    '"patientId": "20931-7"': ["20931-7"],
    "patient number 20931": ["20931"],
    "| MRN | 4471902 |": ["4471902"],
    "**MRN:** 4471902": ["4471902"],
    "MRN\n4471902": ["4471902"],
    "<mrn>4471902</mrn>": ["4471902"],
    "Hospital number: K123456": ["K123456"],
    "chart #447190": ["447190"],
    "health record number 4471902": ["4471902"],
    "Patientennummer: 4471902": ["4471902"],
    "Patienten-Nr. 44719": ["44719"],
    "Krankenaktennummer 4471902": ["4471902"],
    "numéro de dossier médical : 4471902": ["4471902"],
    "N° de dossier patient 44719": ["44719"],
    "numéro de patient : 44719": ["44719"],
    "patiëntnummer 4471902": ["4471902"],
    "medisch dossiernummer: 4471902": ["4471902"],
    "número de historia clínica: 4471902": ["4471902"],
    "NHC: 4471902": ["4471902"],
    "historia clínica nº 4471902": ["4471902"],
    "cartella clinica n. 4471902": ["4471902"],
    "codice paziente: PZ44719": ["PZ44719"],
    "número do prontuário: 447190-2": ["447190-2"],
    "prontuário nº 4471902": ["4471902"],
    "número do paciente 44719": ["44719"],
    "numer pacjenta: 44719": ["44719"],
    "nr historii choroby 44719/2021": ["44719/2021"],
    "numer kartoteki medycznej: 4471902": ["4471902"],
    "patientnummer: 44719": ["44719"],
    "journalnummer 44719": ["44719"],
    "Journalnr: 44719": ["44719"],
    "his MRN is 4471902": ["4471902"],
    "the patient's ID is 4471902": ["4471902"],
}
NO_RECORDS = [
    "MRN: pending",
    "patient number 3",
    "patient number 12",
    "patient_id: int",
    "patient_id = 0",
    '"patient_id": null',
    "MRN: string",
    "the record number 4471902",
    "patients 4471902",
    "patient count: 4471902",
    "number of patients: 4471",
    "medical records 2019-2021",
    "the medical record of 1234567",
    "impatient 44719",
    "a patient in room 44719",
    "chart 12 shows 44719",
    "mrna 4471902",
    "MRN:",
    "patient number increased to 12000",
    "patientId: string",
    "inpatient numbers: 44719",
    "journal number five",
    "flight chart 447190",
]
PLATES = {
    "license plate 7ABC123": ["7ABC123"],
    "licence plate: AB12 CDE": ["AB12 CDE"],
    "plate number is ABC-1234.": ["ABC-1234"],
    "number plate LM53 XYZ was seen": ["LM53 XYZ"],
    "plate no. ABC 1234": ["ABC 1234"],
    "registration number AB12 CDE": ["AB12 CDE"],
    "vehicle reg: AB12CDE": ["AB12CDE"],
    "his car (reg. LM53XYZ)": ["LM53XYZ"],
    '"license_plate": "ABC1234"': ["ABC1234"],
    '"licensePlate":"8XYZ921"': ["8XYZ921"],
    "plates: abc1234": ["abc1234"],
    "Kennzeichen: B-MW 1234": ["B-MW 1234"],
    "amtliches Kennzeichen M AB 1234E": ["M AB 1234E"],
    "Nummernschild HH-AB 123": ["HH-AB 123"],
    "Kfz-Kennzeichen W-12345A": ["W-12345A"],
    "Kennzeichen LÖ-AB 12": ["LÖ-AB 12"],
    "plaque d'immatriculation AB-123-CD": ["AB-123-CD"],
    "immatriculée AB 123 CD": ["AB 123 CD"],
    "immatriculation : 1234 AB 75": ["1234 AB 75"],
    "kenteken 12-ABC-3": ["12-ABC-3"],
    "Kenteken: AB-12-CD": ["AB-12-CD"],
    "nummerplaat 1-ABC-123": ["1-ABC-123"],
    "matrícula 1234 BCD": ["1234 BCD"],
    "matrícula: M-1234-AB": ["M-1234-AB"],
    "placas ABC-123-D": ["ABC-123-D"],
    "targa AB 123 CD": ["AB 123 CD"],
    "un'auto targata AB123CD": ["AB123CD"],
    "matrícula 12-AB-34": ["12-AB-34"],
    "placa ABC1D23": ["ABC1D23"],
    "placa: ABC-1234": ["ABC-1234"],
    "numer rejestracyjny WA 12345": ["WA 12345"],
    "nr rej. KR 1AB23": ["KR 1AB23"],
    "tablica rejestracyjna WX 4567A": ["WX 4567A"],
    "registreringsnummer ABC 123": ["ABC 123"],
    "regnr: ABC12D": ["ABC12D"],
    "number plate MH 12 AB 1234": ["MH 12 AB 1234"],
    "Nummernschild ZH 123456": ["ZH 123456"],
    "**License plate:** 7ABC123": ["7ABC123"],
    "license plate\n7ABC123": ["7ABC123"],
}
NO_PLATES = [
    "immatriculation AB-123-CD 99",
    "license plate frame",
    "plate 12 in the book",
    "a plate of PASTA",
    "number plate recognition",
    "registration number 123456",
    "registration number: required",
    "plate number: string",
    "license_plate: str",
    "the matrícula 123456",
    "placa base ASUS",
    "Kennzeichen der Art",
    "license plates in 2024",
    "license plate from 1990S",
    "the reg 0x1234AB",
    "steel plate A36",
    "regex: AB12CDE",
    "plate tectonics 101",
    "Targa Florio 1973",
    "placa de vídeo RTX 3080",
    "placa RTX3080TI-12G",
    "registration number HRB 12345 B",
    "kenteken onbekend",
    "plate: null",
    "registration: 2024-01-05",
    "hot plate AB12",
    "registration number of the trial NCT01234567",
]
CASES = [
    *[("MEDICAL_RECORD", text, found) for text, found in RECORDS.items()],
    *[("MEDICAL_RECORD", text, []) for text in NO_RECORDS],
    *[("LICENSE_PLATE", text, found) for text, found in PLATES.items()],
    *[("LICENSE_PLATE", text, []) for text in NO_PLATES],
]


@pytest.mark.parametrize(("entity", "text", "values"), CASES)
def test_what_is_found_near_which_words(entity: str, text: str, values: list[str]) -> None:
    assert_values(CHECKS[entity], text, values)


@pytest.mark.parametrize(
    ("entity", "pieces"),
    [
        ("MEDICAL_RECORD", ["MRN", ": ", "patient", " ID", " number", " is ", "447", "1902", "-", "A", "\n", '"', "x"]),
        ("LICENSE_PLATE", ["plate", " number", ": ", "AB", "12", " ", "CDE", "-", "Kennzeichen", "B-MW 1", "\n", '"']),
    ],
)
def test_the_cuts_of_a_text_change_nothing(entity: str, pieces: list[str]) -> None:
    assert_promise(CHECKS[entity], pieces, 200)
