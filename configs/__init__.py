"""Recipes as YAML, shipped with the package: `vitrail fit --config NAME` finds them here."""
