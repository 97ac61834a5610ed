"""Where few devices stand so that the whole map is known best."""

from aq_gym.placement.features import clusters, difference_matrix, embed, medoids, repair_triangles
from aq_gym.placement.fitness import Fitness, all_sets, level_path
from aq_gym.placement.genetic import GeneticConfig, GeneticSearch, Round
from aq_gym.placement.search import (
    MOST_SETS,
    Placement,
    exhaustive_search,
    greedy_search,
    medoid_search,
    random_search,
    random_sets,
)

__all__ = [
    "MOST_SETS",
    "Fitness",
    "GeneticConfig",
    "GeneticSearch",
    "Placement",
    "Round",
    "all_sets",
    "clusters",
    "difference_matrix",
    "embed",
    "exhaustive_search",
    "greedy_search",
    "level_path",
    "medoid_search",
    "medoids",
    "random_search",
    "random_sets",
    "repair_triangles",
]
