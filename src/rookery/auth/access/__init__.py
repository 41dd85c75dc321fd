"""What is administered while the node runs, in a database of its own: users, rules, bans, and who changed them."""
