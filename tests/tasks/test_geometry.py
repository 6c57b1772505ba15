import math

from firesteel.tasks import drawing
from firesteel.tasks.geometry import Geometry
from tests.tasks import checks


def recompute(facts: dict) -> int:
    match facts:
        case {"kind": "rectangle_perimeter", "a": a, "b": b}:
            return a + b + a + b
        case {"kind": "rectangle_area", "a": a, "b": b}:
            return a * b
        case {"kind": "rectangle_side", "known": known, "area": area}:
            assert area % known == 0
            return area // known
        case {"kind": "triangle_perimeter", "left": left, "right": right, "base": base}:
            assert 2 * max(left, right, base) < left + right + base
            return left + right + base
        case {"kind": "triangle_angle", "first": first, "second": second}:
            return 180 - first - second
        case {"kind": "triangle_area", "base": base, "height": height}:
            assert base * height % 2 == 0
            return base * height // 2
        case {"kind": "right_triangle", "a": a, "b": b}:
            return math.isqrt(a * a + b * b)
        case {"kind": "right_triangle", "a": a, "c": c}:
            return math.isqrt(c * c - a * a)
        case {"kind": "l_area", "width": width, "height": height, "top": top, "low": low}:
            return width * height - (width - top) * (height - low)
        case {"kind": "l_perimeter", "width": width, "height": height}:
            return 2 * width + 2 * height
        case {"kind": "four_angles", "first": first, "second": second, "third": third}:
            return 360 - first - second - third
    raise AssertionError(facts)


def test_contract_seeds_and_guessing():
    family = Geometry()
    checks.holds_contract(family)
    checks.is_seeded(family)
    checks.resists_guessing(family)
    assert checks.phrasings(family) >= 9


def test_answers_follow_from_the_labels():
    kinds = set()
    for level in (1, 2, 3):
        for problem in checks.draw(Geometry(), level, 400):
            kinds.add(problem.facts["kind"])
            assert problem.answer == str(recompute(problem.facts)), problem.caption
            assert problem.full.startswith(problem.caption)
    assert len(kinds) == 10


def test_labels_touch_no_stroke():
    for level in (1, 2, 3):
        for problem in checks.draw(Geometry(), level, 150):
            for text in problem.facts["texts"]:
                assert not any(drawing.crosses(start, end, text, 2) for start, end in problem.facts["marks"])


def test_angles_are_drawn_true():
    for problem in checks.draw(Geometry(), 1, 200):
        if problem.facts["kind"] != "triangle_angle":
            continue
        (a, b), (_, c), _ = problem.facts["marks"]

        def at(corner, one, two):
            turn = math.atan2(one[1] - corner[1], one[0] - corner[0]) - math.atan2(
                two[1] - corner[1], two[0] - corner[0]
            )
            return abs(math.degrees((turn + math.pi) % (2 * math.pi) - math.pi))

        drawn = sorted((at(a, b, c), at(b, a, c), at(c, a, b)))
        told = sorted((problem.facts["first"], problem.facts["second"], int(problem.answer)))
        assert all(abs(x - y) < 0.01 for x, y in zip(drawn, told, strict=True))


def test_check_takes_degrees_for_angles_only():
    family = Geometry()
    problems = checks.draw(family, 1, 100)
    angle = next(p for p in problems if p.facts["kind"] == "triangle_angle")
    assert family.check(angle, f"{angle.answer}°") and family.check(angle, f"{angle.answer} degrees.")
    assert not family.check(angle, f"{int(angle.answer) + 5}")
    area = next(p for p in problems if p.facts["kind"] == "rectangle_area")
    assert not family.check(area, f"{area.answer}°")


def test_a_right_triangle_is_not_an_angle():
    family = Geometry()
    side = next(p for level in (2, 3) for p in checks.draw(family, level, 200) if p.facts["kind"] == "right_triangle")
    assert family.check(side, side.answer) and not family.check(side, f"{side.answer}°")
