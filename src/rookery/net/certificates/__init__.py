"""The certificates of listeners: their files, what they say, and the TLS contexts made of them."""
