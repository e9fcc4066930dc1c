"""Many trainings: strategies, the matrix of strategies and seeds, their statistics, error against compute, cost.

Start with strategies.py, which reads conf/strategies.yaml.
"""
