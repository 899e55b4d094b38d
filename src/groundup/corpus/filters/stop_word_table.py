"""The commonest short words of languages that put spaces between words: no text of some length in them goes without."""

from __future__ import annotations

STOP_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "cs": "a v se na je že s z do o i to",
        "da": "og i at det en er til af på de med for den",
        "de": "der die und in den von zu das mit sich des auf ist im dem nicht ein eine",
        "el": "και το της η την του ο τα με για που να",
        "en": "the be to of and that have with is in a for it on as this",
        "es": "de la que el en y a los se del las un por con una",
        "fi": "ja on ei se että oli hän mutta ovat kun myös",
        "fr": "de la le et les des en un du une que est dans qui pour",
        "hu": "a az és hogy nem is egy ez van",
        "id": "yang dan di dengan untuk dari ini pada itu tidak",
        "it": "di e il la che in un a per è una del con i",
        "nb": "og i det er til på en som av for at med",
        "nl": "de van het een en in is dat op te zijn met voor",
        "pl": "w i na z się do to nie że jest o",
        "pt": "de a o que e do da em um para com uma os",
        "ro": "de și în a la cu pe un o din care",
        "ru": "и в не на что с он как это по к",
        "sv": "och i att det en som är på av för med",
        "tr": "ve bir bu da de için ile çok ne",
        "uk": "і в не на що з та у як до це",
    }.items()
}
