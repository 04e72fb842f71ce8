"""Features of answers: what is said, so that a taste learnt on some answers predicts votes on others."""

from collections.abc import Sequence

import numpy as np

from ingest.trust.evidence import Floats, Ints

MOST_WORDS = 20_000
FEWEST_TEXTS = 20


def text_features(texts: Sequence[str], dimensions: int, seed: int) -> Floats:
    """(n, d), d <= `dimensions`: TF-IDF of words and pairs of words, reduced by a truncated SVD, each direction with
    mean 0 and variance 1. Empty texts get zeros; with fewer than FEWEST_TEXTS texts, or no word in two of them, d is 0.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    known = np.array([bool(text) for text in texts], bool)
    none = np.zeros((len(texts), 0))
    if dimensions == 0 or known.sum() < FEWEST_TEXTS:
        return none
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, max_features=MOST_WORDS)
    try:
        matrix = vectorizer.fit_transform([text for text in texts if text])
    except ValueError:  # no word stands in two texts
        return none
    size = min(dimensions, matrix.shape[1] - 1, matrix.shape[0] - 1)
    if size < 1:
        return none
    reduced = TruncatedSVD(size, random_state=seed).fit_transform(matrix)
    spread = reduced.std(axis=0)
    features = np.zeros((len(texts), size))
    features[known] = (reduced - reduced.mean(axis=0)) / np.maximum(spread, 1e-9)
    return features


def mean_by_group(features: Floats, group: Ints, groups: int) -> Floats:
    """(groups, d) means of the features of each group's answers."""
    count = np.maximum(np.bincount(group, minlength=groups), 1)[:, None]
    total = np.zeros((groups, features.shape[1]))
    np.add.at(total, group, features)
    return np.asarray(total / count)
