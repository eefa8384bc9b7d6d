"""Writes test/unit/fixtures/partitions.json: adjusted Rand indices by scikit-learn and modularities by networkx.

python scripts/make-partition-fixtures.py   (needs scikit-learn 1.9.1 and networkx 3; only for this)
"""

import json
from pathlib import Path

import networkx
import numpy
from sklearn.metrics import adjusted_rand_score

random = numpy.random.default_rng(16)


def partitions():
    yield [0, 0, 1, 1], [0, 0, 1, 2]
    yield [0, 0, 1, 1], [5, 5, 3, 3]
    yield [0, 0, 0, 0], [0, 1, 2, 3]
    yield [0, 1, 2, 3], [0, 1, 2, 3]
    yield [0, 0, 1, 1], [0, 1, 0, 1]
    for size, a, b in [(31, 3, 5), (151, 8, 8), (1000, 20, 7)]:
        first = random.integers(0, a, size)
        # Half of the second is the first, half is drawn.
        second = numpy.where(random.random(size) < 0.5, first, random.integers(0, b, size))
        yield first.tolist(), second.tolist()


club = networkx.karate_club_graph()
edges = [[a, b] for a, b in club.edges()]
plain = networkx.Graph(edges)
halves = [[n for n in plain if club.nodes[n]["club"] == name] for name in ("Mr. Hi", "Officer")]
weighted = [[a, b, float(w)] for a, b, w in zip(*numpy.array(edges).T.tolist(), random.integers(1, 5, len(edges)))]
weights = networkx.Graph()
weights.add_weighted_edges_from(weighted)

fixture = {
    "adjustedRand": [{"a": a, "b": b, "value": adjusted_rand_score(a, b)} for a, b in partitions()],
    "karate": {
        "edges": edges,
        "halves": [0 if n in halves[0] else 1 for n in range(34)],
        "modularity": networkx.community.modularity(plain, halves),
        # The largest there is, by exhaustive search (Brandes et al. 2008).
        "largest": 0.4197896120973044,
    },
    "weighted": {"edges": weighted, "modularity": networkx.community.modularity(weights, halves, resolution=1.5)},
}
path = Path(__file__).parent.parent / "test" / "unit" / "fixtures" / "partitions.json"
path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
