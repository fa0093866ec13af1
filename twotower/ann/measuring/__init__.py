"""How exact and how fast an index is: ground truth, timing, exploration, Pareto fronts."""
