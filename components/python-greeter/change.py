"""One change for each type of value, as the WIT of `shapes` promises."""

from componentize_py_types import Err, Ok, Some
from wit_world.imports import greeter

LAST_CHARACTER = 0x10FFFF
SURROGATES = range(0xD800, 0xE000)
COLOURS = list(greeter.Colour)
MARKS = list(greeter.Marks)


def unsigned(bits):
    """Adds one to an integer of so many bits, and wraps."""
    return lambda value: (value + 1) % 2**bits


def signed(bits):
    """The same with a sign."""
    half = 2 ** (bits - 1)
    return lambda value: (value + 1 + half) % 2**bits - half


def changed(values, change):
    """A list the other way round, with its items changed."""
    return [change(value) for value in reversed(values)]


def option(value, change):
    """Changes what is there."""
    return None if value is None else change(value)


def text(value):
    """The characters the other way round."""
    return value[::-1]


def character(value):
    """The next character."""
    code = ord(value) + 1
    return "a" if code > LAST_CHARACTER or code in SURROGATES else chr(code)


def colour(value):
    """The next case."""
    return COLOURS[(COLOURS.index(value) + 1) % len(COLOURS)]


def marks(value):
    """Those that were not set."""
    result = greeter.Marks(0)
    for mark in MARKS:
        if mark not in value:
            result |= mark
    return result


def point(value):
    """Both numbers changed."""
    return greeter.Point(signed(32)(value.x), signed(32)(value.y))


def shape(value):
    """The same case with what it holds changed."""
    match value:
        case greeter.Shape_Dot():
            return value
        case greeter.Shape_Circle(radius):
            return greeter.Shape_Circle(radius * 2)
        case greeter.Shape_Polygon(points):
            return greeter.Shape_Polygon(changed(points, point))
        case greeter.Shape_Label((label, mark)):
            return greeter.Shape_Label((text(label), option(mark, character)))


def numbers(value):
    """Each number changed as its width wants it."""
    return greeter.Numbers(
        tiny=unsigned(8)(value.tiny),
        small=unsigned(16)(value.small),
        medium=unsigned(32)(value.medium),
        large=unsigned(64)(value.large),
        signed_tiny=signed(8)(value.signed_tiny),
        signed_small=signed(16)(value.signed_small),
        signed_medium=signed(32)(value.signed_medium),
        signed_large=signed(64)(value.signed_large),
        single=value.single * 2,
        double=value.double * 2,
    )


def result(value, ok, err):
    """The same side with what it holds changed."""
    return Ok(ok(value.value)) if isinstance(value, Ok) else Err(err(value.value))


def nothing(value):
    """A side of a result that holds nothing."""
    return value


def specimen(value):
    """Everything changed."""
    count, name = value.pair
    return greeter.Specimen(
        yes=not value.yes,
        numbers=numbers(value.numbers),
        letter=character(value.letter),
        text=text(value.text),
        bytes=bytes(255 - byte for byte in reversed(value.bytes)),
        words=changed(value.words, lambda words: changed(words, text)),
        pair=(unsigned(8)(count), text(name)),
        # Of two options in one another the outer one is wrapped, to tell nothing from an absence.
        maybe=None if value.maybe is None else Some(option(value.maybe.value, unsigned(32))),
        colour=colour(value.colour),
        marks=marks(value.marks),
        shape=shape(value.shape),
        outcome=result(value.outcome, unsigned(32), text),
        verdict=result(value.verdict, nothing, colour),
        ended=Err(None) if isinstance(value.ended, Ok) else Ok(None),
    )
