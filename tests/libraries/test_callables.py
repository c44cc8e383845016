"""Libraries that look at a function: validators, wrappers, tracers, commands, mappers, frozen clocks."""

import asyncio
import dataclasses
import datetime
import inspect
from typing import Annotated, Any

import attrs
import beartype
import click
import freezegun
import pytest
import sqlalchemy
import strawberry
import typer
import wrapt
from click.testing import CliRunner
from mcp.server import MCPServer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pydantic import (
    AfterValidator,
    BaseModel,
    TypeAdapter,
    ValidationError,
    computed_field,
    field_validator,
    validate_call,
)
from pydantic_core import ArgsKwargs
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, validates
from typer.testing import CliRunner as TyperRunner

from breaker import Policy, Provider, get_default_config
from support.drive import Make, trip
from support.reading import counts

breaker = Provider(get_default_config("svc", "test"), default_policy=Policy(100)).get_breaker("module")


@breaker
def plain(x: int, y: int = 2) -> int:
    return x + y


@breaker
async def later(x: int = 1) -> int:
    return x


def test_pydantic_validates_calls_and_uses_decorated_validators() -> None:
    assert validate_call(plain)("1") == 3  # type: ignore[arg-type]
    assert asyncio.run(validate_call(later)("5")) == 5  # type: ignore[arg-type]
    assert TypeAdapter(plain).validate_python(ArgsKwargs(("1",))) == 3
    with pytest.raises(ValidationError):
        validate_call(plain)("text")  # type: ignore[arg-type]

    class Order(BaseModel):
        number: int
        total: Annotated[int, AfterValidator(breaker(lambda value: value + 1))] = 0

        @field_validator("number")
        @classmethod
        @breaker
        def checked(cls, value: int) -> int:
            return value + 1

        @computed_field  # type: ignore[prop-decorator]
        @property
        @breaker
        def double(self) -> int:
            return self.number * 2

        @breaker
        @validate_call
        def add(self, x: int) -> int:
            return self.number + x

    order = Order(number=1, total=3)
    assert (order.number, order.total, order.double, order.add("4")) == (2, 4, 4, 6)  # type: ignore[arg-type]
    assert "add" not in Order.model_fields


def test_a_server_of_tools_takes_it() -> None:
    server = MCPServer("tools")
    server.tool()(plain)
    server.tool()(later)
    tools = {tool.name: tool for tool in asyncio.run(server.list_tools())}
    assert set(tools) == {"plain", "later"}
    assert "3" in str(asyncio.run(server.call_tool("plain", {"x": 1})))
    assert "4" in str(asyncio.run(server.call_tool("later", {"x": 4})))


def test_wrapt_inside_and_outside() -> None:
    @wrapt.decorator
    def passed_on(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return wrapped(*args, **kwargs)

    class Client:
        @passed_on
        @breaker
        def outside(self) -> Any:
            return self

        @breaker
        @passed_on
        def inside(self) -> Any:
            return self

        @passed_on
        @breaker
        async def outside_later(self) -> Any:
            return self

        @breaker
        @passed_on
        async def inside_later(self) -> Any:
            return self

    client = Client()
    assert client.outside() is client.inside() is client
    assert asyncio.run(client.outside_later()) is asyncio.run(client.inside_later()) is client
    assert inspect.iscoroutinefunction(Client.inside_later)
    assert inspect.iscoroutinefunction(Client.outside_later)


def test_attrs_finds_the_class_of_a_method() -> None:
    @attrs.define
    class Item:
        number: int = attrs.field(default=1, converter=breaker(int))

        @breaker
        def of(self) -> type:
            return __class__  # type: ignore[name-defined, no-any-return]

    assert Item("3").number == 3  # type: ignore[arg-type]
    assert Item().of() is Item


def test_a_dataclass_with_slots_keeps_its_methods() -> None:
    @dataclasses.dataclass(slots=True)
    class Item:
        number: int = dataclasses.field(default_factory=breaker(lambda: 5))

        @breaker
        def twice(self) -> int:
            return self.number * 2

    assert Item().twice() == 10


def test_beartype_checks_it_by_its_annotations() -> None:
    checked = beartype.beartype(plain)
    assert checked(1) == 3
    with pytest.raises(beartype.roar.BeartypeCallHintViolation):
        checked("text")  # type: ignore[arg-type]


def test_commands_of_click_and_typer() -> None:
    @click.command()
    @click.argument("x", type=int)
    @breaker
    def command(x: int) -> None:
        click.echo(x)

    app = typer.Typer()

    @app.command()
    @breaker
    def main(x: int, y: int = 2) -> None:
        typer.echo(x + y)

    assert CliRunner().invoke(command, ["3"]).output == "3\n"
    assert TyperRunner().invoke(app, ["3"]).output == "5\n"


def test_sqlalchemy_maps_and_listens_with_it() -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    connected: list[Any] = []

    @sqlalchemy.event.listens_for(engine, "connect")
    @breaker
    def connect(connection: Any, record: Any) -> None:
        connected.append(connection)

    class Base(DeclarativeBase): ...

    class Row(Base):
        __tablename__ = "rows"
        id: Mapped[int] = mapped_column(primary_key=True, default=breaker(lambda: 5))

        @validates("id")
        @breaker
        def checked(self, key: str, value: int) -> int:
            return value

        @hybrid_property
        @breaker
        def following(self) -> int:
            return self.id + 1

    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Row())
        session.commit()
        assert session.scalars(sqlalchemy.select(Row).where(Row.following == 6)).one().following == 6
    engine.dispose()
    assert connected


def test_strawberry_resolves_with_it() -> None:
    def resolve() -> int:
        return 1

    @strawberry.type
    class Query:
        number: int = strawberry.field(resolver=breaker(resolve))

    assert strawberry.Schema(Query).execute_sync("{ number }").data == {"number": 1}


def test_spans_of_opentelemetry_around_it_and_inside() -> None:
    tracer = TracerProvider().get_tracer("test")

    def in_a_span() -> bool:
        return trace.get_current_span().get_span_context().is_valid

    async def in_a_span_later() -> bool:
        return in_a_span()

    spanned = tracer.start_as_current_span("span")
    assert spanned(breaker(in_a_span))()
    assert breaker(tracer.start_as_current_span("span")(in_a_span))()
    assert asyncio.run(tracer.start_as_current_span("span")(breaker(in_a_span_later))())
    with breaker.do(tracer.start_as_current_span, "span"):
        assert in_a_span()


def test_a_frozen_clock_does_not_move_a_breaker(make_breaker: Make) -> None:
    own = Provider(get_default_config("svc", "test"), default_policy=Policy(1, 1, 60)).get_breaker("frozen")
    with freezegun.freeze_time("2020-01-01") as frozen:
        trip(own)
        frozen.tick(120)
        assert 0 < own.retry_after <= 60
        decorated = freezegun.freeze_time("2021-01-01")(own(lambda: datetime.datetime.now().year))
    own.reset()
    assert decorated() == 2021
    assert counts(own) == {"successes": 1, "failures": 1}
