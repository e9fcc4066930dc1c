"""Experiments over whole recipes: strategies, the matrix of strategies and seeds, statistics, scaling law, cost.

strategies.yaml states the strategies. `matrix` trains and measures them, `runs` reads the results, `statistics` and
`table` compare them, `scaling` and `scaling_page` fit error against compute, `cost` plans equal compute.
"""
