"""Titles, filters, encoder information, ISCO codes and languages."""

import uuid
from dataclasses import replace

import pytest

from jobsearch.errors import InvalidInput
from jobsearch.isco import CODES, UNIT_GROUPS, CodeColumn, check_code, unit_group
from jobsearch.languages import NAMES, check_language
from jobsearch.types import FILTER_FIELDS, EncoderInfo, Filters, TitleRecord

NURSE = TitleRecord(
    title="Registered  nurse",
    language="en",
    source="esco",
    kind="preferred",
    concept_id="http://data.europa.eu/esco/occupation/1",
    isco="2221",
)


def test_point_id_depends_on_identity_fields_only() -> None:
    assert uuid.UUID(NURSE.point_id).version == 5
    assert replace(NURSE, title="Registered nurse").point_id == NURSE.point_id
    assert replace(NURSE, isco="2222").point_id == NURSE.point_id
    others = [
        replace(NURSE, title="registered nurse"),
        replace(NURSE, language="de"),
        replace(NURSE, source="table"),
        replace(NURSE, split="test"),
        replace(NURSE, kind="alternative"),
        replace(NURSE, concept_id="http://data.europa.eu/esco/occupation/2"),
        replace(NURSE, doc_id="7"),
    ]
    assert len({record.point_id for record in [NURSE, *others]}) == len(others) + 1


def test_the_owner_of_a_title_is_its_document_concept_or_isco_code() -> None:
    without = replace(NURSE, concept_id=None)
    assert replace(NURSE, doc_id="7").owner == "7"
    assert NURSE.owner == NURSE.concept_id
    assert (without.owner, replace(without, isco=None).owner) == ("ISCO-08 2221", "")
    assert without.point_id != replace(without, isco="2222").point_id


def test_point_id_is_the_same_in_every_run() -> None:
    assert NURSE.point_id == "4f1b8c5f-afbb-5084-a132-3fcf422f845f"


def test_payload_has_no_empty_fields() -> None:
    assert NURSE.payload("run-1") == {
        "title": "Registered  nurse",
        "language": "en",
        "source": "esco",
        "concept_id": "http://data.europa.eu/esco/occupation/1",
        "isco": "2221",
        "kind": "preferred",
        "run_id": "run-1",
    }
    assert "isco" not in replace(NURSE, isco=None).payload("r")


def test_filters_join_fields_by_and_and_values_by_or() -> None:
    filters = Filters(isco=("226", "2221"), kinds=("preferred",), sources=("a", "b"))
    assert filters.clauses() == (
        ("isco", ("2221", "226", *(f"226{digit}" for digit in "12345679"))),
        ("kind", ("preferred",)),
        ("source", ("a", "b")),
    )
    assert Filters().clauses() == ()
    fields = {name for name, _ in filters.clauses()}
    assert fields <= set(FILTER_FIELDS)


def test_a_single_string_is_one_value() -> None:
    single = Filters(isco="222", kinds="preferred", sources="esco", languages="EN")
    several = Filters(isco=["222"], kinds=["preferred"], sources={"esco"}, languages=("en", "EN"))
    assert single == several
    assert (single.isco, single.languages) == (("222",), ("en",))
    assert dict(single.clauses())["isco"] == ("222", "2221", "2222")


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("isco", "99", "unknown ISCO-08 code '99'"),
        ("isco", ["222", 3], "`isco` has the value 3"),
        ("kinds", "broader", "unknown kind 'broader'"),
        ("languages", "xx-US", "unknown language 'xx-US'"),
        ("sources", "", "`sources` has the value ''"),
        ("concept_ids", [None], "`concept_ids` has the value None"),
    ],
)
def test_filters_that_cannot_be_meant_are_refused(field, value, message) -> None:
    with pytest.raises(InvalidInput, match=message):
        Filters(**{field: value})


def test_fingerprint_tells_a_pretrained_model_from_its_finetuned_twin() -> None:
    info = EncoderInfo("m", "pretrained", "id", "", "w1", "t1", 512, "mean")
    assert info.fingerprint == replace(info).fingerprint
    for changed in ({"weights_sha256": "w2"}, {"variant": "finetuned"}, {"query_prompt": "q: "}):
        assert replace(info, **changed).fingerprint != info.fingerprint


def test_isco_codes() -> None:
    assert (len(UNIT_GROUPS), len(CODES)) == (436, 619)
    assert [sum(len(code) == depth for code in CODES) for depth in (1, 2, 3, 4)] == [
        10,
        43,
        130,
        436,
    ]
    assert check_code(" 0110 ") == "0110"
    for wrong in ("", "99", "22210", "x", "2223"):
        with pytest.raises(InvalidInput, match="unknown ISCO-08 code"):
            check_code(wrong)


def test_isco_codes_are_those_of_esco(esco) -> None:
    import csv

    with (esco / "en" / "ISCOGroups_en.csv").open(encoding="utf-8", newline="") as file:
        assert {row["code"] for row in csv.DictReader(file)} == CODES


def test_languages() -> None:
    assert check_language(" EN ") == "en"
    assert len(set(NAMES.values())) == len(NAMES)
    with pytest.raises(InvalidInput, match="unknown language 'xx'"):
        check_language("xx")


@pytest.mark.parametrize(
    "text",
    [
        "2221", " 2221 ", "2221.0", "2221,00", "C2221", "c2221", "ISCO-08 2221", "ISCO08: 2221",
        "isco 2221", "http://data.europa.eu/esco/isco/C2221", "2221.1", "2221.1.7", "'2221",
        '="2221"', "2,221", "2.221",
    ],
)  # fmt: skip
def test_forms_of_one_isco_code(text: str) -> None:
    assert CodeColumn([text]).readings(text) == ("2221",)
    assert unit_group(text) == "2221"


@pytest.mark.parametrize("text", ["", "nurse", "9999", "22211", "222.1", "-2221", "2221 nurse"])
def test_texts_that_are_no_isco_code(text: str) -> None:
    assert CodeColumn(["2221", text]).readings(text) == ()
    assert unit_group(text) == ""


@pytest.mark.parametrize(
    ("column", "readings"),
    [
        # Levels may be mixed, and then short codes are what they seem to be.
        ({"2221", "222", "22", "2", "11", "1"}, {"2": ["2"], "11": ["11"], "22": ["22"]}),
        ({"222", "721", "22", "21"}, {"21": ["21"]}),
        ({"11", "21", "2"}, {"2": ["2"], "11": ["11"]}),
        # Zeros that are there were not lost.
        ({"011", "222", "11", "1"}, {"011": ["011"], "11": ["11"], "1": ["1"]}),
        # A code that exists with a zero only was written with it, so others may lack it too.
        ({"2221", "110", "310"}, {"110": ["0110"], "310": ["0310"]}),
        ({"2221", "22", "110", "11", "1"}, {"11": ["11", "011"], "1": ["1", "01"], "22": ["22"]}),
        # All other codes are one digit longer.
        ({"222", "721", "21"}, {"21": ["21", "021"], "222": ["222"]}),
        ({"22", "72", "2"}, {"2": ["2", "02"]}),
        # Filled up with zeros to the width of the column.
        ({"2221", "2200", "2000", "2220"}, {"2200": ["22"], "2000": ["2"], "2220": ["222"]}),
        ({"222", "220", "200"}, {"220": ["22"], "200": ["2", "02"]}),
    ],
)
def test_a_column_of_isco_codes_is_judged_as_a_whole(
    column: set[str], readings: dict[str, list[str]]
) -> None:
    judged = CodeColumn(column)
    assert {text: list(judged.readings(text)) for text in readings} == readings
