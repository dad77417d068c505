"""``hadamard-glue bench``: measured speed and memory, as JSON files and a table made from them."""
