"""Slash forms: labels that are split, and labels that must not be split."""

from pathlib import Path

import pytest

from ingest.gendered import find_form_pairs, split_forms
from ingest.sources import EscoSource
from ingest.sources.files import read_cells, read_header


@pytest.mark.parametrize(
    ("language", "label", "expected"),
    [
        ("en", "waiter/waitress", ("waiter", "waitress")),
        ("en", "head waiter/head waitress", ("head waiter", "head waitress")),
        ("en", "hotel doorman/doorwoman", ("hotel doorman", "hotel doorwoman")),
        ("en", "foreman/forewoman shunter", ("foreman shunter", "forewoman shunter")),
        ("es", "director técnico/directora técnica", ("director técnico", "directora técnica")),
        ("es", "tornero/ tornera", ("tornero", "tornera")),
        ("es", "actor/actriz", ("actor", "actriz")),
        ("es", "bailarín/bailarina", ("bailarín", "bailarina")),
        ("es", "redactor/a de revista", ("redactor de revista", "redactora de revista")),
        ("es", "técnico/a de codificación", ("técnico de codificación", "técnica de codificación")),
        (
            "es",
            "terapeuta veterinario/veterinaria",
            ("terapeuta veterinario", "terapeuta veterinaria"),
        ),
        (
            "es",
            "pirata informático/informática ético/ética",
            ("pirata informático ético", "pirata informática ética"),
        ),
        (
            "es",
            "instructor de primeros auxilios/instructor de primeros auxilios",
            ("instructor de primeros auxilios",),
        ),
        ("de", "Gerüstbauer/Gerüstbauerin", ("Gerüstbauer", "Gerüstbauerin")),
        (
            "de",
            "Technischer Leiter für Film/Technische Leiterin für Film",
            ("Technischer Leiter für Film", "Technische Leiterin für Film"),
        ),
        ("de", "IC-Designer/IC-Designerin", ("IC-Designer", "IC-Designerin")),
        ("de", "Amtstierarzt/Amtstierärztin", ("Amtstierarzt", "Amtstierärztin")),
        ("de", "Zimmerer/Zimmerin", ("Zimmerer", "Zimmerin")),
        (
            "de",
            "Sicherheitsbeauftragte/Sicherheitsbeauftragter",
            ("Sicherheitsbeauftragte", "Sicherheitsbeauftragter"),
        ),
        (
            "de",
            "Import-/Exportmanager für Getränke/Import-/Exportmanagerin für Getränke",
            ("Import-/Exportmanager für Getränke", "Import-/Exportmanagerin für Getränke"),
        ),
        (
            "de",
            "Import-/Exportmanager/in für Getränke",
            ("Import-/Exportmanager für Getränke", "Import-/Exportmanagerin für Getränke"),
        ),
        ("de", "Lehrer/-in für Chemie", ("Lehrer für Chemie", "Lehrerin für Chemie")),
        ("de", "Asylbeauftragte/r", ("Asylbeauftragter", "Asylbeauftragte")),
        (
            "de",
            "Ingenieur für Geothermie/Ingenieurin für Geothermie/",
            ("Ingenieur für Geothermie", "Ingenieurin für Geothermie"),
        ),
    ],
)
def test_gendered_pairs_are_split(language: str, label: str, expected: tuple[str, ...]) -> None:
    assert split_forms(label, language) == expected


@pytest.mark.parametrize(
    ("language", "label"),
    [
        ("en", "general nurse"),
        ("en", "dog/cat kennel manager"),
        ("en", "editor/fact checker"),
        ("en", "programmer/analyst"),
        ("en", "Cat C/C+E instructor"),
        ("es", "jefe de equipo de operadores de impresión/encuadernación"),
        ("es", "/vendedora especializada en ropa"),
        # "director técnica" would be wrong Spanish.
        ("es", "director técnico/técnica"),
        ("de", "Import-/Exportmanager für Getränke"),
        ("de", "Tourbegleiter Naturpark/Freizeitpark"),
        ("de", "Ausbilder für Berufskraftfahrer/innen"),
        ("de", "Güte- und Materialprüferin/Qualitätsfachfrau"),
        # The feminine title is "technische Leiterin", which the rule cannot know.
        ("de", "technischer Leiter/in"),
        # The feminine form of Koch is Köchin.
        ("de", "Koch/in"),
        ("fr", "acteur/actrice"),
        ("de", "/"),
    ],
)
def test_other_labels_with_a_slash_stay_whole(language: str, label: str) -> None:
    assert split_forms(label, language) == ()


@pytest.mark.parametrize(
    ("language", "split", "with_slash"), [("en", 22, 94), ("es", 2436, 2454), ("de", 2971, 3171)]
)
def test_number_of_split_labels_in_esco(
    esco: Path, language: str, split: int, with_slash: int
) -> None:
    source = EscoSource(esco, languages=[language])
    assert source.languages == (language,)
    path = esco / language / f"occupations_{language}.csv"
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = read_cells(iter(stream), ",")
        header = read_header(rows, str(path), [])
        columns = [header.index("preferredLabel"), header.index("altLabels")]
        cells = [row.cells[column] for row in rows for column in columns]
    labels = [label for cell in cells for label in cell.split("\n") if "/" in label]
    assert len(labels) == with_slash
    assert sum(bool(split_forms(label, language)) for label in labels) == split


@pytest.mark.parametrize(
    ("language", "titles", "expected"),
    [
        ("es", ["abogada", "Abogado", "juez"], [("Abogado", "abogada")]),
        (
            "es",
            ["técnica de rayos", "tecnico de rayos"],
            [("tecnico de rayos", "técnica de rayos")],
        ),
        ("de", ["Ärztin", "Arzt", "Tierarzt"], [("Arzt", "Ärztin")]),
        ("de", ["zweite Köchin", "zweiter Koch"], [("zweiter Koch", "zweite Köchin")]),
        # All words must change gender in the same direction. A title is in one pair only.
        ("de", ["zweiter Köchin", "zweite Koch"], []),
        ("es", ["actor", "actora", "actriz"], [("actor", "actora")]),
        ("en", ["waiter", "waitress", "cook"], [("waiter", "waitress")]),
        ("zh", ["护士", "医生"], []),
        ("de", ["Koch", "Koch"], []),
    ],
)
def test_find_form_pairs(language: str, titles: list[str], expected: list[tuple[str, str]]) -> None:
    assert find_form_pairs(titles, language) == expected
    assert find_form_pairs(reversed(titles), language) == expected
