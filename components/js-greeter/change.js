// One change for each type of value, as the WIT of `shapes` promises.

const LAST_CHARACTER = 0x10ffff;
const isSurrogate = (code) => code >= 0xd800 && code <= 0xdfff;

// An integer of so many bits, plus one, wrapping.
const unsigned = (bits) => (value) => (value + 1) % 2 ** bits;
const signed = (bits) => (value) => (value === 2 ** (bits - 1) - 1 ? -(2 ** (bits - 1)) : value + 1);
const double = (value) => value * 2;
const changeList = (list, change) => Array.from(list, change).reverse();

export const changeText = (text) => [...text].reverse().join('');
export const changeOption = (value, change) => (value === undefined ? undefined : change(value));

function changeCharacter(character) {
  const code = character.codePointAt(0) + 1;
  return code > LAST_CHARACTER || isSurrogate(code) ? 'a' : String.fromCodePoint(code);
}

const COLOURS = ['red', 'green', 'blue'];
const changeColour = (colour) => COLOURS[(COLOURS.indexOf(colour) + 1) % COLOURS.length];

const changePoint = ({ x, y }) => ({ x: signed(32)(x), y: signed(32)(y) });

export function changeShape(shape) {
  switch (shape.tag) {
    case 'dot':
      return shape;
    case 'circle':
      return { tag: 'circle', val: double(shape.val) };
    case 'polygon':
      return { tag: 'polygon', val: changeList(shape.val, changePoint) };
    case 'label': {
      const [text, mark] = shape.val;
      return { tag: 'label', val: [changeText(text), changeOption(mark, changeCharacter)] };
    }
    default:
      throw new Error(`a shape has no case ${shape.tag}`);
  }
}

const changeNumbers = (numbers) => ({
  tiny: unsigned(8)(numbers.tiny),
  small: unsigned(16)(numbers.small),
  medium: unsigned(32)(numbers.medium),
  large: BigInt.asUintN(64, numbers.large + 1n),
  signedTiny: signed(8)(numbers.signedTiny),
  signedSmall: signed(16)(numbers.signedSmall),
  signedMedium: signed(32)(numbers.signedMedium),
  signedLarge: BigInt.asIntN(64, numbers.signedLarge + 1n),
  single: double(numbers.single),
  double: double(numbers.double),
});

export function changeSpecimen(specimen) {
  const [count, name] = specimen.pair;
  const { maybe, outcome, verdict, ended } = specimen;
  return {
    yes: !specimen.yes,
    numbers: changeNumbers(specimen.numbers),
    letter: changeCharacter(specimen.letter),
    text: changeText(specimen.text),
    bytes: Uint8Array.from(specimen.bytes, (byte) => 255 - byte).reverse(),
    words: changeList(specimen.words, (words) => changeList(words, changeText)),
    pair: [unsigned(8)(count), changeText(name)],
    // Of two options in one another the outer one has a tag, to tell nothing from an absence.
    maybe: maybe.tag === 'some' ? { tag: 'some', val: changeOption(maybe.val, unsigned(32)) } : maybe,
    colour: changeColour(specimen.colour),
    marks: { bold: !specimen.marks.bold, italic: !specimen.marks.italic, struck: !specimen.marks.struck },
    shape: changeShape(specimen.shape),
    outcome:
      outcome.tag === 'ok'
        ? { tag: 'ok', val: unsigned(32)(outcome.val) }
        : { tag: 'err', val: changeText(outcome.val) },
    verdict: verdict.tag === 'err' ? { tag: 'err', val: changeColour(verdict.val) } : verdict,
    ended: { tag: ended.tag === 'ok' ? 'err' : 'ok', val: undefined },
  };
}
