"""Slow messages hold up only those of their own caller."""

import asyncio

from vitrail.serving.grpc.receiving import AT_ONCE, OF_CALLER, Receiving

from ..simulated import simulate


def test_a_caller_has_few_places_and_others_find_theirs() -> None:
    async def scenario() -> None:
        receiving, held = Receiving(), asyncio.Event()
        inside: list[str] = []

        async def receive(caller: str) -> None:
            async with receiving.place(caller):
                inside.append(caller)
                await held.wait()

        slow = [asyncio.create_task(receive("slow")) for _ in range(50)]
        await asyncio.sleep(1)
        assert inside == ["slow"] * OF_CALLER
        other = asyncio.create_task(receive("other"))
        await asyncio.sleep(1)
        assert inside[-1] == "other"
        many = [asyncio.create_task(receive(f"caller {number}")) for number in range(20)]
        await asyncio.sleep(1)
        assert len(inside) == AT_ONCE
        for task in slow[:20]:
            task.cancel()
        held.set()
        await asyncio.gather(other, *many, *slow[20:])
        await asyncio.gather(*slow[:20], return_exceptions=True)
        assert (receiving.of_callers, receiving.users) == ({}, {})

    simulate(scenario)
