"""Messages to tokens: the Muse wire grammar (Spark's form, with numeric strength), bit for bit.

- The system segment joins with blank lines: the caller's instructions, the strength, the tools, the recipients. It has
  no default persona and no date, which keeps prompts short for a small model.
- Whatever a caller wrote is escaped (`<|` becomes `< |`), so nothing but this module writes control tokens.
- The loss mask is 1 exactly on what the model generates: from the recipient to the end of its message, and the header
  of each further message of the same turn.

`chat_template.jinja` renders the same bytes; a change here is a change there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from firesteel.format.atem import NAME, function_of, write_call
from firesteel.format.images import image_tokens
from firesteel.format.tokenizer import Tokenizer
from firesteel.format.trace import Message, Part, ToolCall

STRENGTHS = {"none": 0, "minimal": 1, "low": 16, "medium": 64, "high": 256, "xhigh": 512}
RECIPIENTS = ("self", "commentary", "user")

TOOL_PREAMBLE = """You can call tools. Each call is a message of its own, addressed to the tool:
<atem:function_calls>
<atem:invoke name="$FUNCTION_NAME">
<atem:parameter name="$PARAMETER_NAME">$PARAMETER_VALUE</atem:parameter>
</atem:invoke>
</atem:function_calls>
Strings are written as they are, lists and objects as JSON.

// Function schemas"""

_MEDIA_TAG = re.compile("<(?=(?:image|video|audio)>)")


@dataclass(frozen=True)
class Rendered:
    """A conversation as a model reads it.

    `ids` and `loss_mask` (0 or 1) are equally long. `text` spells the ids out. `images` are the pictures as the model
    is shown them. `segments` is the text cut at the pictures: strings, and for each picture its index in `images`;
    joining it with `image_span` gives `text`.
    """

    ids: list[int]
    loss_mask: list[int]
    text: str
    images: list[Image.Image]
    segments: list[str | int]


def render(
    messages: Sequence[Message | Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
    strength: int | str = 64,
    tokenizer: Tokenizer | None = None,
    generation_prompt: bool = True,
) -> Rendered:
    """Renders a conversation, closed by `<|start|>assistant` when the model is to go on.

    `strength` is 0..512 or one of none, minimal, low, medium, high, xhigh; tools are OpenAI-style. Without `tokenizer`
    the packaged one is used. Raises ValueError for a conversation that the grammar cannot express.
    """
    conversation = [Message.of(message) for message in messages]
    writer = _Writer(tokenizer or Tokenizer.default())
    writer.control("<|begin_of_text|>")
    instructions: tuple[Part, ...] = ()
    if conversation and conversation[0].role in ("system", "developer"):
        instructions = conversation.pop(0).parts
    system = _system(instructions, tools or (), strength_number(strength))
    writer.header("system").text(system).control("<|eot|>")
    names: dict[str, str] = {}
    going_on = False  # the last message ended with <|eom|>, so the model writes the next header itself
    for index, message in enumerate(conversation):
        if message.role == "assistant":
            followed = index + 1 < len(conversation) and conversation[index + 1].role == "assistant"
            names |= {call.id: call.name for call in message.tool_calls if call.id}
            going_on = _assistant(writer, message, going_on, followed)
            continue
        going_on = False
        if message.role == "tool":
            name = check_name(message.name or names.get(message.tool_call_id, ""), "tool result")
            writer.header(f"tool {name}").text(f'<tool_output name="{name}">\n').parts(message.parts)
            writer.text("\n</tool_output>").control("<|eot|>")
        else:
            if message.images and message.role != "user":
                raise ValueError(f"A {message.role} message cannot hold a picture; put it into a user message.")
            writer.header(message.role).parts(message.parts).control("<|eot|>")
    if generation_prompt:
        writer.control("<|start|>").text("assistant")
    return writer.finish()


def strength_number(strength: int | str) -> int:
    """The numeric strength of a word or a number. Raises ValueError outside none..xhigh and 0..512."""
    if isinstance(strength, str):
        word = strength.strip().lower()
        number = STRENGTHS.get(word, int(word) if word.isascii() and word.isdigit() else -1)
    else:
        number = strength
    if not 0 <= number <= 512:
        raise ValueError(f"The strength {strength!r} is none of {', '.join(STRENGTHS)} and no number from 0 to 512.")
    return number


def escape(text: str) -> str:
    """Caller text that can forge neither a control token nor a media placeholder."""
    return _MEDIA_TAG.sub("< ", escape_control(text))


def escape_control(text: str) -> str:
    """The assistant's own text: only control tokens are broken up, tags such as `<video>` are its business."""
    return text.replace("<|", "< |")


def check_name(name: str, what: str) -> str:
    """A tool's name as the grammar can carry it. Raises ValueError otherwise."""
    if not name:
        raise ValueError(f"A {what} needs the tool's name, or the tool_call_id of a call that came before it.")
    if not NAME.fullmatch(name):
        raise ValueError(f"The tool name {name!r} holds a space, a quote or an angle bracket.")
    if name in (*RECIPIENTS, "developer"):
        raise ValueError(f"A tool cannot be called {name!r}: that is a recipient of its own.")
    return name


def image_span(image: Image.Image) -> str:
    """How a picture stands in the text."""
    return f"<|image_start|>{'<|patch|>' * image_tokens(image)}<|image_end|>"


def _system(instructions: Sequence[Part], tools: Sequence[Mapping[str, Any]], strength: int) -> str:
    if any(part.image is not None for part in instructions):
        raise ValueError("A system message cannot hold a picture; put it into a user message.")
    blocks = [escape("".join(part.text for part in instructions)), f"Reasoning strength: {strength}."]
    recipients = list(RECIPIENTS[:2])
    if tools:
        lines = [TOOL_PREAMBLE]
        for function in map(function_of, tools):
            name = check_name(function["name"], "tool")
            schema = {
                "name": name,
                "description": function.get("description") or "",
                "parameters": function.get("parameters") or {},
            }
            lines.append(escape(json.dumps(schema, ensure_ascii=False)))
            # Only a name with a namespace becomes a pattern: a bare `read` told as "read.*" makes models invent names.
            recipients.append(f"{name.split('.')[0]}.*" if "." in name else name)
        blocks.append("\n".join(lines))
    quoted = ", ".join(f'"{recipient}"' for recipient in dict.fromkeys([*recipients, RECIPIENTS[2]]))
    blocks.append(f"# Valid recipients: {quoted}.")
    return "\n\n".join(block for block in blocks if block)


def _assistant(writer: _Writer, message: Message, going_on: bool, followed: bool) -> bool:
    """Writes one assistant message as the messages of a turn; returns whether the turn still goes on after it."""
    if message.images:
        raise ValueError("An assistant message cannot hold a picture; put it into a user message or a tool result.")
    bodies = [("self", message.reasoning), ("commentary", message.commentary)]
    if message.tool_calls:  # with calls to come, what is said is said on the way
        bodies.append(("commentary", message.text))
    bodies = [(recipient, escape_control(text)) for recipient, text in bodies if text]
    if message.tool_calls:
        bodies += [(check_name(call.name, "tool call"), _call(call)) for call in message.tool_calls]
    else:
        bodies.append(("user", escape_control(message.text)))
    for number, (recipient, body) in enumerate(bodies, start=1):
        writer.control("<|start|>", generated=going_on).text("assistant", generated=going_on)
        writer.text(f" to={recipient}", generated=True).control("<|message|>", generated=True)
        going_on = number < len(bodies) or (followed and bool(message.tool_calls))
        writer.text(body, generated=True).control("<|eom|>" if going_on else "<|eot|>", generated=True)
    return going_on


def _call(call: ToolCall) -> str:
    return escape_control(write_call(call.name, call.arguments))


@dataclass
class _Writer:
    """Collects pieces and turns them into ids. Neighbouring plain text is encoded as one string, as it will be read."""

    tokenizer: Tokenizer
    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    images: list[Image.Image] = field(default_factory=list)
    segments: list[str | int] = field(default_factory=list)
    _pending: str = ""
    _pending_generated: bool = False

    def control(self, token: str, generated: bool = False) -> _Writer:
        self._flush()
        self._emit([self.tokenizer.id(token)], generated)
        self._spell(token)
        return self

    def header(self, role: str) -> _Writer:
        """Opens a segment that the model does not write."""
        return self.control("<|start|>").text(role).control("<|message|>")

    def text(self, text: str, generated: bool = False) -> _Writer:
        """Text that is safe already."""
        if generated != self._pending_generated:
            self._flush()
        self._pending += text
        self._pending_generated = generated
        return self

    def parts(self, parts: Sequence[Part]) -> _Writer:
        """Caller content. Adjacent texts are joined before they are escaped: a forgery could be split between them."""
        joined = ""
        for part in parts:
            if part.image is None:
                joined += part.text
                continue
            self.text(escape(joined))
            joined = ""
            self._image(part.image)
        return self.text(escape(joined))

    def finish(self) -> Rendered:
        self._flush()
        text = "".join(image_span(self.images[s]) if isinstance(s, int) else s for s in self.segments)
        return Rendered(self.ids, self.mask, text, self.images, self.segments)

    def _image(self, image: Image.Image) -> None:
        self._flush()
        image = self.tokenizer.shown(image)
        start, patch, end = map(self.tokenizer.id, ("<|image_start|>", "<|patch|>", "<|image_end|>"))
        self._emit([start, *[patch] * image_tokens(image), end], generated=False)
        self.segments.append(len(self.images))
        self.images.append(image)

    def _flush(self) -> None:
        if self._pending:
            self._emit(self.tokenizer.encode(self._pending), self._pending_generated)
            self._spell(self._pending)
        self._pending = ""

    def _emit(self, ids: list[int], generated: bool) -> None:
        self.ids += ids
        self.mask += [int(generated)] * len(ids)

    def _spell(self, text: str) -> None:
        if self.segments and isinstance(self.segments[-1], str):
            self.segments[-1] += text
        else:
            self.segments.append(text)
