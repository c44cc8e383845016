"""What is called under anyio: coroutine functions that give their loop a turn."""

from __future__ import annotations

import anyio

from support.drive import Boom


async def doubled(number: int) -> int:
    await anyio.sleep(0)
    return 2 * number


async def broken() -> None:
    await anyio.sleep(0)
    raise Boom("down")


async def hang() -> None:
    await anyio.sleep_forever()
