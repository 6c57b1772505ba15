import dataclasses

import pytest

from firesteel.recipes.data import CORPORA
from firesteel.train.config import override
from firesteel.train.curation.recipe import Recipe, Source

WIKI = {"name": "wiki", "kind": "text", "path": "wiki.txt", "licence": "CC BY-SA 4.0", "attribution": "its writers"}


@pytest.mark.parametrize("missing", ["licence", "attribution"])
def test_a_source_without_licence_or_attribution_is_refused(missing):
    with pytest.raises(ValueError, match="licence and an attribution"):
        Source(**WIKI | {missing: " "})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "pdf"}, "there are: text"),
        ({"path": ""}, "needs a path"),
        ({"kind": "tasks"}, "how many samples"),
        ({"filters": ("gofer",)}, "no filter 'gofer'"),
        ({"weight": -1.0}, "negative weight"),
    ],
)
def test_settings_that_make_no_sense_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Source(**WIKI | change)


def test_a_recipe_refuses_two_sources_of_one_name_and_too_large_a_vocabulary():
    source = Source(**WIKI)
    with pytest.raises(ValueError, match="same name"):
        Recipe(name="r", sources=(source, source))
    with pytest.raises(ValueError, match="65,536"):
        Recipe(name="r", sources=(source,), vocab_size=70_000)


def test_weight_zero_leaves_a_source_out():
    recipe = Recipe(name="r", sources=(Source(**WIKI), Source(**WIKI | {"name": "other"})))
    changed = override(recipe, ["sources.wiki.weight=0", "sources.other.megabytes=3"])
    assert [source.name for source in changed.active] == ["other"]
    assert changed.active[0].megabytes == 3


def test_every_corpus_is_a_complete_recipe():
    for make in CORPORA.values():
        recipe = make()
        assert dataclasses.replace(recipe) == recipe  # passes its own checks
        assert all(source.licence and source.attribution for source in recipe.sources)
