import pytest

from firesteel.agent.web import pdf
from firesteel.agent.web.fetch import Download
from firesteel.agent.web.page import page_of

pytest.importorskip("pypdf")


def document(text: str) -> bytes:
    """A PDF of one page that says `text`."""
    drawn = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
    ]
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return data + table + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(data)


def test_a_pdf_is_read_as_a_page():
    page = page_of(Download("https://site.example/a.pdf", "application/pdf", "", document("Flint and steel")))
    assert page.lines == ("Flint and steel",)


def test_a_damaged_pdf_is_told():
    with pytest.raises(ValueError, match="could not be read"):
        pdf.pages_of_pdf(b"%PDF-1.4 nothing")


def test_a_reader_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(pdf, "SECONDS", 0.01)
    with pytest.raises(ValueError, match="could not be read"):
        pdf.pages_of_pdf(document("late"))
