from firesteel.tasks.tables import Table
from tests.tasks import checks


def recompute(facts: dict) -> str:
    cells = {
        (row, column): value
        for row, line in zip(facts["rows"], facts["cells"], strict=True)
        for column, value in zip(facts["columns"], line, strict=True)
    }
    (r, s), (c, d) = facts["of"], facts["under"]
    column = {row: cells[row, c] for row in facts["rows"]}
    return str(
        {
            "value": cells[r, c],
            "largest": max(column, key=column.__getitem__),
            "smallest": min(column, key=column.__getitem__),
            "sum": cells[r, c] + cells[s, c],
            "difference": cells[r, c] - cells[s, c],
            "across": cells[r, c] + cells[r, d],
            "total": sum(column.values()),
        }[facts["kind"]]
    )


def test_contract_seeds_and_guessing():
    family = Table()
    checks.holds_contract(family)
    checks.is_seeded(family)
    checks.resists_guessing(family)
    assert checks.phrasings(family) >= 50


def test_answers_follow_from_the_cells():
    kinds = set()
    for level in (1, 2, 3):
        for problem in checks.draw(Table(), level, 300):
            kinds.add(problem.facts["kind"])
            assert problem.answer == recompute(problem.facts)
            column = problem.facts["columns"].index(problem.facts["under"][0])
            values = [line[column] for line in problem.facts["cells"]]
            assert len(set(values)) == len(values)
            if problem.facts["kind"] == "difference":
                assert int(problem.answer) > 0
    assert len(kinds) == 7


def test_the_caption_reads_the_table_line_by_line():
    problem = checks.draw(Table(), 1, 1)[0]
    facts = problem.facts
    lines = [f"{row} {' '.join(map(str, line))}." for row, line in zip(facts["rows"], facts["cells"], strict=True)]
    assert problem.caption == f"table: {' '.join(facts['columns'])}. {' '.join(lines)}"


def test_each_word_and_number_is_drawn_once():
    for level in (1, 2, 3):
        for problem in checks.draw(Table(), level, 30):
            rows, columns = len(problem.facts["rows"]), len(problem.facts["columns"])
            assert len(problem.facts["texts"]) == rows + columns + rows * columns
