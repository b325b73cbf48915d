"""The notebooks of docs/notebooks, executed as Jupyter does, and their outputs compared with those committed."""
