//! One change for each type of value, as the WIT of `shapes` promises. Total functions without state: a value
//! that comes back unchanged was lost on the way, and one changed otherwise was decoded wrongly.

use crate::bindings::exports::lath::demo::greeter::{Colour, Marks, Numbers, Point, Shape, Specimen};

/// A change that shows the value was understood and not only carried.
pub(crate) trait Change {
    fn change(self) -> Self;
}

macro_rules! integers {
    ($($integer:ty),*) => {
        $(impl Change for $integer {
            fn change(self) -> Self {
                self.wrapping_add(1)
            }
        })*
    };
}
integers!(u16, u32, u64, i8, i16, i32, i64);

impl Change for bool {
    fn change(self) -> Self {
        !self
    }
}

impl Change for f32 {
    fn change(self) -> Self {
        self * 2.0
    }
}

impl Change for f64 {
    fn change(self) -> Self {
        self * 2.0
    }
}

impl Change for char {
    fn change(self) -> Self {
        char::from_u32(u32::from(self).wrapping_add(1)).unwrap_or('a')
    }
}

impl Change for String {
    fn change(self) -> Self {
        self.chars().rev().collect()
    }
}

impl<T: Change> Change for Vec<T> {
    fn change(self) -> Self {
        self.into_iter().rev().map(Change::change).collect()
    }
}

impl<T: Change> Change for Option<T> {
    fn change(self) -> Self {
        self.map(Change::change)
    }
}

impl Change for Point {
    fn change(self) -> Self {
        Self { x: self.x.change(), y: self.y.change() }
    }
}

impl Change for Colour {
    fn change(self) -> Self {
        match self {
            Self::Red => Self::Green,
            Self::Green => Self::Blue,
            Self::Blue => Self::Red,
        }
    }
}

impl Change for Marks {
    fn change(self) -> Self {
        self.complement()
    }
}

impl Change for Shape {
    fn change(self) -> Self {
        match self {
            Self::Dot => Self::Dot,
            Self::Circle(radius) => Self::Circle(radius.change()),
            Self::Polygon(points) => Self::Polygon(points.change()),
            Self::Label((text, mark)) => Self::Label((text.change(), mark.change())),
        }
    }
}

impl Change for Numbers {
    fn change(self) -> Self {
        Self {
            tiny: self.tiny.wrapping_add(1),
            small: self.small.change(),
            medium: self.medium.change(),
            large: self.large.change(),
            signed_tiny: self.signed_tiny.change(),
            signed_small: self.signed_small.change(),
            signed_medium: self.signed_medium.change(),
            signed_large: self.signed_large.change(),
            single: self.single.change(),
            double: self.double.change(),
        }
    }
}

impl Change for Specimen {
    fn change(self) -> Self {
        let (count, name) = self.pair;
        Self {
            yes: self.yes.change(),
            numbers: self.numbers.change(),
            letter: self.letter.change(),
            text: self.text.change(),
            // Bytes are inverted rather than counted up, so that `u8` has no second meaning in a list.
            bytes: self.bytes.into_iter().rev().map(|byte| !byte).collect(),
            words: self.words.change(),
            pair: (count.wrapping_add(1), name.change()),
            maybe: self.maybe.change(),
            colour: self.colour.change(),
            marks: self.marks.change(),
            shape: self.shape.change(),
            outcome: self.outcome.map(Change::change).map_err(Change::change),
            verdict: self.verdict.map_err(Change::change),
            ended: if self.ended.is_ok() { Err(()) } else { Ok(()) },
        }
    }
}
