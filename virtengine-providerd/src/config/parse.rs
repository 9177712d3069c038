use virtengine_provider_core::document::{self, Cursor, Fields, Problem, Problems};

use super::{
    Adapters, BidEngine, Capacity, Chain, Config, Gateway, KeyManager, Logging, Manifest, Metering, Pricing,
    Provider, Settlement, Storage, expand,
};

pub(super) const KEYS: &[&str] = &[
    "provider",
    "chain",
    "bid_engine",
    "pricing",
    "capacity",
    "key_manager",
    "adapters",
    "metering",
    "settlement",
    "storage",
    "gateway",
    "logging",
    "manifest",
];

/// Reads a configuration from text; `env` answers for environment variables.
///
/// # Errors
/// Everything that is wrong, in the order of the text.
pub fn parse(text: &[u8], env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Vec<Problem>> {
    let mut problems = Problems::new();
    let config = document::read(text, &mut problems).and_then(|mut node| {
        expand::expand(&mut node, env, &mut problems);
        let root = Cursor::root(&node).map(&mut problems)?;
        Some(sections(&root, &mut problems))
    });
    let (errors, notices) = problems.into_parts();
    match config {
        Some(config) if errors.is_empty() => Ok(Config { notices, ..config }),
        _ => Err(errors),
    }
}

fn sections(root: &Fields<'_, '_>, problems: &mut Problems) -> Config {
    root.only(KEYS, problems);
    // The chain comes first: addresses, prices and denominations are read in its terms.
    let chain = Chain::read(root.get("chain"), problems);
    let provider = Provider::read(root.get("provider"), &chain, problems);
    let storage = Storage::read(root.get("storage"), provider.state_dir.as_deref(), problems);
    let metering = Metering::read(root.get("metering"), problems);
    Config {
        bid_engine: BidEngine::read(root.get("bid_engine"), problems),
        pricing: Pricing::read(root.get("pricing"), &chain, problems),
        capacity: Capacity::read(root.get("capacity"), problems),
        key_manager: KeyManager::read(root.get("key_manager"), problems),
        adapters: Adapters::read(root.get("adapters"), problems),
        settlement: Settlement::read(root.get("settlement"), problems),
        gateway: Gateway::read(root.get("gateway"), &storage, problems),
        logging: Logging::read(root.get("logging"), &storage, problems),
        manifest: Manifest::read(root.get("manifest"), problems),
        provider,
        chain,
        storage,
        metering,
        notices: Vec::new(),
    }
}
