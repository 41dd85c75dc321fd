"""The fuzz targets; ``python -m fuzz`` runs them."""
