"""The pages that `pages` renders: nine kinds, every word, number, order and style drawn from a seed.

What the truth is taken from stands in the markup: `data-control` names what can be clicked, `data-value` what can be
read (the browser says what it shows), `data-item` what can be counted (names between bars). A name says all that a
question needs to be clear: "Buy button of the lamp".
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from firesteel.tasks.lexicon import NAMES, THINGS, WORDS

SIZES = ((280, 280), (308, 252), (336, 224), (336, 280), (364, 308), (392, 252), (392, 336), (308, 364))

_CITIES = ("Paris", "Rome", "Oslo", "Lima", "Boston", "Cairo", "Delhi", "Berlin", "Tokyo", "Madrid", "London", "Prague")
_GOODS = ("lamp", "chair", "desk", "cup", "bag", "hat", "clock", "knife", "radio", "tent", "rug", "vase", "kettle")
_TASKS = ("buy", "call", "clean", "fix", "paint", "sell", "wash", "find", "bring", "sort", "check", "order")
_PLACES = ("files", "photos", "music", "notes", "maps", "chat", "games", "team", "home", "news", "help", "groups")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Page:
    """HTML for a window of `size` pixels; `kind` is a word for what it is."""

    html: str
    size: tuple[int, int]
    kind: str
    title: str


def page(rng: random.Random) -> Page:
    """One page of any kind."""
    kind = rng.choice(list(KINDS))
    title, body = KINDS[kind](rng)
    head = f'<h1 data-value="title">{escape(title)}</h1>'
    return Page(f"<style>{_style(rng)}</style><body>{head}{body}</body>", rng.choice(SIZES), kind, title)


# ---------------------------------------------------------------- pieces


def _button(word: str, of: str = "", tag: str = "button") -> str:
    name = f"{word} {'link' if tag == 'a' else tag}{f' of the {of}' if of else ''}"
    return f'<{tag} data-control="{name}"{" href=#" if tag == "a" else ""}>{word}</{tag}>'


def _buttons(rng: random.Random, words: Sequence[str], most: int = 2) -> str:
    return f'<p class="bar">{"".join(_button(word) for word in rng.sample(words, rng.randint(1, most)))}</p>'


def _field(name: str, value: str) -> str:
    box = f'data-control="{name} field" data-value="text of the {name} field" data-item="fields"'
    return f'<label class="row"><span>{name}</span><input {box} value="{escape(value)}"></label>'


def _check(name: str, on: bool, item: str, done: str, prose: str = "") -> str:
    labels = f"{item}|{done} {item}" if on else item
    box = f'<input type="checkbox" data-control="{name} checkbox"{" checked" if on else ""}>'
    return f'<label class="row check" data-item="{labels}">{box}<span>{prose or name}</span></label>'


def _read(name: str, text: str, tag: str = "span", css: str = "") -> str:
    return f'<{tag} class="{css}" data-value="{name}">{escape(text)}</{tag}>'


def _navigation(rng: random.Random) -> str:
    words = rng.sample(_PLACES, rng.randint(2, 3))
    return f"<nav>{' '.join(_button(word.capitalize(), tag='a') for word in words)}</nav>"


def _price(rng: random.Random) -> str:
    return f"${rng.randint(1, 99)}.{rng.choice(('00', '50', '95', '20'))}"


def _date(rng: random.Random) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(_MONTHS)}"


def _words(rng: random.Random, least: int, most: int) -> str:
    return " ".join(rng.sample(WORDS, rng.randint(least, most))).capitalize()


# ---------------------------------------------------------------- kinds: (title, body)


def _form(rng: random.Random) -> tuple[str, str]:
    person = rng.choice(NAMES)
    known = {
        "Name": person,
        "Email": f"{person.lower()}@{rng.choice(WORDS)}.org",
        "City": rng.choice(_CITIES),
        "Phone": f"{rng.randint(100, 999)} {rng.randint(100, 999)}",
        "Date": _date(rng),
        "Guests": str(rng.randint(1, 12)),
        "Code": str(rng.randint(1000, 9999)),
    }
    body = "".join(_field(name, known[name]) for name in rng.sample(list(known), rng.randint(2, 5)))
    if rng.random() < 0.4:
        name = rng.choice(("Remember me", "Send news", "I agree"))
        body += _check(name, rng.random() < 0.5, "boxes", "checked")
    title = rng.choice(("Sign up", "Contact", "Your address", "Book a table", "New account", "Profile", "Log in"))
    return title, body + _buttons(rng, ("Save", "Send", "Cancel", "Next", "Back", "Reset"))


def _settings(rng: random.Random) -> tuple[str, str]:
    names = rng.sample(("Wifi", "Sound", "Dark mode", "Updates", "Location", "Camera", "Backup", "Alerts"), 6)
    body = "".join(_check(n, rng.random() < 0.5, "switches", "checked") for n in names[: rng.randint(3, 6)])
    for name, values in (("Language", ("English", "French", "German")), ("Size", ("small", "medium", "large"))):
        if rng.random() < 0.5:
            inside = f"<option>{rng.choice(values)}</option>"
            marks = f'data-control="{name} menu" data-value="choice of {name}"'
            body += f'<label class="row"><span>{name}</span><select {marks}>{inside}</select></label>'
    return rng.choice(("Settings", "Options", "Preferences")), body + _buttons(rng, ("Save", "Reset", "Close"), 1)


def _list(rng: random.Random) -> tuple[str, str]:
    rows = []
    for thing in rng.sample(THINGS, rng.randint(3, 6)):
        done = rng.random() < 0.4
        text = f"{rng.choice(_TASKS)} {thing}".capitalize()
        rows.append(_check(text, done, "tasks", "done", f"<s>{text}</s>" if done else text))
    title = rng.choice(("To do", "Tasks", "Today", "Shopping", "My list"))
    return title, "".join(rows) + _buttons(rng, ("Add", "Clear", "Sort", "Share"))


def _dashboard(rng: random.Random) -> tuple[str, str]:
    names = rng.sample(("Orders", "Visits", "Users", "Sales", "Errors", "Calls", "Mails", "Stars"), rng.randint(2, 4))
    cards = "".join(
        f'<div class="card" data-item="cards"><small>{name}</small>'
        f"{_read(f'number of {name}', str(rng.randint(3, 999)), 'b')}</div>"
        for name in names
    )
    bars = "".join(f'<i style="height:{rng.randint(8, 40)}px"></i>' for _ in range(rng.randint(4, 8)))
    chart = f'<div class="chart">{bars}</div>' if rng.random() < 0.6 else ""
    return rng.choice(("Overview", "Dashboard", "This week", "Report")), (
        f'{_navigation(rng)}<div class="grid">{cards}</div>{chart}{_buttons(rng, ("Refresh", "Export", "Filter"))}'
    )


def _article(rng: random.Random) -> tuple[str, str]:
    line = f"By {_read('author', rng.choice(NAMES))}, {_read('date', _date(rng))}"
    texts = "".join(f'<p data-item="paragraphs">{_words(rng, 7, 16)}.</p>' for _ in range(rng.randint(1, 3)))
    links = " ".join(_button(word, tag="a") for word in rng.sample(("Share", "Print", "Reply", "More", "Next"), 2))
    return _words(rng, 2, 3), f"{_navigation(rng)}<small>{line}</small>{texts}<p>{links}</p>"


def _table(rng: random.Random) -> tuple[str, str]:
    columns = rng.sample(("price", "stock", "size", "weight", "sold"), rng.randint(1, 3))
    head = "".join(f"<th>{name.capitalize()}</th>" for name in ("item", *columns))
    rows = []
    for thing in rng.sample(THINGS, rng.randint(3, 5)):
        cells = "".join(_read(f"{column} of {thing}", str(rng.randint(1, 99)), "td") for column in columns)
        rows.append(f'<tr data-item="rows below the head"><td>{thing}</td>{cells}</tr>')
    body = f"<table><tr>{head}</tr>{''.join(rows)}</table>"
    return rng.choice(("Stock", "Prices", "Store", "Inventory")), body + _buttons(rng, ("Edit", "Print", "Export"))


def _dialog(rng: random.Random) -> tuple[str, str]:
    under, _ = rng.choice((_list, _article, _form))(rng)
    thing = rng.choice(THINGS)
    asked = rng.choice(("Delete the {}?", "Save the {}?", "Send the {} now?", "Leave without the {}?")).format(thing)
    words = rng.choice((("Yes", "No"), ("OK", "Cancel"), ("Delete", "Keep"), ("Save", "Discard", "Cancel")))
    inside = f"{_read('question of the dialog', asked, 'h2')}<p>{_words(rng, 3, 7)}.</p>"
    buttons = "".join(f'<span data-item="buttons">{_button(word)}</span>' for word in words)
    shadow = f'<div class="shade"><div class="dialog">{inside}<p class="bar">{buttons}</p></div></div>'
    return under, f"<p>{_words(rng, 20, 40)}</p>{shadow}"


def _mail(rng: random.Random) -> tuple[str, str]:
    rows = []
    for name in rng.sample(NAMES, rng.randint(3, 5)):
        unread = rng.random() < 0.4
        subject = _read(f"subject of the mail from {name}", _words(rng, 1, 3), "b" if unread else "span", "subject")
        when = _read(f"time of the mail from {name}", f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}", "small")
        labels = "mails|unread mails" if unread else "mails"
        name = f"<b>{name}</b>" if unread else f"<span>{name}</span>"
        rows.append(f'<div class="row line" data-item="{labels}">{name}{subject}{when}</div>')
    return rng.choice(("Inbox", "Mail", "Messages")), _buttons(rng, ("Write", "Search", "Delete")) + "".join(rows)


def _shop(rng: random.Random) -> tuple[str, str]:
    word = rng.choice(("Buy", "Add", "Order"))
    cards = "".join(
        f'<div class="card" data-item="goods"><b>{thing}</b>{_read(f"price of the {thing}", _price(rng))}'
        f"{_button(word, thing)}</div>"
        for thing in rng.sample(_GOODS, rng.randint(2, 4))
    )
    cart = f"Cart: {_read('number in the cart', str(rng.randint(0, 9)))} {_button('Pay', tag='a')}"
    return rng.choice(("Shop", "Market", "Sale", "New in")), f'<small>{cart}</small><div class="grid">{cards}</div>'


KINDS: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "form": _form,
    "settings": _settings,
    "list": _list,
    "dashboard": _dashboard,
    "article": _article,
    "table": _table,
    "dialog": _dialog,
    "mail": _mail,
    "shop": _shop,
}


# ---------------------------------------------------------------- style sheets

_LAYOUT = """
*{box-sizing:border-box} html,body{overflow:hidden;height:100%} body{margin:0}
h1{font-size:1.3em;margin:0 0 .4em} h2{font-size:1.1em;margin:0 0 .3em} p{margin:.4em 0}
.row{display:flex;align-items:center;gap:8px;margin:.3em 0} .row>span:first-child{min-width:4em}
.row input:not([type]){flex:1;min-width:0} .check input{width:1.1em;height:1.1em;margin:0}
.bar{display:flex;gap:8px;flex-wrap:wrap} .grid{display:grid;grid-template-columns:1fr 1fr;gap:8px;margin:.4em 0}
.card{display:flex;flex-direction:column;gap:3px;align-items:flex-start;padding:6px} .line>:first-child{width:3.2em}
.subject{flex:1;white-space:nowrap;overflow:hidden} nav{display:flex;gap:12px;margin-bottom:.4em}
.chart{display:flex;gap:4px;align-items:end;height:44px} .chart i{flex:1;max-width:24px}
table{border-collapse:collapse} td,th{padding:2px 9px;text-align:left}
.shade{position:fixed;inset:0;display:flex;align-items:center;justify-content:center} .dialog{padding:14px;width:78%}
button,input,select{font:inherit;padding:3px 9px}
"""

# ground, ink, a control's ground and ink, lines; corners in pixels; ACCENT is a seeded hue.
_LOOKS = (
    ("#fff", "#222", "ACCENT", "#fff", "1px solid #bbb", 4),
    ("#f4f4f6", "#111", "ACCENT", "#fff", "1px solid #ddd", 14),
    ("#1d1f24", "#e8e8e8", "ACCENT", "#fff", "1px solid #555", 6),
    ("#fbf7ec", "#3a2d1c", "#fff", "#3a2d1c", "2px solid #3a2d1c", 0),
    ("#fff", "#000", "#fff", "#000", "2px solid #000", 0),
    ("TINT", "#1a1a1a", "#fff", "ACCENT", "1px solid ACCENT", 8),
)
_FACES = ("DejaVu Sans", "Liberation Sans", "DejaVu Serif", "Liberation Serif", "DejaVu Sans Mono", "sans-serif")


def _style(rng: random.Random) -> str:
    hue = rng.randrange(360)
    accent, tint = f"hsl({hue} 65% 38%)", f"hsl({hue} 50% 92%)"
    ground, ink, control, on_control, line, corner = (
        value.replace("ACCENT", accent).replace("TINT", tint) if isinstance(value, str) else value
        for value in rng.choice(_LOOKS)
    )
    cards = rng.choice(("border:{0}", "background:rgba(128,128,128,.13)")).format(line)
    return (
        _LAYOUT
        + f"body{{padding:{rng.choice((6, 10, 16, 40))}px {rng.randint(6, 16)}px}}"
        + f".bar{{justify-content:{rng.choice(('start', 'center', 'end', 'space-between'))}}}"
        + f".shade{{align-items:{rng.choice(('start', 'center', 'end'))};padding:{rng.randint(4, 40)}px}}"
        + f"body{{background:{ground};color:{ink};font:{rng.randint(13, 17)}px '{rng.choice(_FACES)}'}}"
        + f"button{{background:{control};color:{on_control};border:{line};border-radius:{corner}px}}"
        + f"input,select{{background:{ground};color:{ink};border:{line};border-radius:{min(corner, 6)}px}}"
        + f"a{{color:{rng.choice((accent, 'inherit'))}}} .card{{{cards};border-radius:{corner}px}}"
        + f"td,th{{border-bottom:{line}}} .line{{border-bottom:{line};padding:2px 0}} .chart i{{background:{accent}}}"
        + f".dialog{{background:{ground};border:{line};border-radius:{corner}px}} .shade{{background:rgba(0,0,0,.45)}}"
        + (f"h1{{background:{accent};color:#fff;padding:3px 8px}}" if rng.random() < 0.3 else "")
    )
