"""docs/integrations/redis.md is true: its programs are run in order against a real Redis, as they stand there."""

from __future__ import annotations

from pathlib import Path

from support.servers.redis import Redis
from support.words import blocks, program

PAGE = Path(__file__).parents[3] / "docs" / "integrations" / "redis.md"


def test_programs_run_in_order(server: Redis) -> None:
    parts = [block for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language == "python"]
    assert len(parts) == 3
    text = program(parts)
    assert text.count("port=6379") == 2
    exec(compile(text.replace("port=6379", f"port={server.port}"), PAGE, "exec"), {})
    assert server.seen("get") == 1  # and not the one that was rejected
