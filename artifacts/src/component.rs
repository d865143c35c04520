//! What some bytes are, as far as their outside tells: a component, with the names that it imports and exports.

use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload};

/// The outside of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Names of what it needs, in the order of the component.
    #[serde(default)]
    pub imports: Vec<String>,
    /// Names of what it offers.
    #[serde(default)]
    pub exports: Vec<String>,
}

/// Reads the outside of a component. The code in it is not judged.
///
/// # Errors
/// What the bytes are instead, in words that follow "it is".
pub fn recognise(bytes: &[u8]) -> Result<Shape, String> {
    if !bytes.starts_with(b"\0asm") {
        return Err(if bytes.is_empty() { "empty" } else { "not WebAssembly in binary form" }.to_owned());
    }
    let broken = |error: wasmparser::BinaryReaderError| format!("damaged: {error}");
    let mut shape = Shape::default();
    // Components nest; only the outermost one has an outside.
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(broken)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err("a core module; build it for wasm32-wasip2, or make it a component with \
                            `wasm-tools component new`"
                    .to_owned());
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth = depth.saturating_add(1)
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    shape.imports.push(import.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    shape.exports.push(export.map_err(broken)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outside_of_a_component_is_read() {
        let text = r#"(component
            (import "wasi:cli/environment@0.2.0" (instance))
            (component (import "inner" (func)))
            (core module)
            (instance $i)
            (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#;
        let shape = recognise(&wat::parse_str(text).unwrap()).unwrap();
        assert_eq!(shape.imports, ["wasi:cli/environment@0.2.0"]);
        assert_eq!(shape.exports, ["wasi:http/incoming-handler@0.2.0"]);
    }

    #[test]
    fn other_bytes_are_named() {
        assert!(recognise(&wat::parse_str("(module)").unwrap()).unwrap_err().contains("core module"));
        assert!(recognise(b"").unwrap_err().contains("empty"));
        assert!(recognise(b"<html>").unwrap_err().contains("not WebAssembly"));
        let mut cut = wat::parse_str(r#"(component (import "a" (func)))"#).unwrap();
        cut.pop();
        assert!(recognise(&cut).unwrap_err().contains("damaged"));
    }
}
