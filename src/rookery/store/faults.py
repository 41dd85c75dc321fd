"""What goes wrong with a store, in words for the operator."""


class StoreFault(Exception):
    """The store cannot do what was asked; the text says what is wrong and what to do about it."""


class GroupFault(StoreFault):
    """A group contradicts what is there, or a value of it has no room: it would never be taken."""
