"""Tells tables that name classes from those of sites, colours and other ranks, whose numbers are the same."""

import re
from collections.abc import Sequence

from mlcfast.data.readers.columns import words_of

OF_CLASSES = "label|class|category|categorie|tag|attribute|target|finding|disease|diagnosis|species|concept"
# Words of names that do not tell one thing's numbers from another's, in the singular.
OF_NO_THING = frozenset({
    "all", "and", "by", "cat", "categorie", "category", "class", "code", "concept", "csv", "description", "dict",
    "display", "for", "full", "id", "idx", "image", "img", "index", "indice", "int", "json", "key", "label", "list",
    "lookup", "map", "mapping", "mid", "name", "no", "num", "number", "of", "str", "string", "synset", "table",
    "target", "text", "the", "to", "value", "wnid", "y",
})  # fmt: skip
FACETS = frozenset({
    "attribute", "breed", "brand", "disease", "family", "fine", "finding", "genus", "make", "model", "order", "species",
    "tag",
})  # fmt: skip
SAME = {"diagnosis": "disease", "diagnose": "disease", "dx": "disease"}
OF_WHOLE, OF_PARTS = frozenset({"class", "category", "categorie"}), frozenset({"attribute", "tag"})
SAYING = frozenset({*OF_CLASSES.split("|"), "cat", "synset"})  # beside which the name of a data set may stand
# What is also told of classes, or of images, by their numbers.
NO_NAMES = frozenset({
    "answer", "coarse", "color", "colour", "count", "distribution", "emoji", "freq", "frequencie", "frequency",
    "group", "hierarchy", "histogram", "hypernym", "icon", "palette", "parent", "pred", "predicted", "prediction",
    "prompt", "size", "submission", "super", "supercategory", "superclass", "support", "taxonomy", "teacher",
    "template", "test", "threshold", "url", "weight",
})  # fmt: skip


def other_thing(called: Sequence[str], header: Sequence[str], certain: bool) -> str:
    """A word of what a table of names is called that says that it may be of another thing than the labels; "" if none.

    called: the names of its file and of its columns; header: those of the columns of the labels' table, the labels' own
    first; certain: the ids are Freebase's or WordNet's and of one thing, which may yet have more than its name.
    """
    every = {word for name in called for word in _words(name)}
    words, (own, *others) = every - OF_NO_THING, header or ("",)
    if certain:
        return min(words & NO_NAMES, default="")
    label = {*_words(own)}
    strange = words & (NO_NAMES | {word for name in others for word in _words(name)})
    if label & OF_WHOLE:
        strange |= words & OF_PARTS
    if label - OF_NO_THING and words.isdisjoint(label):
        strange |= words & FACETS
    if every.isdisjoint(SAYING):
        strange |= words
    return min(strange - label, default="")


def _words(name: str) -> list[str]:
    """The words of a name in small letters and the singular, digits left out: `label`, `id` of `label2id`."""
    return [_singular(word) for word in words_of(re.sub(r"\d+", "_", name))]


def _singular(word: str) -> str:
    if not word.endswith(("ss", "is", "us", "species")):
        word = word.removesuffix("es" if word.endswith("sses") else "s")
    return SAME.get(word, word)
