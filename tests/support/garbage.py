"""What only the cycle collector would find. A node's runs seldom: see ``tune_interpreter``."""

import gc
from collections.abc import Callable

OURS = ("rookery", "websockets")


def left_in_circles(work: Callable[[], object]) -> list[str]:
    """The names of the types of our objects, and of WebSocket's, that ``work`` leaves behind in circles.

    What else is there may be another test's, or another thread's.
    """
    gc.collect()
    gc.disable()
    try:
        work()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = {(str(type(each).__module__), type(each).__name__) for each in gc.garbage}
        return sorted(name for module, name in found if module.startswith(OURS))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
