"""Methods: each one function that says, by exact name, which parameters of a backbone train."""
