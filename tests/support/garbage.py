"""What only the cycle collector would find. A node's runs seldom: see ``tune_interpreter``."""

import gc
from collections.abc import Callable


def left_in_circles(work: Callable[[], object]) -> list[str]:
    """The names of the types of objects that ``work`` leaves behind in circles."""
    gc.collect()
    gc.disable()
    try:
        work()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return sorted({type(each).__name__ for each in gc.garbage})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
