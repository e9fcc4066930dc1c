"""Test sets to results, tables and pages: scores, comparisons, benchmarks. Without torch and ESPnet."""
