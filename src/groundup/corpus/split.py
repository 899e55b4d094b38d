"""Which documents are held out, decided before anything is trained.

Two columns: `held_out`, documents of groups the models have seen, drawn by near-duplicate cluster; and `package`,
whole groups (packages, top folders) the models have seen nothing of. Whatever is chosen is chosen by a hash of its
name and the seed: the same for any order of the documents, and nearly the same after a few were added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from groundup.corpus.document import Document
from groundup.errors import CorpusError

MIN_SHARE_OF_DOCUMENTS = 0.1  # of the documents: `min_documents` never takes more of a small corpus
MAX_CLUSTER_SHARE = (
    0.25  # of the held-out target: larger clusters stay in training, so that the figure is of many texts
)
MAX_OVERSHOOT = 1.5  # of the target: a cluster or group that would go past it is passed over
MIN_GROUPS = 3  # a corpus of fewer groups has none to spare
MAX_LEFT_OUT_SHARE = 0.2  # of a group's bytes: a group with more near-copies elsewhere is not held out


@dataclass(frozen=True, slots=True)
class Split:
    """Document ids, each in one list alone, sorted. No cluster has members in two of train, held_out and package."""

    train: list[str]
    held_out: list[str]
    held_out_groups: list[str]  # names of the groups wholly held out
    package: list[str]  # the documents of those groups
    left_out: list[str] = field(
        default_factory=list
    )  # of other groups, near-duplicates of one in `package`: in no column
    notes: list[str] = field(default_factory=list)  # what could not be done as asked, in sentences


def split(
    documents: Sequence[Document],
    clusters: Mapping[str, str],
    *,
    held_out_share: float,
    package_share: float = 0.0,
    seed: int,
    min_documents: int = 20,
    max_documents: int = 5_000,
) -> Split:
    """Splits documents into train, held-out and whole held-out groups.

    held_out_share, package_share: of the corpus' bytes, for each column.
    min_documents, max_documents: of `held_out`. The minimum wins over the share where the corpus is small, up to a
    tenth of the documents, and one is always held out.
    clusters: document id -> cluster id, as deduplicate gives them; a document without one is its own.
    Raises CorpusError where nothing can be held out while something is left to train on.
    """
    if len(documents) < 2:
        raise CorpusError(
            f"{len(documents) or 'no'} document is left after cleaning: too little to train and to measure",
            mend="Add documents; 2 that differ are the least, some hundreds make figures that mean something.",
        )
    sizes = {document.id: len(document.text.encode("utf-8", "surrogatepass")) for document in documents}
    total = sum(sizes.values())
    cluster_of = {document.id: clusters.get(document.id, document.id) for document in documents}

    groups, notes = _choose_groups(documents, sizes, cluster_of, package_share * total, seed)
    outside = {cluster_of[d.id] for d in documents if d.group not in groups}
    if len(outside - {cluster_of[d.id] for d in documents if d.group in groups}) < 2:
        groups, notes = set(), ["No whole group is held out: too little would be left to train on."]
    package = sorted(document.id for document in documents if document.group in groups)
    crossing = {cluster_of[id_] for id_ in package}
    left_out = sorted(d.id for d in documents if d.group not in groups and cluster_of[d.id] in crossing)

    members: dict[str, list[str]] = {}
    for document in documents:
        if cluster_of[document.id] not in crossing:
            members.setdefault(cluster_of[document.id], []).append(document.id)
    held_out = _choose_clusters(members, sizes, held_out_share * total, seed, min_documents, max_documents)
    train = sorted(id_ for ids in members.values() for id_ in ids if id_ not in held_out)
    return Split(train, sorted(held_out), sorted(groups), package, left_out, notes)


def _choose_groups(
    documents: Sequence[Document], sizes: Mapping[str, int], cluster_of: Mapping[str, str], target: float, seed: int
) -> tuple[set[str], list[str]]:
    """Whole groups in the order of their hash, while they fit the target in bytes."""
    by_group: dict[str, list[Document]] = {}
    for document in documents:
        by_group.setdefault(document.group, []).append(document)
    if target <= 0:
        return set(), []
    if len(by_group) < MIN_GROUPS:
        return set(), [f"No whole group is held out: the corpus has {len(by_group)} and needs {MIN_GROUPS}."]
    groups_of_cluster: dict[str, set[str]] = {}
    for document in documents:
        groups_of_cluster.setdefault(cluster_of[document.id], set()).add(document.group)

    cluster_bytes: dict[str, int] = {}
    for document in documents:
        cluster_bytes[cluster_of[document.id]] = cluster_bytes.get(cluster_of[document.id], 0) + sizes[document.id]
    chosen: set[str] = set()
    taken = 0
    for group in sorted(by_group, key=lambda name: _draw(seed, "group", name)):
        own = sum(sizes[d.id] for d in by_group[group])
        crossing = {cluster_of[d.id] for d in by_group[group] if len(groups_of_cluster[cluster_of[d.id]]) > 1}
        elsewhere = sum(cluster_bytes[c] for c in crossing) - sum(
            sizes[d.id] for d in by_group[group] if cluster_of[d.id] in crossing
        )
        if taken + own > MAX_OVERSHOOT * target or elsewhere > MAX_LEFT_OUT_SHARE * own:
            continue
        chosen.add(group)
        taken += own
        if taken >= target:
            break
    if not chosen:
        return set(), ["No whole group is held out: each is larger than the share asked for, or copied in others."]
    return chosen, []


def _choose_clusters(
    members: Mapping[str, list[str]],
    sizes: Mapping[str, int],
    target: float,
    seed: int,
    min_documents: int,
    max_documents: int,
) -> set[str]:
    """Ids of whole clusters in the order of their hash, until bytes and documents suffice."""
    documents = sum(len(ids) for ids in members.values())
    total = sum(sizes[id_] for ids in members.values() for id_ in ids)
    if len(members) < 2:
        raise CorpusError(
            f"all {documents} documents are near-duplicates of each other: none can be held out and measured on",
            mend="Add documents that differ.",
        )
    enough = max(1, min(min_documents, int(MIN_SHARE_OF_DOCUMENTS * documents)))
    order = sorted(members, key=lambda cluster: _draw(seed, "cluster", cluster))
    bytes_of = {cluster: sum(sizes[id_] for id_ in members[cluster]) for cluster in order}
    chosen: set[str] = set()
    taken = 0
    # First clusters that are a small part of the target; where those don't suffice (few or long documents), larger
    # ones.
    for largest in (MAX_CLUSTER_SHARE * target, max(target, total / 2 / enough)):
        for cluster in order:
            enough_documents = len(chosen) >= enough
            if (enough_documents and taken >= target) or len(chosen) >= max_documents:
                break
            too_many = len(chosen) + len(members[cluster]) > max_documents
            room = min(MAX_OVERSHOOT * target, total / 2) if enough_documents else total / 2
            overshoots = taken + bytes_of[cluster] > room
            if members[cluster][0] in chosen or bytes_of[cluster] > largest or too_many or overshoots:
                continue
            chosen.update(members[cluster])
            taken += bytes_of[cluster]
    if not chosen:
        # Few documents, one of them most of the corpus. Of equally small clusters the first in hash order.
        chosen.update(members[min(order, key=bytes_of.__getitem__)])
    return chosen


def _draw(seed: int, what: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{what}\0{name}".encode()).digest()
