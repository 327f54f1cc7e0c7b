"""Documents of every format."""

import gzip
import json

import pytest
from pdf_file import make_pdf

from turnwise.data.read import ReadReport, read_documents
from turnwise.errors import ConfigError, DataError
from turnwise.synthesis.documents import read_texts

LONG = "A sentence with enough characters. Another one after it."


@pytest.fixture
def folder(tmp_path):
    """One file of each kind."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text(f"{LONG}\r\n\r\nSecond paragraph.\n", encoding="utf-8")
    (tmp_path / "b.md").write_text(f"---\ndate: 2020-01-02\n---\n# Head\n\n{LONG}\n", encoding="utf-8")
    (tmp_path / "sub" / "c.html").write_text(f"<title>Page</title><p>{LONG}</p>", encoding="utf-8")
    (tmp_path / "d.jsonl").write_text(json.dumps({"id": "r1", "text": LONG}) + "\n", encoding="utf-8")
    squad = {"data": [{"title": "Cats", "paragraphs": [{"context": LONG, "qas": []}]}]}
    (tmp_path / "e.json").write_text(json.dumps(squad), encoding="utf-8")
    (tmp_path / "f.py").write_text("print()", encoding="utf-8")
    return tmp_path


def test_a_folder_of_all_formats_is_read_in_order_with_names_and_titles(folder):
    report = ReadReport()
    documents = list(read_texts(folder, report=report))
    assert [(one.id, one.title, one.metadata.get("format")) for one in documents] == [
        ("a.txt", None, "text"),
        ("b.md", "Head", "markdown"),
        ("r1", None, None),
        ("Cats#0", "Cats", None),
        ("sub/c.html", "Page", "html"),
    ]
    assert documents[0].text == f"{LONG}\n\nSecond paragraph."
    assert documents[1].text == f"Head\n\n{LONG}"
    assert documents[1].metadata["front_matter"] == {"date": "2020-01-02"}
    assert [file.format for file in report.files] == ["text", "markdown", "document", "squad", "html"]
    assert (report.read, report.skipped) == (5, 0)
    assert [path.rsplit("/", 1)[-1] for path in report.passed_over] == ["f.py"]


def test_a_pdf_is_read_by_its_content_and_knows_its_pages(tmp_path):
    pytest.importorskip("pypdf")
    make_pdf(tmp_path / "x.pdf", [["The first page has a line."], ["The second page."]], "T")
    (document,) = read_texts(tmp_path)
    assert (document.id, document.title, document.metadata["format"]) == ("x.pdf", "T", "pdf")
    starts = document.metadata["pages"]
    assert [document.text[start:][:9] for start in starts] == ["The first", "The secon"]


def test_a_text_file_is_one_document_or_one_per_line(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text(f"{LONG}\n{LONG} Two.\n", encoding="utf-8")
    assert [one.text for one in read_texts(path)] == [f"{LONG}\n{LONG} Two."]
    assert list(read_texts(path, text="lines")) == list(read_documents(path))


def test_a_text_that_begins_like_json_is_text_by_its_name(tmp_path):
    (tmp_path / "x.txt").write_text("[1] A reference that is no JSON.\n\nMore.", encoding="utf-8")
    with gzip.open(tmp_path / "y.txt.gz", "wt", encoding="utf-8") as stream:
        stream.write("A packed text, long enough to be read.")
    assert [one.id for one in read_texts(tmp_path)] == ["x.txt", "y.txt.gz"]
    with pytest.raises(DataError, match="broken JSON"):
        list(read_texts(_renamed(tmp_path / "x.txt", "x.json")))


def _renamed(path, name):
    path.with_name(name).write_bytes(path.read_bytes())
    return path.with_name(name)


def test_html_is_decoded_as_it_declares(tmp_path):
    page = "<meta charset='gb18030'><p>这是一个足够长的中文段落，至少要有二十个字。</p>"
    (tmp_path / "x.html").write_bytes(page.encode("gb18030"))
    (document,) = read_texts(tmp_path)
    assert document.text == "这是一个足够长的中文段落，至少要有二十个字。"


def test_empty_and_tiny_documents_are_counted_with_the_reason(tmp_path):
    (tmp_path / "a.txt").write_text("", encoding="utf-8")
    (tmp_path / "b.html").write_text("<script>x</script>", encoding="utf-8")
    (tmp_path / "c.jsonl").write_text('{"text": "tiny"}\n{"text": "' + LONG + '"}\n', encoding="utf-8")
    report = ReadReport()
    assert [one.text for one in read_texts(tmp_path, report=report)] == [LONG]
    assert [(failure.path.rsplit("/", 1)[-1], failure.line, failure.reason) for failure in report.failures] == [
        ("a.txt", None, "the document is empty (no text was found in it)"),
        ("b.html", None, "the document is empty (no text was found in it)"),
        ("c.jsonl", 1, "the document has 4 characters; expected at least 20"),
    ]
    assert [(file.read, file.skipped) for file in report.files] == [(0, 1), (0, 1), (1, 1)]


def test_nothing_to_read_is_an_error_that_says_why(tmp_path):
    (tmp_path / "a.txt").write_text("tiny", encoding="utf-8")
    with pytest.raises(DataError, match=r"no documents in .*: 1 left out; the first because: the document has 4"):
        list(read_texts(tmp_path))
    with pytest.raises(DataError, match="at least one path"):
        list(read_texts([]))


def test_what_cannot_be_read_stops_or_is_counted(tmp_path):
    (tmp_path / "a.md").write_bytes(b"caf\xe9 au lait")
    (tmp_path / "b.jsonl").write_text("{\n" + json.dumps({"text": LONG}) + "\n" + json.dumps({"x": 1}) + "\n")
    (tmp_path / "c.pdf").write_bytes(b"no pdf")
    with pytest.raises(DataError, match=r"a\.md:1: .*0xe9"):
        list(read_texts(tmp_path))
    report = ReadReport()
    assert [one.text for one in read_texts(tmp_path, on_error="skip", report=report)] == [LONG]
    assert [(failure.path.rsplit("/", 1)[-1], failure.line) for failure in report.failures] == [
        ("a.md", 1),
        ("b.jsonl", 1),
        ("b.jsonl", 3),
        ("c.pdf", None),
    ]


def test_long_documents_are_cut_and_every_part_is_in_the_whole(tmp_path):
    text = "\n\n".join(f"Paragraph {number}. {LONG}" for number in range(20))
    (tmp_path / "x.txt").write_text(text, encoding="utf-8")
    parts = list(read_texts(tmp_path, cut=500))
    assert [part.id for part in parts] == [f"x.txt#part{number}" for number in range(1, len(parts) + 1)]
    assert "".join(part.text for part in parts).replace("\n", "") == text.replace("\n", "")
    assert all(text[part.metadata["start"] : part.metadata["end"]] == part.text for part in parts)
    assert [one.text for one in read_texts(tmp_path, cut=None)] == [text]
    assert len(list(read_texts(tmp_path, cut=500, limit=2))) == 2


def test_two_files_of_one_name_have_two_ids(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(LONG + name, encoding="utf-8")
    assert [one.id for one in read_texts([tmp_path / "a", tmp_path / "b"])] == ["x.txt", "x.txt#2"]


def test_paragraphs_of_an_article_are_joined_until_over_800_characters_and_get_its_title(tmp_path):
    """Lengths 500, 300, 25, 900 and 200 of `Big_cats`, 100 of `Dogs`.

    500 + 300 is not over 800, with 25 it is; 900 is alone; 200 is left at the end; the next article starts anew.
    """
    cats = [letter * length for letter, length in zip("abcde", (500, 300, 25, 900, 200), strict=True)]
    articles = [
        {"title": "Big_cats", "paragraphs": [{"context": text, "qas": [{"id": text[0]}]} for text in cats]},
        {"title": "Dogs", "paragraphs": [{"context": "f" * 100, "qas": []}]},
    ]
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"data": articles}), encoding="utf-8")
    joined = list(read_texts(path, join="article"))
    assert [(one.id, one.title) for one in joined] == [
        ("Big_cats#0+2", "Big_cats"),
        ("Big_cats#3", "Big_cats"),
        ("Big_cats#4", "Big_cats"),
        ("Dogs#0", "Dogs"),
    ]
    assert joined[0].text == "\n".join(["Big cats", *cats[:3]])
    places = [(one.text[p["start"] : p["end"]], p["id"]) for one in joined for p in one.metadata["paragraphs"]]
    assert places == [*zip(cats, [f"Big_cats#{n}" for n in range(5)], strict=True), ("f" * 100, "Dogs#0")]
    assert [p["metadata"]["qas"][0]["id"] for p in joined[0].metadata["paragraphs"]] == ["a", "b", "c"]


def _file(folder, name, records):
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_documents_without_a_title_are_not_joined(tmp_path):
    path = _file(tmp_path, "x.jsonl", [{"text": LONG}, {"text": LONG + " More."}])
    assert list(read_texts(path, join="article")) == list(read_texts(path))


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"cut": 5}, "200"),
        ({"join": "x"}, "'article'"),
        ({"text": "x"}, "'lines'"),
        ({"on_error": "x"}, "'skip'"),
        ({"limit": 0}, "1"),
    ],
)
def test_options_that_are_none_are_refused_before_anything_is_read(option, expected):
    with pytest.raises(ConfigError, match=expected):
        read_texts("nowhere", **option)


@pytest.mark.data
@pytest.mark.parametrize("name", ["squad2/dev-v2.0.json", "cmrc2018/cmrc2018_dev.json", "xquad/xquad.zh.json"])
def test_every_paragraph_of_the_public_sets_is_a_document_and_joined_nothing_is_lost(public_data, name):
    raw = json.loads((public_data / name).read_text(encoding="utf-8"))
    contexts = [paragraph["context"] for article in raw["data"] for paragraph in article["paragraphs"]]
    report = ReadReport()
    documents = list(read_texts(public_data / name, cut=None, report=report))
    assert [one.text for one in documents] == contexts
    assert (report.read, report.skipped) == (len(contexts), 0)
    joined = list(read_texts(public_data / name, cut=None, join="article"))
    # What has no title is left alone, as it is.
    whole = [{"start": 0, "end": None}]
    places = [(one, p) for one in joined for p in one.metadata.get("paragraphs", whole)]
    assert [one.text[p["start"] : p["end"]] for one, p in places] == contexts
