"""Which search system serves: TF-IDF, BM25, dense and fusions side by side, the corpus' own questions deciding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from groundup.evaluation.bootstrap import interval, paired
from groundup.evaluation.collection import ENOUGH_QUERIES, Collection, subset
from groundup.evaluation.ranking import Results, first, ndcg_at_10, recall_at_100
from groundup.evaluation.verdict import Comparison, Estimate, Row, Table
from groundup.progress import Progress, silent
from groundup.retrieval.build import IndexSettings
from groundup.retrieval.dense import Encoder
from groundup.retrieval.fusion import DENSE_WEIGHT
from groundup.retrieval.index import Index, IndexStore

DEPTH = 100  # items a system returns for each query
_CHUNKS_PER_ITEM = 3  # chunks fetched for each item wanted: long functions take several
NAMES = {"tfidf": "TF-IDF", "bm25": "BM25"}
DEFAULT_SYSTEM = "bm25"  # what serves where nothing was measured: no training, no encoder, hard to beat by much


@dataclass(frozen=True)
class SearchVerdict:
    """`best`, `dense_weight`: what `Index.best` and `Index.dense_weight` take. `table`: as the report shows it."""

    best: str
    dense_weight: float
    table: Table


def index_collection(
    collection: Collection,
    work: Path,
    encoders: Sequence[Encoder] = (),
    progress: Progress = silent,
    deadline: float | None = None,
) -> Index:
    """An index over the collection's documents in `work`, embedded by each encoder as far as the deadline allows."""
    settings = IndexSettings(chunk_limit=0) if collection.whole else IndexSettings()
    index = IndexStore(work).refresh(collection.documents, settings, progress=progress)
    for encoder in encoders:
        index.embed_missing(encoder, deadline=deadline, progress=progress)
    return index


def search_results(
    collection: Collection, index: Index, system: str, encoder: Encoder | None = None, progress: Progress = silent
) -> dict[str, dict[str, float]]:
    """{query: {item: score}}: an item scores as its best chunk."""
    results: dict[str, dict[str, float]] = {}
    depth = DEPTH if collection.whole else DEPTH * _CHUNKS_PER_ITEM
    for number, (query, text) in enumerate(sorted(collection.queries.items()), 1):
        items: dict[str, float] = {}
        ranking = index.rank(text, depth, system, encoder)
        for row, score in zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True):
            document_id, chunk_id = index.identity(row)
            item = collection.item_of_chunk.get(chunk_id, document_id if _by_document(collection) else chunk_id)
            items[item] = max(score, items.get(item, score))
        results[query] = {item: items[item] for item in first(items, DEPTH)}
        progress(f"search {system}", number, len(collection.queries))
    return results


def search_verdict(
    collections: Sequence[tuple[Collection, Index]],
    encoders: Sequence[Encoder],
    *,
    seed: int,
    progress: Progress = silent,
) -> SearchVerdict:
    """Measures every system on every collection. The first collection that is the corpus' own decides; without one
    that is large enough nothing is decided and BM25 serves.

    Where it has at least twice as many questions as that takes, every second one fits the hybrid's dense weight and
    only the others are reported, for all systems. With several encoders the weight is fitted for the first.
    """
    collections = list(collections)
    dense_weight, fitted_on = DENSE_WEIGHT, 0
    for place, (collection, index) in enumerate(collections):
        if collection.own and encoders and len(collection.queries) >= 2 * ENOUGH_QUERIES:
            fit, rest = split_queries(collection)
            dense_weight, fitted_on = fit_dense_weight(fit, index, encoders[0]), len(fit.queries)
            collections[place] = (rest, index)
            break
    for _, index in collections:
        index.dense_weight = dense_weight
    systems: list[tuple[str, Encoder | None]] = [("tfidf", None), ("bm25", None)]
    for encoder in encoders:
        systems += [(f"{kind}:{encoder.name}", encoder) for kind in ("dense", "rrf", "hybrid")]
    scores: dict[str, dict[str, dict[str, float]]] = {name: {} for name, _ in systems}
    columns: list[str] = []
    warnings: list[str] = []
    for collection, index in collections:
        columns += [column_ndcg(collection), column_recall(collection)]
        warnings += [f"{collection.name}: {c}" for c in map(index.coverage, encoders) if not c.whole]
        if not collection.enough:
            warnings.append(f"{collection.name}: too few to tell, {len(collection.queries)} questions.")
        for name, used in systems:
            if collection.queries:
                results = search_results(collection, index, name, used, progress)
                scores[name].update(_measures(collection, results))
    deciding = next((c for c, _ in collections if c.own and c.enough), None)
    decider = column_ndcg(deciding) if deciding else ""
    best = _best(scores, decider)
    rows = [
        Row(NAMES.get(name, name), "candidate", _estimates(scores[name], seed), serves=name == best)
        for name, _ in systems
    ]
    comparisons = _comparisons(scores, best, [c for c in columns if c in scores[best]], seed)
    table = Table(
        id="search",
        title="Search",
        metric="nDCG@10 and recall@100",
        unit="nDCG or recall",
        higher_is_better=True,
        columns=columns,
        rows=rows,
        comparisons=comparisons,
        warnings=warnings,
    )
    sentence = _sentence(table, best, decider, comparisons)
    if fitted_on:
        sentence += f" The hybrid's dense share, {dense_weight:.1f}, was fitted on {fitted_on:,} other questions."
    return SearchVerdict(best, dense_weight, replace(table, sentence=sentence))


def split_queries(collection: Collection) -> tuple[Collection, Collection]:
    """Every second question in one collection, the others in another; both search the same documents."""
    queries = sorted(collection.queries)
    return subset(collection, queries[0::2]), subset(collection, queries[1::2])


def fit_dense_weight(collection: Collection, index: Index, encoder: Encoder) -> float:
    """The dense share, in tenths, with the best nDCG@10 on these questions; of equal ones the nearest to the default.

    Leaves `index.dense_weight` as it was.
    """
    before = index.dense_weight
    values: dict[float, float] = {}
    try:
        for tenth in range(11):
            index.dense_weight = tenth / 10
            results = search_results(collection, index, f"hybrid:{encoder.name}", encoder)
            values[tenth / 10] = _mean(ndcg_at_10(results, collection.judgements))
    finally:
        index.dense_weight = before
    return max(values, key=lambda weight: (values[weight], -abs(weight - DENSE_WEIGHT)))


def column_ndcg(collection: Collection) -> str:
    return f"{collection.name} nDCG@10"


def column_recall(collection: Collection) -> str:
    return f"{collection.name} recall@100"


def _by_document(collection: Collection) -> bool:
    return collection.whole or not collection.item_of_chunk


def _measures(collection: Collection, results: Results) -> dict[str, dict[str, float]]:
    return {
        column_ndcg(collection): ndcg_at_10(results, collection.judgements),
        column_recall(collection): recall_at_100(results, collection.judgements),
    }


def _estimates(measured: Mapping[str, Mapping[str, float]], seed: int) -> dict[str, Estimate]:
    return {column: interval(list(by_query.values()), seed) for column, by_query in measured.items()}


def _best(scores: Mapping[str, Mapping[str, Mapping[str, float]]], decider: str) -> str:
    """The highest mean on the deciding column; of equal ones the first, which is the cheaper."""
    if not decider:
        return DEFAULT_SYSTEM
    means = {name: _mean(measured[decider]) for name, measured in scores.items()}
    return max(means, key=lambda name: means[name])


def _comparisons(
    scores: Mapping[str, Mapping[str, Mapping[str, float]]], best: str, columns: Sequence[str], seed: int
) -> list[Comparison]:
    """What serves against every other system, on nDCG@10 of each collection; whoever is ahead stands first."""
    made = []
    for column in (c for c in columns if c.endswith("nDCG@10")):
        for other in scores:
            if other == best or column not in scores[other]:
                continue
            ours, theirs = scores[best][column], scores[other][column]
            better, worse = (best, other) if _mean(ours) >= _mean(theirs) else (other, best)
            queries = sorted(ours)
            a, b = scores[better][column], scores[worse][column]
            difference = paired([a[q] for q in queries], [b[q] for q in queries], seed)
            made.append(Comparison(NAMES.get(better, better), NAMES.get(worse, worse), column, difference))
    return made


def _sentence(table: Table, best: str, decider: str, comparisons: Sequence[Comparison]) -> str:
    name = NAMES.get(best, best)
    if not decider:
        return f"{name} serves by default: the corpus gave too few questions to tell the systems apart."
    row = next(row for row in table.rows if row.serves)
    value = row.values[decider]
    rivals = [c for c in comparisons if c.column == decider and c.better == name]
    text = f"{name} serves: nDCG@10 {value.value:.3f} on {value.n:,} of the corpus' own questions"
    if rivals:
        closest = min(rivals, key=lambda c: c.difference.value)
        d = closest.difference
        if not d.has_interval:
            text += f"; {closest.worse} is {d.value:.3f} below: too few to tell"
        else:
            ahead = f"{d.value:.3f} ahead of {closest.worse} ({d.low:+.3f} to {d.high:+.3f})"
            text += f", {ahead}" if closest.settled else f", {ahead}, which these questions can't settle"
    elsewhere = [c for c in comparisons if c.column != decider and c.worse == name and c.settled]
    if elsewhere:
        text += "; elsewhere " + ", ".join(f"{c.better} is ahead on {c.column.rpartition(' ')[0]}" for c in elsewhere)
    return text + "."


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)
