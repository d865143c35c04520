//! Makes up an interface with functions of random types, for `tests/values.rs`: as WIT, and as Rust that knows for each
//! type how to make random values of it. The types follow from a seed alone: `LATH_TYPES_SEED`, else the one below.

use std::fmt::Write as _;
use std::path::Path;

/// Other seeds are tried by hand.
const SEED: u64 = 1;
/// Functions of the interface.
const FUNCTIONS: usize = 36;
/// Deepest nesting of types in one another.
const DEPTH: usize = 3;
/// Types without a name that hold no others, in WIT and in Rust.
const PLAIN: [(&str, &str); 14] = [
    ("bool", "bool"),
    ("u8", "u8"),
    ("s8", "i8"),
    ("u16", "u16"),
    ("s16", "i16"),
    ("u32", "u32"),
    ("s32", "i32"),
    ("u64", "u64"),
    ("s64", "i64"),
    ("f32", "f32"),
    ("f64", "f64"),
    ("char", "char"),
    ("string", "String"),
    ("list<u8>", "Bytes"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LATH_TYPES_SEED");
    let seed = std::env::var("LATH_TYPES_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    let mut types = Types { state: seed, ..Types::default() };
    let functions: Vec<Vec<Type>> = (0..FUNCTIONS).map(|number| types.parameters(number)).collect();
    let folder = std::env::var("OUT_DIR").expect("cargo says where");
    let wit = wit(&types, &functions);
    std::fs::write(Path::new(&folder).join("values.rs"), rust(&types, &functions, &wit)).expect("written");
}

/// A type as it is written in WIT, and in Rust that `wit-bindgen-wrpc` makes of that.
#[derive(Clone)]
struct Type {
    wit: String,
    rust: String,
}

#[derive(Default)]
struct Types {
    state: u64,
    /// How many types have a name.
    named: usize,
    /// Their definitions in WIT.
    definitions: String,
    /// How random values of them are made.
    randoms: String,
}

impl Types {
    /// A number below `bound`, by splitmix64.
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("below a usize")
    }

    /// One to four parameters. The first one's kind goes round, so that none is left out.
    fn parameters(&mut self, number: usize) -> Vec<Type> {
        let first = match number {
            0 => {
                return PLAIN.map(|(wit, rust)| Type { wit: wit.to_owned(), rust: rust.to_owned() }).to_vec();
            }
            _ => self.composed(number, DEPTH),
        };
        let more = self.below(4);
        std::iter::once(first).chain((0..more).map(|_| self.any(DEPTH - 1)).collect::<Vec<_>>()).collect()
    }

    fn any(&mut self, depth: usize) -> Type {
        if depth == 0 || self.below(2) == 0 {
            let (wit, rust) = PLAIN[self.below(PLAIN.len())];
            return Type { wit: wit.to_owned(), rust: rust.to_owned() };
        }
        let kind = self.below(9);
        self.composed(kind, depth)
    }

    fn composed(&mut self, kind: usize, depth: usize) -> Type {
        let depth = depth - 1;
        match kind % 9 {
            0 => {
                let item = self.any(depth);
                // Lists of bytes are another type in Rust.
                let item = if item.wit == "u8" { self.composed(1, depth.max(1)) } else { item };
                Type { wit: format!("list<{}>", item.wit), rust: format!("Vec<{}>", item.rust) }
            }
            1 => {
                let item = self.any(depth);
                Type { wit: format!("option<{}>", item.wit), rust: format!("Option<{}>", item.rust) }
            }
            2 => self.result(depth),
            3 => {
                let items: Vec<Type> = (0..1 + self.below(5)).map(|_| self.any(depth)).collect();
                let wit: Vec<&str> = items.iter().map(|item| item.wit.as_str()).collect();
                let rust: String = items.iter().map(|item| format!("{},", item.rust)).collect();
                Type { wit: format!("tuple<{}>", wit.join(", ")), rust: format!("({rust})") }
            }
            4 => self.flags(),
            5 => self.enumeration(),
            6 | 7 => self.record(depth),
            _ => self.variant(depth),
        }
    }

    fn result(&mut self, depth: usize) -> Type {
        let sides = [self.below(3) != 0, self.below(3) != 0];
        let [ok, error] = sides.map(|some| some.then(|| self.any(depth)));
        let wit = match (&ok, &error) {
            (Some(ok), Some(error)) => format!("result<{}, {}>", ok.wit, error.wit),
            (Some(ok), None) => format!("result<{}>", ok.wit),
            (None, Some(error)) => format!("result<_, {}>", error.wit),
            (None, None) => "result".to_owned(),
        };
        let [ok, error] = [ok, error].map(|side| side.map_or_else(|| "()".to_owned(), |side| side.rust));
        Type { wit, rust: format!("Result<{ok}, {error}>") }
    }

    /// A type with a name: its definition, and the body of the function that makes a random one.
    fn name(&mut self, kind: &str, inside: &str, random: &str) -> Type {
        let number = self.named;
        self.named += 1;
        writeln!(self.definitions, "    {kind} t{number} {{ {inside} }}").expect("a string");
        let rust = format!("types::T{number}");
        writeln!(
            self.randoms,
            "impl Random for {rust} {{ fn random(dice: &mut Dice) -> Self {{ {random} }} }}"
        )
        .expect("a string");
        Type { wit: format!("t{number}"), rust }
    }

    fn record(&mut self, depth: usize) -> Type {
        let fields: Vec<Type> = (0..1 + self.below(6)).map(|_| self.any(depth)).collect();
        let (mut inside, mut random) = (String::new(), String::from("Self {"));
        for (number, field) in fields.iter().enumerate() {
            write!(inside, "m{number}: {}, ", field.wit).expect("a string");
            write!(random, "m{number}: Random::random(dice), ").expect("a string");
        }
        self.name("record", &inside, &(random + "}"))
    }

    fn variant(&mut self, depth: usize) -> Type {
        // More than 127 cases take two bytes.
        let count = if self.below(4) == 0 { 150 } else { 1 + self.below(6) };
        let cases: Vec<Option<Type>> =
            (0..count).map(|_| (self.below(3) != 0).then(|| self.any(depth.min(1)))).collect();
        let (mut inside, mut random) = (String::new(), format!("match dice.below({count}) {{"));
        for (number, case) in cases.iter().enumerate() {
            let (payload, made) = match case {
                Some(case) => (format!("({})", case.wit), "(Random::random(dice))"),
                None => (String::new(), ""),
            };
            write!(inside, "c{number}{payload}, ").expect("a string");
            let last = if number + 1 == count { "_".to_owned() } else { number.to_string() };
            write!(random, "{last} => Self::C{number}{made}, ").expect("a string");
        }
        self.name("variant", &inside, &(random + "}"))
    }

    fn enumeration(&mut self) -> Type {
        let count = if self.below(3) == 0 { 200 } else { 1 + self.below(8) };
        let (mut inside, mut random) = (String::new(), format!("match dice.below({count}) {{"));
        for number in 0..count {
            write!(inside, "e{number}, ").expect("a string");
            let last = if number + 1 == count { "_".to_owned() } else { number.to_string() };
            write!(random, "{last} => Self::E{number}, ").expect("a string");
        }
        self.name("enum", &inside, &(random + "}"))
    }

    /// Flags in the numbers of which the published crate writes as many bytes as it reads: of 17 flags it writes four
    /// and reads three, so that it does not understand itself. Components have at most 32.
    fn flags(&mut self) -> Type {
        let count = [1, 2, 7, 8, 9, 15, 16, 25, 31, 32][self.below(10)];
        let inside: String = (0..count).map(|number| format!("b{number}, ")).collect();
        self.name("flags", &inside, "Self::from_bits_truncate(dice.next() as _)")
    }
}

fn wit(types: &Types, functions: &[Vec<Type>]) -> String {
    let names: Vec<String> = (0..types.named).map(|number| format!("t{number}")).collect();
    let mut all = String::new();
    for (number, params) in functions.iter().enumerate() {
        let each: Vec<&str> = params.iter().map(|ty| ty.wit.as_str()).collect();
        let result = if each.len() == 1 { each[0].to_owned() } else { format!("tuple<{}>", each.join(", ")) };
        let params: Vec<String> =
            each.iter().enumerate().map(|(number, ty)| format!("x{number}: {ty}")).collect();
        writeln!(all, "    g{number}: func({}) -> {result};", params.join(", ")).expect("a string");
    }
    let uses = format!("    use types.{{{}}};\n", names.join(", "));
    format!(
        "package lath-compat:values@0.1.0;\n\ninterface types {{\n{}}}\n\ninterface echo {{\n{uses}{all}}}\n\n\
         interface relay {{\n{uses}{all}}}\n\nworld middle {{\n    import echo;\n    export relay;\n}}\n\nworld known {{\n    import types;\n}}\n",
        types.definitions
    )
}

fn rust(types: &Types, functions: &[Vec<Type>], wit: &str) -> String {
    let mut text = format!(
        "pub(crate) const WIT: &str = r#\"{wit}\"#;\n\
         mod bindings {{\n    wit_bindgen_wrpc::generate!({{ world: \"known\", inline: r#\"{wit}\"#, \
         generate_unused_types: true }});\n}}\n\
         use bindings::lath_compat::values::types;\n{}\n",
        types.randoms
    );
    writeln!(text, "pub(crate) const FUNCTIONS: [Function; {FUNCTIONS}] = [").expect("a string");
    for (number, params) in functions.iter().enumerate() {
        let params: String = params.iter().map(|ty| format!("{},", ty.rust)).collect();
        writeln!(text, "    Function::of::<({params})>(\"g{number}\"),").expect("a string");
    }
    text + "];\n"
}
