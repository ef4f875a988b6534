"""Slash forms: labels that are split, and labels that must not be split."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ingest.gendered import LabelForms, find_form_pairs, split_forms
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
        ("de", "Aalräucherer/-räucherin", ("Aalräucherer", "Aalräucherin")),
        ("de", "Bürokaufmann/-frau", ("Bürokaufmann", "Bürokauffrau")),
        ("de", "Abteilungskoch/-köchin", ("Abteilungskoch", "Abteilungsköchin")),
        (
            "de",
            "Bohrgehilfe/in (Brunnenbau)",
            ("Bohrgehilfe (Brunnenbau)", "Bohrgehilfin (Brunnenbau)"),
        ),
        ("de", "Steinmetz/in", ("Steinmetz", "Steinmetzin")),
        (
            "de",
            "Ambulante/r Krankenschwester/-pfleger",
            ("Ambulanter Krankenpfleger", "Ambulante Krankenschwester"),
        ),
        (
            "de",
            "Abrichter/in (Metallhobler/in)",
            ("Abrichter (Metallhobler)", "Abrichterin (Metallhoblerin)"),
        ),
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
        ("de", "(/in)"),
        ("de", "Skilauf/-langlauf"),
    ],
)
def test_other_labels_with_a_slash_stay_whole(language: str, label: str) -> None:
    assert split_forms(label, language) == ()


#: Each concept has both titles as labels, which shows the endings of the two forms.
CROATIAN = [
    [f"{stem}/{stem}ica {rest}", f"{stem} {rest}", f"{stem}ica {rest}"]
    for stem, rest in (
        ("voditelj", "ureda"), ("rukovatelj", "strojem"), ("učitelj", "ureda"), ("doktor", "ureda"),
    )
]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "label", "labels", "expected"),
    [
        # Both titles are labels of the concept.
        ("fr", "acteur/actrice", ["Actrice", "acteur"], ("acteur", "actrice")),
        ("sk", "analytik/analytička fúzií", ["analytik fúzií", "analytička fúzií"],
         ("analytik fúzií", "analytička fúzií")),
        ("hr", "glavni pekar\u00a0/\u00a0glavna pekarica", ["glavni pekar", "glavna pekarica"],
         ("glavni pekar", "glavna pekarica")),
        ("nl", "monnik/non", ["monnik", "non"], ("monnik", "non")),
        ("fr", "agent/agent", ["agent"], ("agent",)),
        # One of them is no label.
        ("fr", "acteur/actrice", ["acteur"], ()),
        ("nl", "chauffeur/belader", ["chauffeur"], ()),
        # The endings and the following word are those of other labels.
        ("hr", "direktor/direktorica ureda", [], ("direktor ureda", "direktorica ureda")),
        ("hr", "trener/trenerica", [], ("trener", "trenerica")),
        # An unknown ending, an unknown following word, a word before the pair, another word.
        ("hr", "liječnik/liječnica ureda", [], ()),
        ("hr", "direktor/direktorica banke", [], ()),
        ("hr", "glavni direktor/direktorica ureda", [], ()),
        ("hr", "direktor/voditeljica ureda", [], ()),
        # English, Spanish and German have rules of their own.
        ("de", "Koch/Kellner", ["Koch", "Kellner"], ()),
        ("es", "actor/actriz", [], ("actor", "actriz")),
    ],
)  # fmt: skip
def test_slash_forms_by_the_labels_of_a_concept(
    language: str, label: str, labels: list[str], expected: tuple[str, ...]
) -> None:
    forms = LabelForms(language, [*(CROATIAN if language == "hr" else []), [label, *labels]])
    assert forms.split(label, [label, *labels]) == expected


@pytest.mark.parametrize(
    ("language", "split", "with_slash"),
    [
        ("fr", 3103, 3130), ("cs", 2454, 2474), ("hr", 2873, 3032), ("sk", 2851, 2934),
        ("sl", 2559, 2602), ("it", 1450, 1465), ("pt", 2176, 2205), ("el", 1869, 2007),
        ("ro", 1298, 1311), ("mt", 1302, 1338),
    ],
)  # fmt: skip
def test_number_of_split_labels_in_other_languages_of_esco(
    shared_data: Path, language: str, split: int, with_slash: int
) -> None:
    name = f"occupations_{language}.csv"
    with (
        zipfile.ZipFile(shared_data / "esco-1.0.8.zip") as archive,
        archive.open(name) as file,
        io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as stream,
    ):
        rows = read_cells(iter(stream), ",")
        header = read_header(rows, name, [])
        columns = [header.index("preferredLabel"), header.index("altLabels")]
        concepts = [
            [
                " ".join(label.split())
                for column in columns
                for label in row.cells[column].split("\n")
            ]
            for row in rows
        ]
    forms = LabelForms(language, concepts)
    slash_forms = [(label, labels) for labels in concepts for label in labels if "/" in label]
    assert len(slash_forms) == with_slash
    assert sum(bool(forms.split(label, labels)) for label, labels in slash_forms) == split


def test_german_short_forms_with_known_answers(shared_data: Path) -> None:
    """Where the list's long forms keep the other words, 94% are split into exactly these forms.

    The others stay whole ("Klima- und Lüftungsanlagenmaschinist/in"), or differ from the list in
    more than their form ("Dipl.-Baltist/in (Uni)", "Diplombaltist (Uni)").
    """
    right = whole = other = 0
    for short, masculine, feminine in occupation_list(shared_data / "ba-occupation-list-2019.xlsx"):
        words = list(zip(short.split(), masculine.split(), feminine.split(), strict=False))
        kept = len(words) == len(short.split()) == len(masculine.split()) == len(feminine.split())
        if "/" in short and kept and all(a == b == c for a, b, c in words if "/" not in a):
            forms = split_forms(short, "de")
            right += set(forms) == {masculine, feminine}
            whole += not forms
            other += bool(forms) and set(forms) != {masculine, feminine}
    assert (right, whole, other) == (17_607, 795, 329)


def occupation_list(path: Path) -> Iterator[tuple[str, str, str]]:
    """Short, masculine and feminine form of each title in the list, on its second sheet."""
    name = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(path) as archive:
        strings = ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))
        texts = [
            "".join(text.text or "" for text in item.iter(f"{name}t"))
            for item in strings.iter(f"{name}si")
        ]
        sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet2.xml"))
    for row in sheet.iter(f"{name}row"):
        cells = {}
        for cell in row.iter(f"{name}c"):
            value = cell.find(f"{name}v")
            if value is not None and value.text and cell.get("t") == "s":
                cells[cell.get("r", "")[0]] = texts[int(value.text)]
        if cells.keys() >= set("DEF") and cells["D"] != "Bezeichnung neutral kurz":
            yield cells["D"], cells["E"], cells["F"]


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
