"""A running node under mutated packets, with live traffic beside them."""
