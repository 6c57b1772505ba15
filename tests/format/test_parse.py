"""The parser against hard cases, each whole and in chunks of 1, 3 and 17 characters."""

import pytest

from firesteel.format import Message, ParseEvent, StreamParser, ToolCall, parse

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "days": {"type": "integer"},
                    "hourly": {"type": "boolean"},
                    "unit": {"enum": ["C", "F"]},
                    "note": {"type": ["string", "null"]},
                    "where": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
                    "box": {"type": "array"},
                    "any": {},
                },
                "$defs": {"Place": {"type": "string"}},
            },
        },
    },
    {"name": "files.write", "parameters": {"properties": {"path": {"type": "string"}, "content": {"type": "string"}}}},
    {"name": "now"},
    {"name": "echo.echo", "parameters": {"properties": {"text": {"type": "string"}}}},
    {"name": "echo", "parameters": {"properties": {"text": {"type": "string"}}}},
]
SELF, USER, COMMENTARY = " to=self<|message|>", " to=user<|message|>", " to=commentary<|message|>"
NEXT = "<|start|>assistant"


def invoke(name, **values):
    lines = "".join(f'<atem:parameter name="{key}">{value}</atem:parameter>\n' for key, value in values.items())
    return f'<atem:invoke name="{name}">\n{lines}</atem:invoke>\n'


def call(name, **values):
    return f" to={name}<|message|><atem:function_calls>\n{invoke(name, **values)}</atem:function_calls>"


EXAMPLE = f"<atem:function_calls>\n{invoke('x', a='1', b='2')}</atem:function_calls>"

# name: (text, reasoning, content, calls, number of errors)
CASES = {
    # The plain shapes.
    "answer": (f"{USER}Hi<|eot|>", "", "Hi", [], 0),
    "thought and answer": (f"{SELF}Hm<|eom|>{NEXT}{USER}Hi<|eot|>", "Hm", "Hi", [], 0),
    "with the prompt's end": (f"{NEXT}{SELF}Hm<|eom|>{NEXT}{USER}Hi<|eot|>", "Hm", "Hi", [], 0),
    "end_of_text ends": (f"{USER}Hi<|end_of_text|>", "", "Hi", [], 0),
    "padding after the end": (f"{USER}Hi<|eot|>{'<|finetune_right_pad|>' * 3}", "", "Hi", [], 0),
    "both ends": (f"{USER}Hi<|eot|><|end_of_text|>\n", "", "Hi", [], 0),
    "no end": (f"{USER}Hi", "", "Hi", [], 0),
    "empty thought": (f"{SELF}<|eom|>{NEXT}{USER}Hi<|eot|>", "", "Hi", [], 0),
    "empty answer": (f"{SELF}Hm<|eom|>{NEXT}{USER}<|eot|>", "Hm", "", [], 0),
    "no recipient thinks": ("<|message|>Hm<|eom|><|start|>assistant to=user<|message|>Hi<|eot|>", "Hm", "Hi", [], 0),
    "no grammar at all": ("Just words.", "", "Just words.", [], 0),
    "no grammar, a tempting start": (" to be or not to be", "", " to be or not to be", [], 0),
    "nothing": ("", "", "", [], 0),
    "commentary": (f"{COMMENTARY}On it. <|eom|>{NEXT}{USER}Done.<|eot|>", "", "On it. Done.", [], 0),
    "developer is dropped": (f" to=developer<|message|>log<|eom|>{NEXT}{USER}Hi<|eot|>", "", "Hi", [], 0),
    "two thoughts": (f"{SELF}A. <|eom|>{NEXT}{SELF}B.<|eom|>{NEXT}{USER}Hi<|eot|>", "A. B.", "Hi", [], 0),
    "space and line ends stay": (
        f"{SELF} a\r\n\r\n<|eom|>{NEXT}{USER}\n b \r\n<|eot|>",
        " a\r\n\r\n",
        "\n b \r\n",
        [],
        0,
    ),
    "unicode": (f"{SELF}π≈3 🦊<|eom|>{NEXT}{USER}日本語 é<|eot|>", "π≈3 🦊", "日本語 é", [], 0),
    "text after the user's turn began": (f"{USER}Hi<|eot|><|start|>user<|message|>More?<|eot|>", "", "Hi", [], 0),
    "made-up tool result": (
        f"{call('now')}<|eot|><|start|>tool now<|message|>noon<|eot|>{NEXT}{USER}Noon<|eot|>",
        "",
        "",
        [("now", {})],
        0,
    ),
    # Control text quoted in thoughts and answers.
    "eom in a thought": (
        f"{SELF}The tag <|eom|> ends it.<|eom|>{NEXT}{USER}Hi<|eot|>",
        "The tag <|eom|> ends it.",
        "Hi",
        [],
        0,
    ),
    "eot in a thought": (f"{SELF}Then <|eot|> comes.<|eom|>{NEXT}{USER}Hi<|eot|>", "Then <|eot|> comes.", "Hi", [], 0),
    "eot in an answer": (f"{USER}`<|eot|>` ends a turn.<|eot|>", "", "`<|eot|>` ends a turn.", [], 0),
    "end_of_text in an answer": (f"{USER}<|end_of_text|> is id 1.<|eot|>", "", "<|end_of_text|> is id 1.", [], 0),
    "quoted end before the end": (f"{USER}It is <|eot|><|eot|>", "", "It is <|eot|>", [], 0),
    "start alone": (
        f"{USER}Turns open with <|start|> and so on.<|eot|>",
        "",
        "Turns open with <|start|> and so on.",
        [],
        0,
    ),
    "header in a sentence": (
        f"{SELF}I write <|start|>assistant to=user<|message|> first.<|eom|>{NEXT}{USER}Hi<|eot|>",
        "I write <|start|>assistant to=user<|message|> first.",
        "Hi",
        [],
        0,
    ),
    "header in backticks": (
        f"{USER}Use `<|start|>assistant to=user<|message|>` here.<|eot|>",
        "",
        "Use `<|start|>assistant to=user<|message|>` here.",
        [],
        0,
    ),
    "header in quotes": (
        f'{USER}Say "<|start|>assistant to=self<|message|>".<|eot|>',
        "",
        'Say "<|start|>assistant to=self<|message|>".',
        [],
        0,
    ),
    "header in a code fence": (
        f"{USER}```\n<|start|>assistant to=user<|message|>x\n```\nSo.<|eot|>",
        "",
        "```\n<|start|>assistant to=user<|message|>x\n```\nSo.",
        [],
        0,
    ),
    "end and header in one code span": (
        f"{USER}The seam `<|eom|><|start|>assistant to=user<|message|>` is it.<|eot|>",
        "",
        "The seam `<|eom|><|start|>assistant to=user<|message|>` is it.",
        [],
        0,
    ),
    "a user header in a sentence": (
        f"{USER}Then <|start|>user<|message|> follows.<|eot|>",
        "",
        "Then <|start|>user<|message|> follows.",
        [],
        0,
    ),
    "eom before something like a header": (
        f"{SELF}a<|eom|><|start|>nobody<|message|>b<|eom|>{NEXT}{USER}Hi<|eot|>",
        "a<|eom|><|start|>nobody<|message|>b",
        "Hi",
        [],
        0,
    ),
    "eot and start without a header": (
        f"{USER}<|eot|><|start|> is a seam.<|eot|>",
        "",
        "<|eot|><|start|> is a seam.",
        [],
        0,
    ),
    "message tag": (f"{USER}a<|message|>b<|eot|>", "", "a<|message|>b", [], 0),
    "recipient words": (
        f"{USER}to=self and to=user are recipients.<|eot|>",
        "",
        "to=self and to=user are recipients.",
        [],
        0,
    ),
    "call in a thought": (
        f"{SELF}I will send {EXAMPLE}<|eom|>{NEXT}{USER}Hi<|eot|>",
        f"I will send {EXAMPLE}",
        "Hi",
        [],
        0,
    ),
    "call in an answer": (f"{USER}{EXAMPLE}<|eot|>", "", EXAMPLE, [], 0),
    "call in commentary": (f"{COMMENTARY}{EXAMPLE}<|eom|>{NEXT}{USER}Hi<|eot|>", "", f"{EXAMPLE}Hi", [], 0),
    "thought that ends in a code span": (
        f"{SELF}so `x`<|eom|>{NEXT}{USER}`x` it is<|eot|>",
        "so `x`",
        "`x` it is",
        [],
        0,
    ),
    "fence, then fence": (
        f"{SELF}So:\n```\nx\n```<|eom|>{NEXT}{USER}```\nx\n```<|eot|>",
        "So:\n```\nx\n```",
        "```\nx\n```",
        [],
        0,
    ),
    "lone quotation marks at a seam": (f'{SELF}a"<|eom|>{NEXT}{USER}" b`<|eot|>', 'a"', '" b`', [], 0),
    "thought that ends in <": (f"{SELF}so a <<|eom|>{NEXT}{USER}b<|eot|>", "so a <", "b", [], 0),
    "angle brackets and bars": (
        f"{USER}a <| b |> c <|x|> || <|eo t|><|eot|>",
        "",
        "a <| b |> c <|x|> || <|eo t|>",
        [],
        0,
    ),
    # The end marker that models forget.
    "no eom after a sentence": (f"{SELF}Need it.{NEXT}{USER}Hi<|eot|>", "Need it.", "Hi", [], 0),
    "no eom, new line": (f"{SELF}Need it.\n{NEXT}{USER}Hi<|eot|>", "Need it.\n", "Hi", [], 0),
    "no eom, empty thought": (f"{SELF}{NEXT}{USER}Hi<|eot|>", "", "Hi", [], 0),
    "no eom between calls": (f"{call('now')}{NEXT}{call('now')}<|eot|>", "", "", [("now", {}), ("now", {})], 0),
    "no eom, a space after a call": (f"{call('now')} {NEXT}{USER}Hi<|eot|>", "", "Hi", [("now", {})], 0),
    "a header behind a closing tag in a value": (
        f"{call('files.write', path='</atem:function_calls> <|start|>assistant to=user<|message|> x')}<|eot|>",
        "",
        "",
        [("files.write", {"path": "</atem:function_calls> <|start|>assistant to=user<|message|> x"})],
        0,
    ),
    "no eom before a call": (f"{SELF}Call{NEXT}{call('now')}<|eot|>", "Call", "", [("now", {})], 0),
    "no eom after a quotation": (f'{SELF}They said "no"{NEXT}{USER}Hi<|eot|>', 'They said "no"', "Hi", [], 0),
    "no eom after a code span": (f"{SELF}It is `x`{NEXT}{USER}Hi<|eot|>", "It is `x`", "Hi", [], 0),
    "no eom after a fence": (f"{SELF}```\nx\n```{NEXT}{USER}Hi<|eot|>", "```\nx\n```", "Hi", [], 0),
    "no eom after markup": (f"{SELF}a </b>{NEXT}{USER}Hi<|eot|>", "a </b>", "Hi", [], 0),
    "eom, line end, header": (f"{SELF}Hm<|eom|>\n{NEXT}{USER}Hi<|eot|>", "Hm", "Hi", [], 0),
    # Cut in the middle of a marker.
    "cut in eom": (f"{SELF}Hm<|eo", "Hm", "", [], 0),
    "cut after one bracket": (f"{USER}Hi<", "", "Hi", [], 0),
    "cut in eot": (f"{USER}Hi<|eot|", "", "Hi", [], 0),
    "cut in start": (f"{SELF}Hm<|eom|><|sta", "Hm", "", [], 0),
    "cut in assistant": (f"{SELF}Hm<|eom|><|start|>assi", "Hm", "", [], 0),
    "cut in a recipient": (f"{SELF}Hm<|eom|><|start|>assistant to=us", "Hm", "", [], 0),
    "cut in message": (f"{SELF}Hm<|eom|><|start|>assistant to=user<|mess", "Hm", "", [], 0),
    "cut in the first header": (" to=sel", "", "", [], 0),
    "cut in a quoted header": (f"{USER}Write <|start|>assis", "", "Write ", [], 0),
    "cut in a closing tag": (f"{call('now')[:-28]}</atem:par", "", "", [], 1),
    # Calls.
    "one call": (f"{call('get_weather', city='Paris')}<|eot|>", "", "", [("get_weather", {"city": "Paris"})], 0),
    "thought, commentary, call": (
        f"{SELF}Hm<|eom|>{NEXT}{COMMENTARY}Looking.<|eom|>{NEXT}{call('now')}<|eot|>",
        "Hm",
        "Looking.",
        [("now", {})],
        0,
    ),
    "parallel calls in order": (
        f"{call('get_weather', city='A')}<|eom|>{NEXT}{call('now')}<|eom|>{NEXT}{call('get_weather', city='B')}<|eot|>",
        "",
        "",
        [("get_weather", {"city": "A"}), ("now", {}), ("get_weather", {"city": "B"})],
        0,
    ),
    "call, then answer": (f"{call('now')}<|eom|>{NEXT}{USER}Wait.<|eot|>", "", "Wait.", [("now", {})], 0),
    "two invokes in one message": (
        " to=now<|message|><atem:function_calls>\n"
        f"{invoke('now')}{invoke('get_weather', city='A')}</atem:function_calls><|eot|>",
        "",
        "",
        [("now", {}), ("get_weather", {"city": "A"})],
        0,
    ),
    "string parameters stay raw": (
        f"{call('get_weather', city='007', unit='true', note=' x ', where='12')}<|eot|>",
        "",
        "",
        [("get_weather", {"city": "007", "unit": "true", "note": " x ", "where": "12"})],
        0,
    ),
    "typed parameters": (
        f"{call('get_weather', days='3', hourly='True', note='null', where='None', box='[1, 2]')}<|eot|>",
        "",
        "",
        [("get_weather", {"days": 3, "hourly": True, "note": None, "where": None, "box": [1, 2]})],
        0,
    ),
    "untyped parameters": (
        call("now", a="false", b="None", c="1e3", d='{"k": [1, {}]}', e="007", f='"q"', g="NaN", h="x y") + "<|eot|>",
        "",
        "",
        [
            (
                "now",
                {
                    "a": False,
                    "b": None,
                    "c": 1000.0,
                    "d": {"k": [1, {}]},
                    "e": "007",
                    "f": '"q"',
                    "g": "NaN",
                    "h": "x y",
                },
            )
        ],
        0,
    ),
    "typed but not JSON": (
        f"{call('get_weather', days='a few')}<|eot|>",
        "",
        "",
        [("get_weather", {"days": "a few"})],
        0,
    ),
    "empty value": (f"{call('get_weather', city='')}<|eot|>", "", "", [("get_weather", {"city": ""})], 0),
    "lines in a value": (
        f"{call('files.write', path='a', content=chr(10) + 'x' + chr(13) + chr(10) + ' y ' + chr(10))}<|eot|>",
        "",
        "",
        [("files.write", {"path": "a", "content": "\nx\r\n y \n"})],
        0,
    ),
    "markup in a value": (
        f"{call('files.write', path='a', content='<b>1 < 2 && </b> &amp;')}<|eot|>",
        "",
        "",
        [("files.write", {"path": "a", "content": "<b>1 < 2 && </b> &amp;"})],
        0,
    ),
    "closing tag in a value": (
        f"{call('files.write', path='a', content='say </atem:parameter> twice </atem:invoke>')}<|eot|>",
        "",
        "",
        [("files.write", {"path": "a", "content": "say </atem:parameter> twice </atem:invoke>"})],
        0,
    ),
    "opening tag in a value": (
        f"{call('files.write', path='a <atem:parameter name=' + chr(34) + 'q' + chr(34) + '> b', content='c')}<|eot|>",
        "",
        "",
        [("files.write", {"path": 'a <atem:parameter name="q"> b', "content": "c"})],
        0,
    ),
    "a whole call in a value": (
        f"{call('files.write', path='a', content=f'Like so:{chr(10)}{EXAMPLE}{chr(10)}done')}<|eot|>",
        "",
        "",
        [("files.write", {"path": "a", "content": f"Like so:\n{EXAMPLE}\ndone"})],
        0,
    ),
    "control text in a value": (
        f"{call('files.write', path='<|eot|> x', content='a <|eom|> b <|start|>assistant c')}<|eot|>",
        "",
        "",
        [("files.write", {"path": "<|eot|> x", "content": "a <|eom|> b <|start|>assistant c"})],
        0,
    ),
    "a value that ends in <": (
        f"{call('get_weather', city='a<')}<|eot|>",
        "",
        "",
        [("get_weather", {"city": "a<"})],
        0,
    ),
    "CRLF between tags": (
        f"{call('get_weather', city='Paris', days='2')}<|eot|>".replace("\n", "\r\n"),
        "",
        "",
        [("get_weather", {"city": "Paris", "days": 2})],
        0,
    ),
    "tags on one line": (
        f"{call('get_weather', city='Paris', days='2')}<|eot|>".replace("\n", ""),
        "",
        "",
        [("get_weather", {"city": "Paris", "days": 2})],
        0,
    ),
    "no closing function_calls": (
        f"{call('now').removesuffix('</atem:function_calls>')}<|eot|>",
        "",
        "",
        [("now", {})],
        0,
    ),
    "words after the call": (
        f"{call('get_weather', city='A')}\nSent.<|eot|>",
        "",
        "",
        [("get_weather", {"city": "A"})],
        0,
    ),
    # Names.
    "bare name stays bare": (f"{call('get_weather', city='A')}<|eot|>", "", "", [("get_weather", {"city": "A"})], 0),
    "doubled name": (
        f"{call('get_weather.get_weather', city='1')}<|eot|>",
        "",
        "",
        [("get_weather", {"city": "1"})],
        0,
    ),
    "doubled name that exists": (f"{call('echo.echo', text='1')}<|eot|>", "", "", [("echo.echo", {"text": "1"})], 0),
    "doubled name of no tool": (f"{call('other.other', a='x')}<|eot|>", "", "", [("other.other", {"a": "x"})], 0),
    "unknown tool": (f"{call('mystery', a='1')}<|eot|>", "", "", [("mystery", {"a": 1})], 0),
    "the invoke names the tool": (
        f" to=functions<|message|><atem:function_calls>\n{invoke('now')}</atem:function_calls><|eot|>",
        "",
        "",
        [("now", {})],
        0,
    ),
    # Calls cut off are errors and nothing else.
    "cut in a value": (f"{call('get_weather', city='Par')[:-60]}", "", "", [], 1),
    "cut before the invoke closes": (f"{call('get_weather', city='A')[:-38]}<|eot|>", "", "", [], 1),
    "cut call, then an answer": (
        f"{call('get_weather', city='Paris')[:-60]}<|eom|>{NEXT}{USER}Sorry<|eot|>",
        "",
        "Sorry",
        [],
        1,
    ),
    "cut call, then a whole one": (
        f"{call('get_weather', city='Paris')[:-60]}<|eom|>{NEXT}{call('get_weather', city='Rome')}<|eot|>",
        "",
        "",
        [("get_weather", {"city": "Rome"})],
        1,
    ),
    "cut call without eom, then a whole one": (
        f"{call('get_weather', city='Paris').split('</atem')[0]}\n{NEXT}{call('get_weather', city='Rome')}<|eot|>",
        "",
        "",
        [("get_weather", {"city": "Rome"})],
        1,
    ),
    "whole call, then a cut one in the same message": (
        f' to=now<|message|><atem:function_calls>\n{invoke("now")}<atem:invoke name="get_weather">\n<atem:parameter',
        "",
        "",
        [("now", {})],
        1,
    ),
    "cut invoke, then a whole one in the same message": (
        ' to=now<|message|><atem:function_calls>\n<atem:invoke name="get_weather">\n<atem:parameter name="city">Par\n'
        + f"{invoke('get_weather', city='Rome')}</atem:function_calls><|eot|>",
        "",
        "",
        [],
        1,
    ),
    "cut after an example of a call": (
        f"{call('files.write', content=EXAMPLE + ' and').split(' and')[0]} an<|eot|>",
        "",
        "",
        [],
        1,
    ),
    "no call in the message": (' to=now<|message|>{"city": "Paris"}<|eot|>', "", "", [], 1),
    "empty call message": (" to=now<|message|><|eot|>", "", "", [], 1),
}


def in_chunks(text, size, tools=TOOLS):
    parser = StreamParser(tools)
    events = []
    for start in range(0, len(text), size):
        events += parser.feed(text[start : start + size])
    result = parser.close()
    return result, events + parser.events_at_close


@pytest.mark.parametrize("name", CASES)
def test_hard_case(name):
    text, reasoning, content, calls, errors = CASES[name]
    whole = parse(text, TOOLS)
    assert whole.reasoning == reasoning
    assert whole.content == content
    assert [(call.name, call.arguments) for call in whole.tool_calls] == calls
    assert len(whole.errors) == errors
    for size in (1, 3, 17):
        result, events = in_chunks(text, size)
        assert result == whole
        assert "".join(event.text for event in events if event.kind == "reasoning") == reasoning
        assert "".join(event.text for event in events if event.kind in ("content", "commentary")) == content
        assert [event.call for event in events if event.kind == "tool_call"] == whole.tool_calls
        assert [event.text for event in events if event.kind == "error"] == whole.errors


@pytest.mark.parametrize("name", CASES)
def test_a_shorter_text_never_says_what_the_longer_one_takes_back(name):
    text = CASES[name][0]
    parser = StreamParser(TOOLS)
    said = ""
    for end in range(1, len(text) + 1):
        said += "".join(event.text for event in parser.feed(text[end - 1]) if event.kind in ("content", "commentary"))
        cut = parse(text[:end], TOOLS)
        assert cut.content.startswith(said)
    assert parse(text, TOOLS).content.startswith(said)


def test_text_streams_as_it_comes():
    parser = StreamParser()
    assert parser.feed(" to=self<|message|>Let me") == [event("reasoning", "Let me")]
    assert parser.feed(" see <") == [event("reasoning", " see ")]
    assert parser.feed("b>") == [event("reasoning", "<b>")]
    assert parser.feed("<|eom|>") == []
    assert parser.feed("<|start|>assistant to=user<|message|>4") == [event("content", "4")]
    assert parser.close().complete is False


def event(kind, text):
    return ParseEvent(kind, text)


def test_complete_tells_whether_the_turn_ended():
    assert parse(f"{USER}Hi<|eot|>").complete
    assert not parse(f"{USER}Hi").complete
    assert not parse(f"{SELF}Hm<|eom|>").complete


def test_commentary_and_answer_are_kept_apart_too():
    result = parse(f"{COMMENTARY}On it. <|eom|>{NEXT}{USER}Done.<|eot|>")
    assert (result.commentary, result.answer, result.content) == ("On it. ", "Done.", "On it. Done.")
    assert result.message() == Message("assistant", "Done.", commentary="On it. ")


def test_a_call_reads_like_json():
    [made] = parse(f"{call('now', a='1')}<|eot|>").tool_calls
    assert made == ToolCall("now", {"a": 1})
    assert made["name"] == "now"
    assert dict(made) == {"name": "now", "arguments": {"a": 1}}


def test_deep_json_is_text():
    deep = "[" * 100_000
    assert parse(f"{call('now', a=deep)}<|eot|>").tool_calls[0].arguments == {"a": deep}


def test_a_call_whose_name_could_not_be_told_again_is_an_error_and_no_call():
    body = '<atem:function_calls>\n<atem:invoke name="a b">\n</atem:invoke>\n</atem:function_calls>'
    said = parse(f" to=a<|message|>{body}<|eot|>")
    assert not said.tool_calls and "'a b' is no name of a tool" in said.errors[0]
