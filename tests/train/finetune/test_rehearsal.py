from firesteel.train.finetune.rehearsal import rehearsal


def test_worked_problems_think_as_much_as_their_strength_says():
    found = list(rehearsal(40))
    assert len(found) == 40
    assert {example.strength for example in found} == {1, 16, 64, 256, 512}
    assert all(bool(example.messages[1].reasoning) == (example.strength > 1) for example in found)
    assert any(example.messages[0].images for example in found)


def test_a_seed_repeats_them():
    assert [e.messages[0].text for e in rehearsal(5, 3)] == [e.messages[0].text for e in rehearsal(5, 3)]
    assert [e.messages[0].text for e in rehearsal(5, 3)] != [e.messages[0].text for e in rehearsal(5, 4)]
