import asyncio

from rookery.actors.tasks import Tasks


class Owner:
    def __init__(self) -> None:
        self.failed: list[tuple[str, BaseException]] = []
        self.tasks = Tasks(lambda name, error: self.failed.append((name, error)))


def test_work_is_done():
    async def main() -> None:
        owner, done = Owner(), asyncio.Event()

        async def work() -> None:
            done.set()

        owner.tasks.start("work", work())
        await asyncio.wait_for(done.wait(), 5)
        await owner.tasks.stop()
        assert owner.failed == []

    asyncio.run(main())


def test_a_failure_is_told_by_name():
    async def main() -> None:
        owner, told = Owner(), asyncio.Event()
        owner.tasks = Tasks(lambda name, error: (owner.failed.append((name, error)), told.set()))

        async def work() -> None:
            raise LookupError("lost")

        owner.tasks.start("work", work())
        await asyncio.wait_for(told.wait(), 5)
        ((name, error),) = owner.failed
        assert name == "work"
        assert isinstance(error, LookupError)

    asyncio.run(main())


def test_stopping_cancels_and_waits_for_the_end():
    async def main() -> None:
        owner, begun, ended = Owner(), asyncio.Event(), []

        async def work() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(True)

        owner.tasks.start("work", work())
        await begun.wait()
        await owner.tasks.stop()
        assert ended == [True]
        assert owner.failed == [], "to be cancelled is no failure"

    asyncio.run(main())
