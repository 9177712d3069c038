use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use virtengine_provider_core::document::TEXT_BYTES_MAX;
use virtengine_provider_core::manifest::{self, ValidManifest};

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::error::CliError;
use super::show;

/// `manifest validate`.
#[derive(Debug, Args)]
pub(super) struct ManifestArgs {
    #[command(subcommand)]
    command: ManifestCommand,
}

#[derive(Debug, Subcommand)]
enum ManifestCommand {
    /// Check a manifest; every problem is shown with its line and column
    #[command(after_help = "\
Examples:
  virtengine-provider manifest validate workload.yaml
  virtengine-provider manifest validate - < workload.json
  virtengine-provider manifest validate workload.yaml --output json | jq -r .hash")]
    Validate {
        /// The manifest (v1 or v2beta1, YAML or JSON); `-` for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) fn run(args: ManifestArgs, _context: &Context) -> CliResult {
    let ManifestCommand::Validate { file } = args.command;
    let manifest = read(&file)?;
    let total = manifest
        .total()
        .map_err(|error| CliError::failed(error, "ask for less"))?;
    let value = serde_json::json!({
        "valid": true,
        "version": manifest.version().to_string(),
        "hash": hex::encode(manifest.hash()),
        "groups": manifest.groups().iter().map(|group| serde_json::json!({
            "name": group.name(),
            "services": group.services().iter().map(|service| &service.spec().name).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "total": total,
        "notices": manifest.notices(),
    });
    let mut text = format!(
        "{} is a valid {} manifest\nhash   {}\ntotal  {}\n",
        file.display(),
        manifest.version(),
        hex::encode(manifest.hash()),
        show::quantities(&total)
    );
    for notice in manifest.notices() {
        text += &format!("notice: {}\n", show::clean(&notice.to_string()));
    }
    Answer::new(&value, text)
}

/// Reads and checks a manifest; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<ValidManifest, CliError> {
    let text = read_bounded(path, TEXT_BYTES_MAX)?;
    manifest::read(&text).map_err(|problems| CliError::document(path.display(), &problems))
}

/// Reads a file of at most `bytes_max`, and one byte more so that the reader of its content says that it is too large.
pub(super) fn read_bounded(path: &Path, bytes_max: usize) -> Result<Vec<u8>, CliError> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text))
    };
    read.map_err(|error| CliError::file(path, &error))?;
    Ok(text)
}
