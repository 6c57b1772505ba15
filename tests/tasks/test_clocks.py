import math

from firesteel.tasks.clocks import Clock
from tests.tasks import checks


def test_contract_seeds_and_guessing():
    family = Clock()
    checks.holds_contract(family)
    checks.is_seeded(family)
    checks.resists_guessing(family)
    assert checks.phrasings(family) >= 3


def test_answers_follow_from_the_time():
    family = Clock()
    asked = set()
    for level in (1, 2, 3):
        for problem in checks.draw(family, level, 300):
            facts = problem.facts
            time = f"{facts['hour']}:{facts['minute']:02d}"
            assert problem.caption.endswith(f", {time}.")
            assert facts["minute"] % 5 == 0 or level > 1
            asked.add((level, facts["until"] > 0))
            if not facts["until"]:
                assert problem.answer == time
                continue
            end = next(word for word in problem.question.rstrip("?.").split() if ":" in word)
            hour, minute = map(int, end.split(":"))
            gap = (hour * 60 + minute - facts["hour"] * 60 - facts["minute"]) % 720
            assert problem.answer == str(gap) and 5 <= gap <= 90 and 1 <= hour <= 12
            assert f"{time} to {end}" in problem.full
    assert asked == {(1, False), (2, False), (3, False), (3, True)}


def test_check_takes_a_leading_zero_but_no_other_time():
    family = Clock()
    problem = next(p for p in checks.draw(family, 1, 99) if p.facts["hour"] == 7 and p.facts["minute"] == 5)
    assert family.check(problem, "7:05") and family.check(problem, "07:05.")
    assert not family.check(problem, "7:5") and not family.check(problem, "7:06") and not family.check(problem, "8:05")
    assert not family.check(problem, "007:05") and not family.check(problem, "it is 7:05")
    waiting = next(p for p in checks.draw(family, 3, 50) if p.facts["until"])
    assert family.check(waiting, f"{waiting.answer} minutes")


def test_the_hands_point_at_the_time():
    """Colours change along both hands: the picture itself tells the time."""
    for problem in checks.draw(Clock(), 1, 60):
        image, facts = problem.image, problem.facts
        numerals = facts["texts"]
        middle = [sum((box[i] + box[i + 2]) / 2 for box in numerals) / 12 for i in (0, 1)]
        light = [math.inf] * 60
        for tick in range(60):  # the mean light along a spoke between both hands' tips
            angle = math.radians(tick * 6)
            spots = [(middle[0] + r * math.sin(angle), middle[1] - r * math.cos(angle)) for r in range(36, 43)]
            light[tick] = sum(sum(image.getpixel((round(x), round(y)))) for x, y in spots)
        assert light.index(min(light)) == facts["minute"], problem.answer
