//! `lath inspect`, `lath push`, `lath pull`: components and providers in files and in registries. No lattice is asked.
//!
//! What a registry does wrong is told in the words of `lath-artifacts`; here only files are read and written.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use lath_artifacts::{
    Form, Format, Inspected, MAX_BYTES, Patience, Reference, Registries, RegistryArgs, RegistryError, Shape,
    recognise,
};
use lath_control_api::{ApiError, Digest, ErrorCode};
use serde::Serialize;

use crate::call::Call;
use crate::deploy::size;
use crate::failure::{Exit, Failure};
use crate::output::{Document, Glyphs, clean};

/// Arguments of `lath inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// File with a component or provider, or image in a registry
    #[arg(value_name = "FILE|REFERENCE")]
    what: String,
    #[command(flatten)]
    registries: RegistryArgs,
}

/// Arguments of `lath push`.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Where it is put: REGISTRY/REPOSITORY:TAG
    reference: Reference,
    /// File with the component, provider archive or provider program
    file: PathBuf,
    #[command(flatten)]
    registries: RegistryArgs,
}

/// Arguments of `lath pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Image in a registry
    reference: Reference,
    /// Where it is written [default: the last part of the repository, with .wasm or .par.gz]
    file: Option<PathBuf>,
    /// Replace a file that holds something else
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    registries: RegistryArgs,
}

/// A component or provider, wherever it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Digest>,
    code: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    /// A provider: an archive, or a program as it is.
    provider_archive: bool,
    /// None when nobody has said.
    #[serde(flatten)]
    shape: Option<Shape>,
}

/// What a push or pull came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    reference: String,
    manifest: Digest,
    code: Digest,
    size: u64,
    file: PathBuf,
    unchanged: bool,
}

/// Registries as the arguments let them be reached.
pub(crate) fn registries(args: &RegistryArgs) -> Result<Registries, Failure> {
    Registries::new(args, Patience::TRANSFER)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()).help("lath help inspect"))
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::from(ApiError::from(error))
    }
}

/// Shows what a file or an image is.
pub(crate) async fn inspect(args: InspectArgs, call: &Call) -> Result<Exit, Failure> {
    let path = Path::new(args.what.strip_prefix("file://").unwrap_or(&args.what));
    let artifact = if path.exists() || args.what.starts_with("file://") {
        of_file(path)?
    } else {
        let reference: Reference = args.what.parse().map_err(|error: lath_artifacts::BadReference| {
            Failure::coded(
                ErrorCode::NotFound,
                format!("there is no file `{}`, and {error}", clean(&args.what)),
            )
            .help("name a file, or REGISTRY/REPOSITORY:TAG")
        })?;
        of_image(&reference, &registries(&args.registries)?.inspect(&reference).await?)?
    };
    let document = Document::new("Artifact", &artifact).names([artifact.code.to_string()]);
    call.out.print(&document, |_wide| text(&artifact))?;
    Ok(Exit::Done)
}

fn of_file(path: &Path) -> Result<Artifact, Failure> {
    let bytes = read(path)?;
    let provider_archive = Form::of(&bytes).is_provider();
    let shape = match recognise(&bytes) {
        Ok(shape) => Some(shape),
        Err(_) if provider_archive => None,
        Err(what) => {
            let message = format!("{} is neither a component nor a provider: it is {what}", path.display());
            return Err(Failure::coded(ErrorCode::ImageUnsupported, message)
                .help("build a component for the target wasm32-wasip2"));
        }
    };
    Ok(Artifact {
        name: path.display().to_string(),
        manifest: None,
        code: Digest::of(&bytes),
        size: bytes.len() as u64,
        media_type: None,
        provider_archive,
        shape,
    })
}

fn of_image(reference: &Reference, inspected: &Inspected) -> Result<Artifact, Failure> {
    let (layer, format) = inspected.manifest.code().map_err(|why| {
        Failure::coded(ErrorCode::ImageUnsupported, format!("{reference}: {why}"))
            .help("push a component or provider: lath push REFERENCE FILE")
    })?;
    let told =
        inspected.config.as_ref().and_then(|config| config.get("component")).filter(|told| told.is_object());
    Ok(Artifact {
        name: reference.to_string(),
        manifest: Some(inspected.digest.clone()),
        code: layer.digest.clone(),
        size: layer.size,
        media_type: Some(layer.media_type.clone()),
        provider_archive: format == Format::ProviderArchive,
        shape: told.and_then(|told| serde_json::from_value(told.clone()).ok()),
    })
}

fn text(artifact: &Artifact) -> String {
    let mut lines = vec![clean(&artifact.name)];
    let mut fact =
        |name: &str, value: &str| lines.push(format!("  {name:<10}{}", clean(value)).trim_end().to_owned());
    if let Some(manifest) = &artifact.manifest {
        fact("manifest", manifest.as_str());
    }
    fact("code", artifact.code.as_str());
    let media_type = artifact.media_type.as_ref().map(|told| format!(", {told}")).unwrap_or_default();
    fact("size", &format!("{}{media_type}", size(artifact.size)));
    match &artifact.shape {
        Some(shape) => {
            for (name, interfaces) in [("imports", &shape.imports), ("exports", &shape.exports)] {
                let names = std::iter::once(name).chain(std::iter::repeat(""));
                names.zip(interfaces).for_each(|(name, interface)| fact(name, interface));
            }
        }
        None if artifact.provider_archive => fact("holds", "a capability provider"),
        None => fact("imports", "not told by the image; pull it and inspect the file"),
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Puts a component or provider into a registry.
pub(crate) async fn push(args: PushArgs, call: &Call) -> Result<Exit, Failure> {
    if args.reference.digest().is_some() {
        let message = format!("{} names a digest, which the code decides", args.reference);
        return Err(Failure::new(Exit::Usage, message).help("name a tag: REGISTRY/REPOSITORY:TAG"));
    }
    let bytes = read(&args.file)?;
    let length = bytes.len() as u64;
    let pushed = registries(&args.registries)?.push(&args.reference, bytes).await?;
    let moved = Moved {
        reference: args.reference.to_string(),
        manifest: pushed.manifest,
        code: pushed.code,
        size: length,
        file: args.file,
        unchanged: pushed.unchanged,
    };
    print("Pushed", &moved, call)
}

/// Gets a component or provider out of a registry.
pub(crate) async fn pull(args: PullArgs, call: &Call) -> Result<Exit, Failure> {
    let registries = registries(&args.registries)?;
    let resolved = registries.resolve(&args.reference).await?;
    let file = args.file.unwrap_or_else(|| usual_file(&args.reference, resolved.format));
    let mut moved = Moved {
        reference: args.reference.to_string(),
        manifest: resolved.manifest,
        code: resolved.code.digest,
        size: resolved.code.size,
        file,
        unchanged: false,
    };
    if moved.file.exists() {
        moved.unchanged = read(&moved.file).is_ok_and(|bytes| Digest::of(&bytes) == moved.code);
        if moved.unchanged {
            return print("Pulled", &moved, call);
        }
        if !args.force {
            let message = format!("{} is there and holds something else", moved.file.display());
            return Err(
                Failure::new(Exit::Conflict, message).help("name another file, or replace it with --force")
            );
        }
    }
    moved.size = download(&registries, &args.reference, &moved).await?;
    print("Pulled", &moved, call)
}

/// Writes beside the file first: a download that fails leaves what was there.
async fn download(registries: &Registries, reference: &Reference, moved: &Moved) -> Result<u64, Failure> {
    let unwritable = |error: &std::io::Error| {
        Failure::from(RegistryError::of_disk(&format!("{} cannot be written", moved.file.display()), error))
    };
    let mut beside = moved.file.clone().into_os_string();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = PathBuf::from(beside);
    let mut file = tokio::fs::File::create(&beside).await.map_err(|error| unwritable(&error))?;
    let fetched = registries.fetch(reference, &moved.code, &mut file).await.map_err(Failure::from);
    let named = match fetched {
        Ok(size) => std::fs::rename(&beside, &moved.file).map(|()| size).map_err(|error| unwritable(&error)),
        Err(failure) => Err(failure),
    };
    if named.is_err() {
        // A part that cannot be removed says by its name what it is.
        _ = std::fs::remove_file(&beside);
    }
    named
}

fn usual_file(reference: &Reference, format: Format) -> PathBuf {
    let name = reference.repository().rsplit('/').next().unwrap_or("component");
    match format {
        Format::Component => format!("{name}.wasm").into(),
        Format::ProviderArchive => format!("{name}.par.gz").into(),
    }
}

fn print(kind: &'static str, moved: &Moved, call: &Call) -> Result<Exit, Failure> {
    let document = Document::new(kind, moved).names([moved.code.to_string()]);
    call.out.print(&document, |_wide| moved_text(kind, moved, call.out.glyphs))?;
    Ok(Exit::Done)
}

fn moved_text(kind: &str, moved: &Moved, glyphs: Glyphs) -> String {
    let done = if moved.unchanged { "Unchanged" } else { kind };
    let (mark, dot) = (glyphs.pick("✔", "OK"), glyphs.pick("·", "-"));
    format!(
        "{mark} {done} {}@{} {dot} {} {dot} {}\n",
        moved.reference,
        moved.manifest,
        size(moved.size),
        clean(&moved.file.display().to_string())
    )
}

/// The bytes of a file that may be a component or provider.
fn read(path: &Path) -> Result<Bytes, Failure> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorCode::NotFound,
            _ => ErrorCode::BadRequest,
        };
        Failure::coded(code, format!("cannot read {shown}: {error}"))
            .help("name a file with a component or a provider")
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("{shown} is larger than {MAX_BYTES} bytes");
        return Err(Failure::coded(ErrorCode::TooLarge, message));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact() -> Artifact {
        Artifact {
            name: "ghcr.io/shop/cart:1.5.0".to_owned(),
            manifest: Some(Digest::of(b"manifest")),
            code: Digest::of(b"code"),
            size: 120 << 10,
            media_type: Some("application/wasm".to_owned()),
            provider_archive: false,
            shape: Some(Shape {
                imports: vec!["wasi:cli/environment@0.2.0".into(), "wasi:http/types@0.2.0".into()],
                exports: vec!["wasi:http/incoming-handler@0.2.0".into()],
            }),
        }
    }

    #[test]
    fn people_read_what_a_component_needs_and_offers() {
        insta::assert_snapshot!(text(&artifact()), @r"
        ghcr.io/shop/cart:1.5.0
          manifest  sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
          code      sha256:5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b
          size      120 KiB, application/wasm
          imports   wasi:cli/environment@0.2.0
                    wasi:http/types@0.2.0
          exports   wasi:http/incoming-handler@0.2.0
        ");
        let untold = Artifact { shape: None, manifest: None, media_type: None, ..artifact() };
        assert!(text(&untold).contains("not told"));
    }

    #[test]
    fn a_pulled_file_is_called_as_the_repository_ends() {
        let reference: Reference = "ghcr.io/shop/cart:1".parse().unwrap();
        assert_eq!(usual_file(&reference, Format::Component), Path::new("cart.wasm"));
        assert_eq!(usual_file(&reference, Format::ProviderArchive), Path::new("cart.par.gz"));
    }
}
