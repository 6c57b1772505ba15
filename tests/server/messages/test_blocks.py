"""Blocks of content, as they reach the model."""

import asyncio
import base64

import pytest

from firesteel.server.messages.thoughts import sign
from firesteel.server.store import File
from tests.agent.scripted import Scripted, says
from tests.server.messages.posting import ADD, ASK, PATH, picture, png, read, refused
from tests.server.serving import serving


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def text(said):
    return {"type": "text", "text": said}


def use(id="toolu_1", **input):
    return {"type": "tool_use", "id": id, "name": "add", "input": input}


def result(content="3", id="toolu_1", **more):
    return {"type": "tool_result", "tool_use_id": id, "content": content} | more


def document(source, **more):
    return {"type": "document", "source": source} | more


def thinking(said, signature=None):
    return {"type": "thinking", "thinking": said, "signature": sign(said, "shown") if signature is None else signature}


def test_a_string_is_a_block_of_text():
    assert read({"role": "user", "content": "hello"}) == read(user(text("hello")))


def test_neighbouring_texts_are_paragraphs():
    (message,) = read(user(text("one"), text("two"), picture(), text("three")))
    assert [part.text for part in message.parts] == ["one", "\n\ntwo", "", "three"]
    assert message.images[0].size == (56, 56)


def test_the_system_field_comes_first_as_a_string_or_as_blocks():
    first, _ = read(user(text("hello")), system="Be brief.")
    assert (first.role, first.text) == ("system", "Be brief.")
    first, _ = read(user(text("hello")), system=[text("Be brief."), text("Be kind.") | {"cache_control": None}])
    assert first.text == "Be brief.\n\nBe kind."


def test_the_system_may_speak_in_the_middle_and_users_twice_in_a_row():
    messages = read(
        {"role": "user", "content": "one"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "yes"},
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "three"},
    )
    assert [message.role for message in messages] == ["user", "user", "assistant", "system", "user"]


def test_a_call_its_thought_and_its_result_go_back_to_the_model():
    _, said, found = read(
        user(text("add")), assistant(thinking("I add"), text("Let me."), use(a=1, b=2)), user(result()), tools=[ADD]
    )
    assert said.reasoning == "I add" and said.text == "Let me."
    assert said.tool_calls[0].arguments == {"a": 1, "b": 2}
    assert (found.role, found.name, found.tool_call_id, found.text) == ("tool", "add", "toolu_1", "3")


def test_a_foreign_signature_is_ignored_and_its_thought_kept():
    said = read(user(text("1")), assistant(thinking("I think", "EqQBCgIYAhIM"), text("2")), user(text("3")))[1]
    assert said.reasoning == "I think"


def test_an_omitted_thought_comes_back():
    block = {"type": "thinking", "thinking": "", "signature": sign("I think", "omitted")}
    assert read(user(text("1")), assistant(block, text("2")), user(text("3")))[1].reasoning == "I think"


def test_blocks_of_the_assistant_that_cannot_be_read_are_left_out():
    foreign = [
        {"type": "redacted_thinking", "data": "abc"},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": {"error_code": "unavailable"}},
    ]
    said = read(user(text("1")), assistant(*foreign, text("2")), user(text("3")))[1]
    assert said.text == "2" and not said.reasoning and not said.tool_calls
    assert len(read(user(text("1")), assistant(*foreign), user(text("3")))) == 2


def test_a_result_may_hold_pictures_and_text_beside_it_follows_it():
    found, asked = read(
        user(text("add")), assistant(use()), user(text("Well?"), result([text("see"), picture()])), tools=[ADD]
    )[2:]
    assert found.text == "see" and found.images[0].size == (56, 56)
    assert (asked.role, asked.text) == ("user", "Well?")


def test_a_result_that_is_an_error_says_so():
    assert read(user(text("1")), assistant(use()), user(result("No.", is_error=True)))[2].text == "Error: No."


def test_a_result_may_be_empty():
    assert (
        read(user(text("1")), assistant(use()), user({"type": "tool_result", "tool_use_id": "toolu_1"}))[2].text == ""
    )


def test_results_of_several_calls_may_come_in_several_messages():
    messages = read(
        user(text("1")), assistant(use("a"), use("b")), user(result("x", "b")), user(result("y", "a"), text("go on"))
    )
    assert [(m.role, m.tool_call_id) for m in messages[2:]] == [("tool", "b"), ("tool", "a"), ("user", "")]


def test_a_result_without_its_call_is_refused_by_its_place():
    assert "messages.0.content.0" in refused(messages=[user(result())])
    twice = [user(text("1")), assistant(use()), user(result(), result())]
    assert "messages.2.content.1" in refused(messages=twice)


@pytest.mark.parametrize("after", [[user(text("never mind"))], [user(text("no")), assistant(text("well")), user()], []])
def test_a_call_without_its_result_is_refused(after):
    assert "toolu_1" in refused(messages=[user(text("1")), assistant(use()), *after])


def test_an_answer_that_is_begun_already_is_refused():
    assert "end with the user" in refused(messages=[user(text("1")), assistant(text("I think that"))])


def test_documents_of_text_are_read():
    source = {"type": "text", "media_type": "text/plain", "data": "All is well."}
    (message,) = read(user(document(source, title="News", context="Of today"), text("Well?")))
    assert message.text == "[Document: News]\nOf today\n\nAll is well.\n\nWell?"
    (message,) = read(user(document({"type": "content", "content": [text("one"), picture()]})))
    assert "one" in message.text and message.images


def test_a_pdf_is_read_where_its_reader_is_installed():
    source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(_pdf("Hello PDF")).decode()}
    try:
        import pypdf  # noqa: F401
    except ImportError:
        assert "web extra" in refused(messages=[user(document(source))])
    else:
        assert "Hello PDF" in read(user(document(source)))[0].text


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"type": "base64", "data": "%%"}, "damaged"),
        ({"type": "base64", "data": base64.b64encode(b"\xff\xfe\x00").decode()}, "UTF-8"),
        ({"type": "base64", "data": base64.b64encode(b"%PDF-1.4 nothing").decode()}, "PDF"),
        ({"type": "url", "url": "https://example.com/a.pdf"}, "not fetched"),
    ],
)
def test_documents_that_cannot_be_read_are_refused_by_their_place(source, said):
    sentence = refused(messages=[user(text("1"), document(source))])
    assert said in sentence and "messages.0.content.1" in sentence


def test_a_search_result_is_read():
    block = {"type": "search_result", "source": "https://a.example", "title": "A", "content": [text("It is so.")]}
    assert read(user(block))[0].text == "[Search result: A, https://a.example]\n\nIt is so."


def test_an_unknown_block_leaves_a_note():
    (message,) = read(user({"type": "hologram", "source": 3, "text": None}, text("See?")))
    assert "'hologram'" in message.text and message.text.endswith("See?")
    found = read(user(text("1")), assistant(use()), user(result([{"type": "tool_reference", "tool_name": "x"}])))[2]
    assert "'tool_reference'" in found.text


def test_pictures_and_documents_of_uploaded_files_belong_to_their_owner():
    async def main():
        model = Scripted(says("yes"))
        async with serving(backend=model) as client:
            for id, owner, data in (("file_1", "local", png()), ("file_2", "local", b"text"), ("file_3", "eve", png())):
                row = File(id=id, owner=owner, created=0, name="a", purpose="user_data", media_type="", bytes=len(data))
                await client.service.store.put_file(row, data)

            async def ask(id, kind):
                block = {"type": kind, "source": {"type": "file", "file_id": id}}
                return await client.post(PATH, json=ASK | {"messages": [user(text("see"), block)]})

            assert (await ask("file_3", "image")).status_code == 404
            assert (await ask("file_3", "document")).status_code == 404
            model.lines.append(says("yes"))
            assert (await ask("file_1", "image")).status_code == 200
            assert (await ask("file_2", "document")).status_code == 200
        assert model.requests[0].messages[0].images and model.requests[1].messages[0].text.endswith("text")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("block", "place"),
    [
        ({"type": "text"}, "messages.0.content.0.text"),
        ({"type": "image", "source": {"type": "disk"}}, "messages.0.content.0.source.type"),
        ({"type": "image", "source": {"type": "base64", "data": "%%"}}, "messages.0.content.0"),
        ({"type": "image", "source": {"type": "url", "url": "https://a.example/a.png"}}, "messages.0.content.0"),
        ({"type": "thinking", "thinking": "I"}, "messages.0.content.0"),
        (3, "messages.0.content.0"),
    ],
)
def test_a_bad_block_is_refused_by_its_place(block, place):
    assert refused(messages=[user(block)]).startswith(f"{place}: ")


def _pdf(said):
    content = f"BT /F1 24 Tf 20 100 Td ({said}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(data)
    return data + b"xref\n0 5\n0000000000 65535 f \n" + table + end
