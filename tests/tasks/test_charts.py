import pytest

from firesteel.tasks import drawing
from firesteel.tasks.charts import BarChart, LineChart, PieChart
from tests.tasks import checks

CHARTS = (BarChart(), LineChart(), PieChart())


def recompute(facts: dict) -> str:
    values = dict(facts["items"])
    a, b = (values[name] for name in facts["of"])
    numbers = list(values.values())
    names = {value: name for name, value in values.items()}
    return str(
        {
            "value": a,
            "largest": names[max(numbers)],
            "smallest": names[min(numbers)],
            "sum": a + b,
            "difference": a - b,
            "rise": a - b,
            "fall": a - b,
            "spread": max(numbers) - min(numbers),
            "total": sum(numbers),
            "count": sum(number > facts["bound"] for number in numbers),
            "people": a * facts["bound"] // 100,
        }[facts["kind"]]
    )


@pytest.mark.parametrize("family", CHARTS, ids=lambda family: family.name)
def test_contract_seeds_and_guessing(family):
    checks.holds_contract(family)
    checks.is_seeded(family)
    checks.resists_guessing(family)
    assert checks.phrasings(family) >= 20


@pytest.mark.parametrize("family", CHARTS, ids=lambda family: family.name)
def test_answers_follow_from_the_drawn_values(family):
    kinds = set()
    for level in (1, 2, 3):
        for problem in checks.draw(family, level, 300):
            facts = problem.facts
            kinds.add(facts["kind"])
            assert problem.answer == recompute(facts)
            assert len({value for _, value in facts["items"]}) == len(facts["items"])
            read = ", ".join(f"{name} {value}" for name, value in facts["items"])
            assert problem.caption == f"{family.title}: {read}."
            assert problem.full.startswith(f"{read}. ")
            for name in facts["of"]:
                assert f" {name} " not in problem.question or name in dict(facts["items"])
            if facts["kind"] in ("difference", "rise", "fall"):
                assert int(problem.answer) > 0
    asked = {kind for level in family.kinds for kind in level}
    assert asked <= kinds | {"rise"}  # a rise may turn out a fall


@pytest.mark.parametrize("level", (1, 2, 3))
def test_bars_are_as_high_as_their_values_and_free_of_text(level):
    for problem in checks.draw(BarChart(), level, 100):
        facts = problem.facts
        heights = [bottom - top for _, top, _, bottom in facts["marks"]]
        values = [value for _, value in facts["items"]]
        unit = max(heights) / max(values)
        assert all(abs(height - value * unit) <= 2 for height, value in zip(heights, values, strict=True))
        for text in facts["texts"]:
            assert not any(drawing.overlaps(text, bar) for bar in facts["marks"])


@pytest.mark.parametrize("level", (1, 2, 3))
def test_lines_pass_the_values_and_spare_the_text(level):
    for problem in checks.draw(LineChart(), level, 100):
        facts = problem.facts
        strokes = facts["marks"]
        ys = [strokes[0][0][1], *(end[1] for _, end in strokes)]
        values = [value for _, value in facts["items"]]
        unit = (ys[1] - ys[0]) / (values[0] - values[1])
        assert all(abs((y - ys[0]) - (values[0] - v) * unit) < 0.01 for y, v in zip(ys, values, strict=True))
        for text in facts["texts"]:
            assert not any(drawing.crosses(start, end, text) for start, end in strokes)


def test_pie_shares_add_up_and_show_their_colours():
    for problem in checks.draw(PieChart(), 1, 100):
        items = problem.facts["items"]
        assert sum(share for _, share in items) == 100
        colours = [colour for _, colour in problem.image.getcolors(1 << 16)]
        for name, _ in items:
            wanted = drawing.COLOURS[name]
            assert any(all(abs(a - b) <= 10 for a, b in zip(colour, wanted, strict=True)) for colour in colours)


def test_check_takes_a_percent_sign_but_no_other_answer():
    family = PieChart()
    problem = next(p for p in checks.draw(family, 1, 50) if p.facts["kind"] == "value")
    assert family.check(problem, f"{problem.answer}%") and family.check(problem, f"{problem.answer} %.")
    assert not family.check(problem, str(int(problem.answer) + 1))
    assert not family.check(problem, f"{problem.answer}%%")
    assert not family.check(problem, f"about {problem.answer}")
    named = next(p for p in checks.draw(family, 1, 50) if p.facts["kind"] == "largest")
    assert not family.check(named, f"{named.answer}%")
