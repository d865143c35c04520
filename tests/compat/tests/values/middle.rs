//! The component in the middle: each function of `relay` calls the function of that name of `echo` with what it was
//! given, and gives back what it got. Both have one signature, so its core module hands numbers and addresses on as
//! they come, whatever the types are.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, ImportSection, Instruction, MemorySection, MemoryType, Module, TypeSection,
    ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmSignature, WasmType};
use wit_parser::{Interface, Resolve, WorldId, WorldItem, WorldKey};

/// Where results are put: in front of everything else, with more room than any of them needs.
const RESULTS: i32 = 1 << 10;
/// Where the memory of parameters begins.
const HEAP: i32 = 1 << 16;

/// The component's bytes.
pub(crate) fn component(wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::new();
    let package = resolve.push_str("values.wit", wit).unwrap();
    let world = resolve.select_world(package, Some("middle")).unwrap();
    let mut module = module(&resolve, world);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).unwrap();
    encoder.encode().unwrap()
}

fn module(resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let world = &resolve.worlds[world];
    let (echo, functions) = interface(resolve, world.imports.iter(), "/echo");
    let (relay, relayed) = interface(resolve, world.exports.iter(), "/relay");
    let (functions, relayed) = (&functions.functions, &relayed.functions);
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    let (mut defined, mut exports, mut code) =
        (FunctionSection::new(), ExportSection::new(), CodeSection::new());
    let count = u32::try_from(functions.len()).unwrap();
    for (index, (name, function)) in (0_u32..).zip(functions) {
        let called = resolve.wasm_signature(AbiVariant::GuestImport, function);
        let given = resolve.wasm_signature(AbiVariant::GuestExport, &relayed[name]);
        types.ty().function(values(&called.params), values(&called.results));
        types.ty().function(values(&given.params), values(&given.results));
        imports.import(&echo, name, EntityType::Function(2 * index));
        defined.function(2 * index + 1);
        exports.export(&format!("{relay}#{name}"), ExportKind::Func, count + index);
        code.function(&hand_on(index, &given, &called));
    }
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    defined.function(2 * count);
    exports.export("cabi_realloc", ExportKind::Func, 2 * count);
    code.function(&allocate());
    exports.export("memory", ExportKind::Memory, 0);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 2,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut globals = GlobalSection::new();
    let address = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
    globals.global(address, &ConstExpr::i32_const(HEAP));
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&defined).section(&memories).section(&globals);
    module.section(&exports).section(&code);
    module.finish()
}

/// The interface whose name has `wanted` in it, with its whole name.
fn interface<'a>(
    resolve: &'a Resolve,
    mut items: impl Iterator<Item = (&'a WorldKey, &'a WorldItem)>,
    wanted: &str,
) -> (String, &'a Interface) {
    let found = items.find_map(|(key, item)| match item {
        WorldItem::Interface { id, .. } => {
            let name = resolve.name_world_key(key);
            name.contains(wanted).then(|| (name, &resolve.interfaces[*id]))
        }
        _ => None,
    });
    found.unwrap()
}

fn values(types: &[WasmType]) -> Vec<ValType> {
    let value = |ty: &WasmType| match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
        WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
        WasmType::F32 => ValType::F32,
        WasmType::F64 => ValType::F64,
    };
    types.iter().map(value).collect()
}

/// Calls import `index` with the function's own parameters.
fn hand_on(index: u32, given: &WasmSignature, called: &WasmSignature) -> Function {
    let mut body = Function::new([]);
    for number in 0..u32::try_from(given.params.len()).unwrap() {
        body.instruction(&Instruction::LocalGet(number));
    }
    // An import is told where its results go; an export tells where they are.
    if called.retptr {
        body.instruction(&Instruction::I32Const(RESULTS));
    }
    body.instruction(&Instruction::Call(index));
    if called.retptr {
        body.instruction(&Instruction::I32Const(RESULTS));
    }
    body.instruction(&Instruction::End);
    body
}

/// `cabi_realloc`: memory is never given back, for every call has an instance of its own.
fn allocate() -> Function {
    const OLD: u32 = 0;
    const OLD_SIZE: u32 = 1;
    const ALIGN: u32 = 2;
    const SIZE: u32 = 3;
    const AT: u32 = 4;
    let mut body = Function::new([(1, ValType::I32)]);
    let steps = [
        // The next address that is a multiple of the alignment.
        Instruction::GlobalGet(0),
        Instruction::LocalGet(ALIGN),
        Instruction::I32Add,
        Instruction::I32Const(1),
        Instruction::I32Sub,
        Instruction::I32Const(0),
        Instruction::LocalGet(ALIGN),
        Instruction::I32Sub,
        Instruction::I32And,
        Instruction::LocalTee(AT),
        Instruction::LocalGet(SIZE),
        Instruction::I32Add,
        Instruction::GlobalSet(0),
        // Grows page by page until it is there.
        Instruction::Block(BlockType::Empty),
        Instruction::Loop(BlockType::Empty),
        Instruction::MemorySize(0),
        Instruction::I32Const(16),
        Instruction::I32Shl,
        Instruction::GlobalGet(0),
        Instruction::I32GeU,
        Instruction::BrIf(1),
        Instruction::I32Const(1),
        Instruction::MemoryGrow(0),
        Instruction::I32Const(-1),
        Instruction::I32Eq,
        Instruction::If(BlockType::Empty),
        Instruction::Unreachable,
        Instruction::End,
        Instruction::Br(0),
        Instruction::End,
        Instruction::End,
        Instruction::LocalGet(AT),
        Instruction::LocalGet(OLD),
        Instruction::LocalGet(OLD_SIZE),
        Instruction::MemoryCopy { src_mem: 0, dst_mem: 0 },
        Instruction::LocalGet(AT),
        Instruction::End,
    ];
    for step in &steps {
        body.instruction(step);
    }
    body
}
