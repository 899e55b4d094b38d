"""Every threshold of the corpus in one place, with its unit and its reason."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import version

from groundup.errors import RecipeError

# Their rules and tables decide what is kept and changed, so their versions are part of a policy's identity.
LIBRARIES = ("ftfy", "phonenumbers", "py3langid", "rensa")


@dataclass(frozen=True)
class CorpusPolicy:
    """What is kept of a person's documents, and in which form.

    The defaults are conservative: a person's own note is wanted until there is proof that it is no text. So most
    filters ask for a minimum of words or bytes before they judge at all, and bounds are looser than those of web
    corpora. Raises RecipeError, naming the field, where a value is out of bounds.
    """

    # Language (prose only; the language of code and tables is what their format says).
    language_sample_characters: tuple[int, ...] = (160, 1_000)  # the longer only where the shorter leaves a doubt
    sure_language_confidence: float = 0.7  # of py3langid, 0 to 1, from which the shorter sample decides
    min_language_letters: int = 20  # letters below which no language is guessed
    min_language_confidence: float = 0.5  # below it the language stays unknown
    languages: tuple[str, ...] = ()  # ISO 639-1 codes of the prose to keep; empty keeps all

    # Too short, in letters and digits: "Call mum" has 7 and is a note; "---" is none.
    min_alphanumeric_characters: int = 5

    # Repetition in prose (Gopher, Rae et al. 2021, table A1, loosened: refrains, logs and lists are a person's own).
    repetition_min_words: int = 100
    max_duplicate_line_share: float = 0.7  # of the characters of all lines; Gopher .2
    max_top_ngram_shares: tuple[float, ...] = (0.35, 0.35, 0.35)  # of words, n = 2, 3, 4; Gopher .2, .18, .16
    max_duplicate_10gram_share: float = 0.6  # of words inside a 10-gram seen before; Gopher .1

    # Letters in prose, of all characters but white space: below it are hex dumps, base64 and tables of figures.
    letters_min_characters: int = 400  # a line of figures in a short note is a note
    min_letter_share: float = 0.4  # English prose has .95, Markdown tables of measurements about .5
    max_longest_word_share: float = 0.5  # of all characters but white space in one word: base64 has 1

    # Stop words: a long text in a known language without them is no text in it (Gopher asks for 2 of 8 words).
    stop_words_min_words: int = 300  # a list of names and numbers may go without
    min_stop_words: int = 2

    # Pages that hold nothing but "please enable JavaScript" or a cookie banner.
    max_boilerplate_share: float = 0.5  # of all characters but white space, in lines that say so
    boilerplate_max_words: int = 400  # longer texts are about something

    # Code that no person wrote or reads: minified, generated, tables of data.
    code_min_bytes: int = 2_000  # below it a literal table does no harm
    max_mean_line_bytes: float = 200.0  # StarCoder: 100; hand-written Python has 30 to 45
    max_long_line_share: float = 0.5  # of bytes in lines longer than `long_line_bytes`
    long_line_bytes: int = 1_000  # StarCoder drops a file for one such line
    max_literal_line_share: float = 0.8  # of bytes in lines that hold literals and punctuation alone
    drop_generated: bool = True  # files whose head says that a program wrote them

    # Masks.
    mask_emails: bool = True
    mask_phones: bool = True
    mask_cards: bool = True
    mask_ibans: bool = True
    mask_secrets: bool = True
    phone_regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "BE", "SE", "PL", "AU", "ZA")
    # where a number without a country code may be from; each costs about 30 µs for a number that looks like one

    # Near-duplicates.
    shingle_words: int = 5  # words a shingle; datatrove and FineWeb use 5
    minhash_permutations: int = 256  # standard error of the estimate at Jaccard .5: .03
    minhash_bands: int = 64  # of 4 rows: finds 98.4 % of pairs at Jaccard .5, 99.99 % at .6, all at .8
    minhash_seed: int = 1
    near_duplicate_jaccard: float = 0.8  # of shingle sets: removed from here up
    near_duplicate_min_words: int = 30  # shorter texts are removed only as exact duplicates
    cluster_jaccard: float = 0.5  # from here up two documents never stand on both sides of a split

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, str | bool):
                    continue
                share = field.name.endswith(("_share", "_shares", "_jaccard", "_confidence"))
                if number < 0 or (share and number > 1):
                    bounds = "between 0 and 1" if share else "0 or more"
                    raise RecipeError(f"{field.name} is {number}", place="corpus policy", mend=f"It must be {bounds}.")
        for name in ("shingle_words", "minhash_permutations", "minhash_bands"):
            if getattr(self, name) < 1:
                raise RecipeError(
                    f"{name} is {getattr(self, name)}", place="corpus policy", mend="It must be 1 or more."
                )
        if self.minhash_permutations % self.minhash_bands:
            raise RecipeError(
                f"{self.minhash_permutations} minhash_permutations don't make {self.minhash_bands} minhash_bands",
                place="corpus policy",
                mend="Every band needs the same number of rows.",
            )
        if self.cluster_jaccard > self.near_duplicate_jaccard:
            raise RecipeError(
                f"cluster_jaccard {self.cluster_jaccard} is above near_duplicate_jaccard {self.near_duplicate_jaccard}",
                place="corpus policy",
                mend="Clusters for the split must be the looser of the two.",
            )

    def digest(self) -> str:
        """SHA-256, 64 hex digits, over every field and the versions of the libraries whose tables decide."""
        canonical = {"policy": asdict(self), "libraries": {name: _version(name) for name in LIBRARIES}}
        return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode("utf-8")).hexdigest()


@cache
def _version(distribution: str) -> str:
    return version(distribution)
