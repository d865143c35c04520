//! Random values of the types that WIT has, with those at the edges more often than chance has them.

use bytes::Bytes;

/// A source of numbers that follow from a seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// By splitmix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Mostly short; seldom long enough for a count of two bytes.
    fn length(&mut self) -> u64 {
        match self.below(40) {
            0 => 120 + self.below(20),
            _ => self.below(4),
        }
    }
}

pub(crate) trait Random {
    fn random(dice: &mut Dice) -> Self;
}

impl Random for bool {
    fn random(dice: &mut Dice) -> Self {
        dice.below(2) == 1
    }
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Random for $ty {
            fn random(dice: &mut Dice) -> Self {
                #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "any bits will do")]
                let any = dice.next() as $ty;
                match dice.below(8) {
                    0 => Self::MIN,
                    1 => Self::MAX,
                    // Where a number takes another byte.
                    2 => any & 0x7f,
                    3 => !(any & 0x3f),
                    4 => any & 0x40,
                    _ => any >> dice.below(u64::from(Self::BITS)),
                }
            }
        }
    )*};
}

integers!(u8, i8, u16, i16, u32, i32, u64, i64);

impl Random for f32 {
    fn random(dice: &mut Dice) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "any bits will do")]
        let any = Self::from_bits(dice.next() as u32);
        match dice.below(6) {
            0 => Self::INFINITY,
            1 => -0.0,
            // Components may change the other bits of what is no number.
            _ if any.is_nan() => Self::NAN,
            _ => any,
        }
    }
}

impl Random for f64 {
    fn random(dice: &mut Dice) -> Self {
        let any = Self::from_bits(dice.next());
        match dice.below(6) {
            0 => Self::NEG_INFINITY,
            1 => -0.0,
            _ if any.is_nan() => Self::NAN,
            _ => any,
        }
    }
}

impl Random for char {
    fn random(dice: &mut Dice) -> Self {
        let bound = [0x80, 0x800, 0x1_0000, 0x11_0000][dice.below(4) as usize];
        #[allow(clippy::cast_possible_truncation, reason = "below all characters")]
        Self::from_u32(dice.below(bound) as u32).unwrap_or(Self::MAX)
    }
}

impl Random for String {
    fn random(dice: &mut Dice) -> Self {
        (0..dice.length() * 2).map(|_| char::random(dice)).collect()
    }
}

impl Random for Bytes {
    fn random(dice: &mut Dice) -> Self {
        (0..dice.length() * 2).map(|_| u8::random(dice)).collect()
    }
}

impl<T: Random> Random for Vec<T> {
    fn random(dice: &mut Dice) -> Self {
        (0..dice.length()).map(|_| T::random(dice)).collect()
    }
}

impl<T: Random> Random for Option<T> {
    fn random(dice: &mut Dice) -> Self {
        bool::random(dice).then(|| T::random(dice))
    }
}

impl<T: Random, E: Random> Random for Result<T, E> {
    fn random(dice: &mut Dice) -> Self {
        if bool::random(dice) { Ok(T::random(dice)) } else { Err(E::random(dice)) }
    }
}

impl Random for () {
    fn random(_dice: &mut Dice) -> Self {}
}

macro_rules! tuples {
    ($(($($ty:ident)+))*) => {$(
        impl<$($ty: Random),+> Random for ($($ty,)+) {
            fn random(dice: &mut Dice) -> Self {
                ($($ty::random(dice),)+)
            }
        }
    )*};
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E)
    (A B C D E F G H I J K L M N)
}
